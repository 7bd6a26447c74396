"""The path policy: links come, go, flap and change; roles change; openings fail."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from mqvpn_core.config import LinkRole
from mqvpn_core.ids import IfIndex, Instant, PathId
from mqvpn_core.tunnel.link_rules import LinkRules
from mqvpn_core.tunnel.link_table import LinkMedium, Way
from mqvpn_core.tunnel.path_messages import (
    ClosePath,
    EndConnection,
    OpenPath,
    PathEnded,
    PathProved,
    SetPathUse,
    TimeCame,
)
from mqvpn_core.tunnel.path_policy import FIRST_PAUSE, LONGEST_PAUSE, next_timeout, step
from mqvpn_core.wire.code_points import TransportErrorCode
from tests.unit.tunnel.links import ETH, SERVER4, SERVER6, WLAN, WWAN, link, without_ipv4
from tests.unit.tunnel.policy_scene import Scene, down, kinds

PRIMARY, SECONDARY = LinkRole.PRIMARY, LinkRole.SECONDARY
BACKUP, NEVER = LinkRole.BACKUP, LinkRole.NEVER
POOR = TransportErrorCode.PATH_UNSTABLE_OR_POOR
UNWANTED = TransportErrorCode.APPLICATION_ABANDON_PATH


def closings(commands: object) -> list[tuple[int, int]]:
    assert isinstance(commands, list)
    return [(c.path_id, c.error_code) for c in commands if isinstance(c, ClosePath)]


# Opening


def test_every_usable_link_gets_a_path_when_the_handshake_is_confirmed() -> None:
    scene = Scene.opened(WLAN, WWAN, ETH)
    assert scene.commands == []
    assert next_timeout(scene.state) is None
    scene = Scene.started(WLAN, WWAN, ETH)
    assert kinds(scene.commands) == ["OpenPath", "OpenPath"]
    assert scene.on(WLAN) == [(0, PRIMARY)]
    assert scene.on(ETH) == [(1, PRIMARY)], "the more wanted link goes first"
    assert scene.on(WWAN) == [(2, BACKUP)]


def test_the_first_path_is_told_its_role() -> None:
    scene = Scene.opened(WWAN)
    assert scene.commands == [SetPathUse(path_id=PathId(0), role=BACKUP)]


def test_a_link_that_appears_is_opened_at_once() -> None:
    scene = Scene.started(WLAN)
    assert scene.links(WLAN, replace(WWAN, addresses=frozenset(), known_ways=())) == []
    (opening,) = scene.links(WLAN, WWAN)
    assert opening == OpenPath(link=WWAN, way=WWAN.ways[0], role=BACKUP)
    assert scene.links(WLAN, WWAN) == []


def test_a_link_of_the_other_family_leads_to_the_other_address() -> None:
    scene = Scene.started(WLAN)
    (opening,) = scene.links(WLAN, without_ipv4(ETH))
    assert isinstance(opening, OpenPath)
    assert opening.way.server == SERVER6


def test_tunnels_and_links_not_named_stay_unused() -> None:
    wg = link(7, "wg0", medium=LinkMedium.TUNNEL)
    assert Scene.started(WLAN, wg).on(wg) == []
    assert Scene.started(WLAN, ETH, rules=LinkRules(paths=("wlan0",))).on(ETH) == []


# Losing


@pytest.mark.parametrize(
    "lost",
    [
        down(WLAN),
        replace(WLAN, is_up=False),
        replace(WLAN, addresses=frozenset()),
        replace(WLAN, known_ways=()),
    ],
    ids=["carrier", "switched off", "address", "route"],
)
def test_a_lost_link_is_given_up_at_once_when_another_works(lost: object) -> None:
    scene = Scene.started(WLAN, ETH)
    scene.prove_all()
    assert isinstance(lost, type(WLAN))
    assert closings(scene.change(lost)) == [(0, POOR)]
    assert scene.on(WLAN) == []


def test_a_vanished_link_is_given_up_at_once_when_another_works() -> None:
    scene = Scene.started(WLAN, ETH)
    scene.prove_all()
    (closing,) = scene.links(ETH)
    assert closing == ClosePath(
        path_id=PathId(0), error_code=POOR, reason="its link or address is gone"
    )


def test_the_other_path_must_have_proved_that_it_works() -> None:
    scene = Scene.started(WLAN, ETH)
    assert closings(scene.links(ETH)) == []
    assert closings(scene.prove(1)) == [(0, POOR)]


def test_the_last_path_is_kept_until_something_works() -> None:
    scene = Scene.started(WLAN)
    assert scene.links() == []
    assert scene.links(down(ETH)) == []
    (opening,) = scene.links(ETH)
    assert isinstance(opening, OpenPath)
    assert scene.on(WLAN) == [(0, PRIMARY)]
    assert closings(scene.prove(1)) == [(0, POOR)]


def test_a_link_that_returns_gets_a_fresh_path() -> None:
    scene = Scene.started(WLAN)
    scene.change(down(WLAN))
    (opening,) = scene.change(WLAN)
    assert isinstance(opening, OpenPath)
    assert scene.on(WLAN) == [(0, PRIMARY), (1, PRIMARY)]
    assert closings(scene.prove(1)) == [(0, POOR)]


def test_a_flap_with_another_path_at_work() -> None:
    scene = Scene.started(WLAN, ETH)
    scene.prove_all()
    for path_id in range(2, 200):
        scene.change(down(WLAN))
        scene.change(WLAN)
        scene.prove(path_id)
    assert sorted(scene.paths) == [1, 199]
    assert len(scene.state.paths) == 2
    assert scene.state.tries == {}
    assert scene.state.opening == frozenset()


def test_a_renumbered_link_gets_a_fresh_path() -> None:
    new = ip_address("192.0.9.2")
    renumbered = replace(
        WLAN,
        addresses=frozenset({new}),
        known_ways=(Way(server=SERVER4, source=new, metric=1),),
    )
    scene = Scene.started(WLAN, ETH)
    scene.prove_all()
    closing, opening = scene.change(renumbered)
    assert isinstance(closing, ClosePath)
    assert isinstance(opening, OpenPath)
    assert opening.way.source == new


def test_a_further_address_changes_nothing() -> None:
    scene = Scene.started(WLAN)
    more = replace(WLAN, addresses=WLAN.addresses | {ip_address("192.0.1.77")})
    assert scene.change(more) == []


def test_renaming_may_change_the_role() -> None:
    scene = Scene.started(WLAN, ETH, rules=LinkRules(roles=(("lan*", BACKUP),)))
    scene.prove_all()
    assert scene.change(replace(ETH, name="lan0")) == [SetPathUse(path_id=PathId(1), role=BACKUP)]
    closing = scene.change(replace(ETH, name="docker7"))
    assert closings(closing) == [(1, UNWANTED)]


def test_a_link_that_vanishes_while_its_path_is_opened() -> None:
    """The answer to the command comes after the news."""
    scene = Scene.started(WLAN, ETH)
    scene.prove(1)
    state, commands = step(scene.state, PathEnded(path_id=PathId(7)), Instant(0.0))
    assert commands == ()
    assert state.paths == scene.state.paths


# Failing


def test_a_link_that_never_answers_is_tried_less_and_less() -> None:
    scene = Scene.started(WLAN, ETH)
    pauses = []
    for path_id in range(1, 9):
        assert scene.end(path_id) == []
        started = scene.now
        deadline = next_timeout(scene.state)
        assert deadline is not None
        assert kinds(scene.wait(deadline - started)) == ["OpenPath"]
        pauses.append(round(scene.now - started, 6))
    assert pauses[:5] == [FIRST_PAUSE * 2**n for n in range(5)]
    assert set(pauses[5:]) == {LONGEST_PAUSE}


def test_the_addresses_of_the_server_take_turns_after_failures() -> None:
    scene = Scene.started(WLAN, ETH)
    scene.end(1)
    (second,) = scene.wait(FIRST_PAUSE)
    scene.end(2)
    (third,) = scene.wait(2 * FIRST_PAUSE)
    assert isinstance(second, OpenPath)
    assert isinstance(third, OpenPath)
    assert (second.way.server, third.way.server) == (SERVER6, SERVER4)


def test_news_of_the_link_end_its_pause() -> None:
    scene = Scene.started(WLAN, ETH)
    for path_id in (1, 2, 3):
        scene.end(path_id)
        scene.wait(60)
    scene.end(4)
    assert scene.change(replace(WLAN, mtu=1400)) == [], "news of another link do not count"
    assert scene.change(down(ETH)) == []
    assert next_timeout(scene.state) is None
    assert kinds(scene.change(ETH)) == ["OpenPath"]
    scene.end(5)
    assert next_timeout(scene.state) == scene.now + FIRST_PAUSE


def test_an_answer_ends_the_series_of_failures() -> None:
    scene = Scene.started(WLAN, ETH)
    for path_id in (1, 2, 3):
        scene.end(path_id)
        scene.wait(60)
    scene.prove(4)
    scene.end(4)
    assert next_timeout(scene.state) == scene.now + FIRST_PAUSE


def test_a_socket_that_cannot_be_opened_is_a_failure() -> None:
    scene = Scene.started(WLAN)
    scene.refuses.add("eth0")
    assert kinds(scene.links(WLAN, ETH)) == ["OpenPath"]
    assert kinds(scene.wait(FIRST_PAUSE)) == ["OpenPath"]
    scene.refuses.clear()
    scene.wait(60)
    assert scene.on(ETH) == [(1, PRIMARY)]


def test_without_a_free_path_id_it_waits_for_one() -> None:
    scene = Scene.started(WLAN)
    scene.free_ids = 0
    assert kinds(scene.links(WLAN, ETH, WWAN)) == ["OpenPath", "OpenPath"]
    assert scene.wait(100) == []
    assert scene.free_id() != []
    assert scene.on(ETH) == [(1, PRIMARY)]
    scene.free_ids = 1
    scene.end(1)
    assert scene.on(WWAN) == [(2, BACKUP)], "what ends frees an ID"


def test_an_end_of_an_unknown_path_is_no_failure() -> None:
    scene = Scene.started(WLAN)
    assert scene.feed(PathEnded(path_id=PathId(9))) == []
    assert scene.feed(PathProved(path_id=PathId(9))) == []
    assert scene.state.tries == {}


def test_a_broken_path_that_ends_is_no_failure_of_its_link() -> None:
    scene = Scene.started(WLAN)
    scene.links()
    scene.end(0)
    assert kinds(scene.links(WLAN)) == ["OpenPath"]


# Roles


def test_roles_change_without_reopening() -> None:
    scene = Scene.started(WLAN, ETH)
    scene.prove_all()
    rules = LinkRules(roles=(("wlan0", BACKUP), ("eth0", SECONDARY)))
    assert scene.rules(rules) == [
        SetPathUse(path_id=PathId(0), role=BACKUP),
        SetPathUse(path_id=PathId(1), role=SECONDARY),
    ]
    assert scene.rules(rules) == []


def test_never_gives_the_path_up_and_back() -> None:
    scene = Scene.started(WLAN, ETH)
    scene.prove_all()
    assert closings(scene.rules(LinkRules(roles=(("wlan0", NEVER),)))) == [(0, UNWANTED)]
    assert kinds(scene.rules(LinkRules())) == ["OpenPath"]


def test_a_used_up_cap_moves_traffic_before_it_stops() -> None:
    rules = LinkRules(paths=("wwan0",))
    scene = Scene.started(WWAN, ETH, rules=rules)
    opening = scene.rules(LinkRules(used_up=frozenset({"wwan0"})))
    assert kinds(opening) == ["OpenPath"]
    assert scene.on(WWAN), "still needed"
    assert closings(scene.prove(1)) == [(0, UNWANTED)]
    assert not scene.has_ended


def test_a_used_up_cap_on_the_only_link_ends_the_connection() -> None:
    scene = Scene.started(WWAN)
    assert scene.rules(LinkRules(used_up=frozenset({"wwan0"}))) == [
        EndConnection(reason="no other link leads to the server, and wwan0 must not be used")
    ]


def test_a_dead_link_is_no_excuse_for_a_forbidden_one() -> None:
    scene = Scene.started(WWAN)
    scene.rules(LinkRules(used_up=frozenset({"wwan0"}), paths=("eth0",)))
    assert scene.has_ended
    scene = Scene.started(WWAN, rules=LinkRules(paths=("wwan0",)))
    scene.change(ETH)
    scene.rules(LinkRules(used_up=frozenset({"wwan0"})))
    assert not scene.has_ended
    scene.end(1)
    assert scene.has_ended


def test_a_broken_path_alone_does_not_end_the_connection() -> None:
    scene = Scene.started(WLAN)
    scene.links()
    assert scene.rules(LinkRules(roles=(("wlan0", NEVER),))) == []
    assert scene.feed(TimeCame()) == []


def test_a_path_on_a_link_nobody_knows_is_kept_until_something_works() -> None:
    scene = Scene.started(link(9, "wlan9"))
    scene.links(WLAN)
    assert scene.on(link(9, "wlan9")) == [(0, PRIMARY)]
    assert closings(scene.prove(1)) == [(0, POOR)]
    assert IfIndex(9) not in {view.ifindex for view in scene.state.paths.values()}
