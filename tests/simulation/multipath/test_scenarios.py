"""Stories with several paths: links that fail, flap and come back, and what is left afterwards."""

import pytest

from mqvpn_core.ids import PathId
from mqvpn_core.quic.events import (
    ConnectionTerminated,
    PathAbandoned,
    PathOpened,
    PathRecovered,
    PathSuspected,
)
from mqvpn_core.quic.path_manager import PathUnavailableError
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.testing.link_elements import Delay, Jitter, Loss
from mqvpn_core.testing.multi_pair import LINK_DELAY, MULTIPATH_PAIR, MultiPair
from mqvpn_core.testing.pair import PairConfig, Peer
from tests.simulation.multipath.keeper import PathKeeper
from tests.simulation.multipath.leaks import assert_tidy
from tests.simulation.multipath.path_rules import PathRules
from tests.simulation.multipath.scene import ROLES, Scene, opened, scene_over

ONE = PathId(1)
QUIET = TransportConfig(initial_max_path_id=4, keep_alive=None)
QUIET_PAIR = PairConfig(client=QUIET, server=QUIET)
CYCLES = 200


def path_story(peer: Peer, path_id: int) -> list[str]:
    """Names of what happened to a path's health, in order."""
    kinds = (PathSuspected, PathRecovered, PathAbandoned)
    return [
        type(event).__name__
        for event in peer.events
        if isinstance(event, kinds) and event.path_id == path_id
    ]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("path_id", [0, 1])
def test_a_black_hole_is_suspected_after_about_one_pto(path_id: int, role: str) -> None:
    with opened(2, config=QUIET_PAIR) as scene:
        recovery = scene.peer(role).connection._paths[PathId(path_id)].current.recovery
        timeout = recovery.probe_timeout()
        scene.pair.link(path_id).is_up = False
        start = scene.simulator.elapsed
        scene.ping(role, path_id)
        scene.until(lambda: bool(scene.peer(role).events_of(PathSuspected)), limit=2.0)
        assert scene.simulator.elapsed - start <= 1.1 * timeout + 0.002
        # Meanwhile the other path carries everything.
        scene.transfer()
        scene.until(lambda: path_id not in scene.states(role), limit=30.0)
        assert path_story(scene.peer(role), path_id) == ["PathSuspected", "PathAbandoned"]
        assert scene.states(role) == {1 - path_id: "active"}


@pytest.mark.parametrize("path_id", [0, 1])
def test_a_short_black_hole_ends_with_recovery(path_id: int) -> None:
    """A path that works again is in use within a second, without being opened anew."""
    with opened(2, config=QUIET_PAIR) as scene:
        scene.pair.link(path_id).is_up = False
        scene.ping("client", path_id)
        scene.run(4.0)
        assert scene.states("client")[path_id] == "suspect"
        scene.pair.link(path_id).is_up = True
        start = scene.simulator.elapsed
        scene.until(lambda: scene.states("client")[path_id] == "active", limit=2.0)
        assert scene.simulator.elapsed - start < 0.6
        assert path_story(scene.client, path_id) == ["PathSuspected", "PathRecovered"]
        (event,) = scene.client.events_of(PathRecovered)
        assert event.silent_for > 3.9
        scene.assert_alive()


def test_all_paths_are_lost_for_a_while_and_the_connection_goes_on() -> None:
    with opened(3, config=QUIET_PAIR) as scene:
        for index in range(3):
            scene.pair.link(index).is_up = False
        for path_id in range(3):
            scene.ping("client", path_id)
        scene.run(20.0)
        assert set(scene.states("client").values()) == {"suspect"}
        assert not scene.client.events_of(PathAbandoned)
        scene.pair.link(2).is_up = True
        scene.until(lambda: scene.states("client")[2] == "active", limit=1.0)
        scene.transfer()


@pytest.mark.slow
def test_a_link_that_flaps_hundreds_of_times_never_runs_out_of_path_ids() -> None:
    """Each time the kernel reports it, so that each time a path is given up and another opened."""
    with MultiPair(1, QUIET_PAIR) as pair:
        scene = Scene(pair, PathRules(pair))
        pair.handshake()
        scene.run(0.5)
        keeper = PathKeeper(pair)
        for _ in range(300):
            pair.link(1).is_up = False
            keeper.report(1, is_up=False)
            scene.run(0.15)
            pair.link(1).is_up = True
            keeper.report(1, is_up=True)
            scene.run(0.15)
        keeper.stop()
        assert len(pair.client.events_of(PathOpened)) >= 300
        scene.run(3.0)
        assert scene.states("client")[0] == "active"
        scene.transfer()
        scene.run(2.0)
        assert_tidy(pair)
        scene.rules.finish()


@pytest.mark.slow
def test_flapping_faster_than_path_ids_come_back_only_waits() -> None:
    """The client is told when it can go on; it never ends up without a path."""
    with MultiPair(1, QUIET_PAIR, [(Delay(0.1),), (Delay(0.1),)]) as pair:
        scene = Scene(pair, PathRules(pair))
        pair.handshake()
        scene.run(1.0)
        refusals = 0
        for _ in range(200):
            try:
                path_id = pair.open(1)
            except PathUnavailableError:
                refusals += 1
            else:
                scene.run(0.01)
                pair.abandon(path_id)
            scene.run(0.04)
        assert 0 < refusals < 200
        scene.run(13.0)
        pair.open(1)
        scene.run(2.0)
        assert len(scene.states("client")) == 2
        assert_tidy(pair)
        scene.rules.finish()


def test_asymmetric_delays_with_key_updates_and_streams() -> None:
    unequal = [(Delay(0.002),), (Delay(0.25), Jitter(0.05)), (Delay(0.08), Loss(0.03))]
    with scene_over(unequal, config=QUIET_PAIR, seed=5) as scene:
        for _ in range(6):
            for role in ROLES:
                scene.peer(role).request_key_update(scene.simulator.now)
                for path_id in (0, 1, 2):
                    scene.ping(role, path_id)
            scene.transfer(30_000)
            scene.run(1.0)
        for role in ROLES:
            statistics = scene.peer(role).connection.statistics()
            assert statistics.key_phase >= 3
            assert statistics.undecryptable_packets == 0


def test_a_server_that_was_restarted_resets_what_comes_on_any_path() -> None:
    """The client learns it from the first answer, whichever path it is."""
    with opened(3, config=QUIET_PAIR, watched=False) as scene:
        scene.rules.is_watching = False
        scene.pair.link(0).is_up = False
        scene.pair.restart_server("after the crash")
        scene.ping("client", 0)
        scene.run(0.02)
        assert not scene.client.events_of(ConnectionTerminated)
        scene.ping("client", 2)
        scene.run(0.1)
        assert scene.client.termination is not None
        assert "reset" in scene.client.termination.reason


@pytest.mark.slow
def test_two_hundred_cycles_of_opening_and_abandoning_leave_nothing_behind() -> None:
    """A hundred seconds of it: paths, connection IDs, routes, frames and timers stay flat."""
    with MultiPair(1, QUIET_PAIR, [(LINK_DELAY,), (LINK_DELAY,), (LINK_DELAY,)]) as pair:
        scene = Scene(pair, PathRules(pair))
        pair.handshake()
        scene.run(1.0)
        sizes: list[tuple[int, ...]] = []
        for cycle in range(CYCLES):
            path_id = pair.open(1 + cycle % 2)
            scene.run(0.12)
            pair.abandon(path_id, by_server=bool(cycle % 3))
            scene.run(0.38)
            if cycle % 50 == 49:
                scene.run(3.0)
                assert_tidy(pair)
                sizes.append(remembered(pair))
        assert pair.simulator.elapsed > 100
        assert len(set(sizes)) == 1, sizes
        scene.transfer()
        # Nothing is due but the idle timeout.
        scene.run(5.0)
        for peer in (pair.client, pair.server):
            due = peer.connection.next_timeout()
            assert due is not None
            assert due - pair.simulator.now > 10.0
        scene.rules.finish()


def remembered(pair: MultiPair) -> tuple[int, ...]:
    """Sizes of what both ends keep."""
    sizes: list[int] = []
    for peer in (pair.client, pair.server):
        connection = peer.connection
        manager, local = connection._manager, connection.local_connection_ids
        sizes += [
            len(connection._paths),
            len(connection._exchange._peer),
            len(local._by_bytes),
            len(local._next_sequence),
            len(manager._peer_status),
            len(manager._never_opened),
            len(connection._protection._numbers),
            len(connection._path_ids._discarded),
            len(connection._sources.control_frames),
            len(connection._sources.control_frames._newest),
        ]
    sizes += [len(pair.server_node.endpoint._routes), len(pair.server_node.endpoint._timeouts)]
    return tuple(sizes)


def test_a_pair_has_plain_settings_by_default() -> None:
    assert MULTIPATH_PAIR.client.initial_max_path_id == 4
    assert MULTIPATH_PAIR.client == MULTIPATH_PAIR.server
