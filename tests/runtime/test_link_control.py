"""Changes of links at run time: all of a request, or nothing of it."""

import pytest

from mqvpn_core.config import LinkRole
from mqvpn_core.errors import ConfigError
from mqvpn_core.runtime.control_codec import SetLinkRequest
from mqvpn_core.runtime.link_changes import LinkChanges
from mqvpn_core.runtime.link_control import LinkControl
from mqvpn_core.runtime.rule_board import RuleBoard
from mqvpn_core.runtime.usage_keeper import UsageKeeper, UsageSettings
from mqvpn_core.tunnel.link_rules import LinkRules


class Scene:
    def __init__(self) -> None:
        self.board = RuleBoard(LinkRules())
        settings = UsageSettings(file=None, month=lambda: "2026-11")
        self.usage = UsageKeeper(settings, self.board)
        self.changes = LinkChanges(None, "")
        self.control = LinkControl(self.board, self.usage, self.changes)


def test_everything_at_once_and_back() -> None:
    scene = Scene()
    scene.control.set_link(
        SetLinkRequest(link="wwan*", role="never", cap="5 GB", rate_limit="8 kbit/s")
    )
    assert dict(scene.board.rules.roles) == {"wwan*": LinkRole.NEVER}
    assert dict(scene.board.rules.rate_limits) == {"wwan*": 1000}
    assert dict(scene.usage.caps) == {"wwan*": 5 * 10**9}
    scene.control.set_link(
        SetLinkRequest(link="wwan*", role="default", cap="none", rate_limit="none")
    )
    assert scene.board.rules == LinkRules()
    assert scene.usage.caps == ()
    assert scene.changes.requests == (SetLinkRequest(link="wwan*", cap="none", rate_limit="none"),)


@pytest.mark.parametrize(
    "request_",
    [
        SetLinkRequest(link="wwan0"),
        SetLinkRequest(link="a/b", role="never"),
        SetLinkRequest(link="wwan0", role="first"),
        SetLinkRequest(link="wwan0", role="never", cap="much"),
        SetLinkRequest(link="wwan0", role="never", rate_limit="5 GB"),
    ],
)
def test_a_wrong_request_changes_nothing(request_: SetLinkRequest) -> None:
    scene = Scene()
    with pytest.raises(ConfigError):
        scene.control.set_link(request_)
    assert scene.board.rules == LinkRules()
    assert scene.usage.caps == ()
    assert scene.changes.requests == ()
