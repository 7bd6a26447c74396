"""The path policy under any story of links, rules, answers and failures."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqvpn_core.config import LinkRole
from mqvpn_core.ids import Instant, PathId
from mqvpn_core.tunnel.link_rules import LinkRules, role_of
from mqvpn_core.tunnel.link_table import Link, LinkMedium
from mqvpn_core.tunnel.path_messages import (
    ClosePath,
    Command,
    HandshakeDone,
    LinksChanged,
    PathStarted,
    PathView,
    RulesChanged,
    TimeCame,
)
from mqvpn_core.tunnel.path_policy import PathPolicy, next_timeout, step
from tests.unit.tunnel.links import SERVER4, SERVER6, link, table, without_ipv4
from tests.unit.tunnel.policy_scene import Scene, down

NAMES = ("wlan0", "eth0", "wwan0", "wg0")
LINKS = [
    link(1, "wlan0", medium=LinkMedium.WIRELESS),
    link(2, "eth0"),
    link(3, "wwan0", medium=LinkMedium.CELLULAR),
    link(4, "wg0", medium=LinkMedium.TUNNEL),
]


def shapes(one: Link) -> list[Link | None]:
    return [one, one, down(one), without_ipv4(one), replace(one, known_ways=()), None]


WORLDS = st.tuples(*(st.sampled_from(shapes(one)) for one in LINKS)).map(
    lambda links: [one for one in links if one is not None]
)
RULES = st.builds(
    LinkRules,
    paths=st.sampled_from([("auto",), ("wlan0", "wg0"), ("*",)]),
    roles=st.lists(
        st.tuples(st.sampled_from(NAMES), st.sampled_from(list(LinkRole))), max_size=3
    ).map(tuple),
    used_up=st.sets(st.sampled_from(NAMES), max_size=1).map(frozenset),
)
Act: TypeAlias = Callable[[Scene], list[Command]]


def prove_newest(scene: Scene) -> list[Command]:
    return scene.prove(max(scene.paths)) if scene.paths else []


def end_oldest(scene: Scene) -> list[Command]:
    return scene.end(min(scene.paths)) if len(scene.paths) > 1 else []


def confirm(scene: Scene) -> list[Command]:
    return scene.feed(HandshakeDone(is_multipath=True))


def run_out_of_ids(scene: Scene) -> list[Command]:
    scene.free_ids = 0
    return []


def free_ids(scene: Scene) -> list[Command]:
    scene.free_ids = 5
    return scene.free_id()


def refuse(names: set[str]) -> Act:
    def act(scene: Scene) -> list[Command]:
        scene.refuses = names
        return []

    return act


def having(links: list[Link]) -> Act:
    return lambda scene: scene.links(*links)


def wanting(rules: LinkRules) -> Act:
    return lambda scene: scene.rules(rules)


def waiting(seconds: float) -> Act:
    return lambda scene: scene.wait(seconds)


ACTS: st.SearchStrategy[Act] = st.one_of(
    WORLDS.map(having),
    RULES.map(wanting),
    st.sampled_from([prove_newest, end_oldest, confirm, run_out_of_ids, free_ids]),
    st.sets(st.sampled_from(NAMES), max_size=2).map(refuse),
    st.floats(0.1, 40.0).map(waiting),
)


@pytest.mark.slow
@settings(max_examples=300)
@given(st.lists(ACTS, max_size=25))
def test_the_connection_keeps_what_it_needs(story: list[Act]) -> None:
    scene = Scene.opened(LINKS[0], LINKS[1])
    for act in story:
        commands = act(scene)
        check_closings(scene, commands)
        check_state(scene)
        if scene.has_ended:
            return
        # Nothing is left to do: asking again at the same time changes nothing.
        assert scene.feed(TimeCame()) == []


def check_closings(scene: Scene, commands: list[Command]) -> None:
    if any(isinstance(command, ClosePath) for command in commands):
        assert any(path.is_validated for path in scene.paths.values())


def check_state(scene: Scene) -> None:
    state = scene.state
    assert set(state.paths) == set(scene.paths)
    sound = [view for view in state.paths.values() if not view.is_broken]
    assert len({view.ifindex for view in sound}) == len(sound), "one sound path a link"
    assert state.opening == frozenset(), "every command was answered"
    for view in sound:
        one = state.table.links[view.ifindex]
        assert view.source in one.addresses
        assert any(way.server == view.server for way in one.ways)
    served = {view.ifindex for view in sound}
    for ifindex, one in state.table.links.items():
        usable = one.ways and role_of(state.rules, one) is not LinkRole.NEVER
        if usable and ifindex not in served and state.is_multipath and not state.are_ids_short:
            assert state.tries[ifindex].not_before > scene.now
            assert next_timeout(state) is not None
    for path_id, path in scene.paths.items():
        assert path.role is state.paths[path_id].role


@pytest.mark.slow
@given(WORLDS, WORLDS, RULES)
def test_the_order_of_facts_does_not_matter(
    first: list[Link], second: list[Link], rules: LinkRules
) -> None:
    """Links and rules are facts: whichever comes first, the same wishes follow."""
    start = PathPolicy(rules=LinkRules(), table=table(*first), servers=(SERVER4, SERVER6))
    way = LINKS[1].ways[0]
    view = PathView(
        ifindex=LINKS[1].ifindex,
        source=way.source,
        server=way.server,
        role=LinkRole.PRIMARY,
        is_validated=True,
    )
    now = Instant(1.0)
    begun, _ = step(start, PathStarted(path_id=PathId(0), view=view), now)
    one, _ = step(begun, LinksChanged(table=table(*second)), now)
    one, _ = step(one, RulesChanged(rules=rules), now)
    other, _ = step(begun, RulesChanged(rules=rules), now)
    other, _ = step(other, LinksChanged(table=table(*second)), now)
    confirmed = HandshakeDone(is_multipath=True)
    assert {str(c) for c in step(one, confirmed, now)[1]} == {
        str(c) for c in step(other, confirmed, now)[1]
    }
