"""What was changed at links while a client ran holds after its restart, too."""

import json
from pathlib import Path

import pytest
import trio
import trio.testing

from mqvpn_core.config import LinkRole
from mqvpn_core.runtime.control_codec import SetLinkRequest
from mqvpn_core.runtime.link_changes import MAX_CHANGES, LinkChanges
from mqvpn_core.runtime.link_control import LinkControl
from mqvpn_core.runtime.rule_board import RuleBoard
from mqvpn_core.runtime.usage_keeper import UsageKeeper, UsageSettings
from mqvpn_core.tunnel.link_rules import LinkRules

CONFIGURED = (("wwan0", LinkRole.SECONDARY),)


class Client:
    """One run of a client, as far as links are concerned."""

    def __init__(self, file: Path, configured: str = "as ever") -> None:
        self.board = RuleBoard(LinkRules(roles=CONFIGURED))
        settings = UsageSettings(file=None, caps=(("wwan0", 10),), month=lambda: "2026-11")
        self.usage = UsageKeeper(settings, self.board)
        self.changes = LinkChanges(file, configured)
        self.control = LinkControl(self.board, self.usage, self.changes)
        self.control.restore()

    async def run(self, *requests: SetLinkRequest) -> None:
        """Carry out what is asked for, and end."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.changes.run)
            for request in requests:
                self.control.set_link(request)
            nursery.cancel_scope.cancel()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "usage-mqvpn0.links.json"


def test_changes_hold_after_a_restart(file: Path) -> None:
    first = Client(file)
    trio.run(
        first.run,
        SetLinkRequest(link="wwan*", role="never"),
        SetLinkRequest(link="wwan0", role="backup", cap="5 GB"),
        SetLinkRequest(link="wwan0", rate_limit="8 kbit/s"),
    )
    second = Client(file)
    assert second.board.rules == first.board.rules
    assert dict(second.board.rules.roles)["wwan0"] is LinkRole.BACKUP
    assert dict(second.board.rules.rate_limits) == {"wwan0": 1000}
    assert dict(second.usage.caps) == {"wwan0": 5 * 10**9}


def test_what_was_taken_back_is_as_configured(file: Path) -> None:
    trio.run(Client(file).run, SetLinkRequest(link="wwan0", role="never", cap="none"))
    second = Client(file)
    assert second.usage.caps == ()
    trio.run(second.run, SetLinkRequest(link="wwan0", role="default"))
    third = Client(file)
    assert third.board.rules.roles == CONFIGURED
    assert third.usage.caps == ()


def test_a_new_configuration_is_the_newer_word(file: Path) -> None:
    trio.run(Client(file).run, SetLinkRequest(link="wwan0", role="never"))
    assert Client(file, configured="something else").board.rules.roles == CONFIGURED


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"version": 2}',
        b'{"version": 1, "configured": 1, "links": []}',
        b'{"version": 1, "configured": "as ever", "links": [1]}',
        b'{"version": 1, "configured": "as ever", "links": [{"role": "never"}]}',
        b'{"version": 1, "configured": "as ever", "links": [{"link": "wwan0", "role": 1}]}',
    ],
)
def test_a_damaged_file_costs_the_changes_only(
    content: bytes, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_bytes(content)
    client = Client(file)
    assert client.board.rules.roles == CONFIGURED
    assert "the configuration of links counts" in caplog.text


def test_a_value_that_is_not_allowed_any_more_costs_its_link_only(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    links = [{"link": "wwan0", "role": "first"}, {"link": "wlan0", "role": "backup"}]
    file.write_text(json.dumps({"version": 1, "configured": "as ever", "links": links}))
    client = Client(file)
    assert dict(client.board.rules.roles)["wlan0"] is LinkRole.BACKUP
    assert "wwan0 does not count" in caplog.text


def test_a_disk_that_is_full_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(path: Path, data: bytes) -> None:
        raise OSError(28, f"no space for {len(data)} bytes of {path}")

    async def main() -> None:
        changes = LinkChanges(Path("/none"), "", fail)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(changes.run)
            changes.note(SetLinkRequest(link="wlan0", role="never"))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert "changes of links end with this run" in caplog.text


def test_what_is_remembered_is_bounded() -> None:
    changes = LinkChanges(None, "")
    for number in range(MAX_CHANGES + 10):
        changes.note(SetLinkRequest(link=f"eth{number}", role="never"))
    assert len(changes.requests) == MAX_CHANGES
    assert changes.requests[0].link == "eth10"
