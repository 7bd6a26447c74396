"""The keeper of paths: links that come, go and change their roles, in virtual time."""

from dataclasses import replace

import pytest
import trio
import trio.testing

from mqvpn_core.config import LinkRole
from mqvpn_core.ids import PathId
from mqvpn_core.quic.events import (
    HandshakeConfirmed,
    KeysUpdated,
    PathIdsAvailable,
)
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.runtime.path_keeper import LINGER
from mqvpn_core.tunnel.link_rules import LinkRules
from mqvpn_core.tunnel.link_table import LinkMedium
from mqvpn_core.tunnel.path_policy import FIRST_PAUSE
from mqvpn_core.wire.code_points import TransportErrorCode
from tests.runtime.path_keeper_scene import REMOTE, ZERO, Scene, gone, played
from tests.runtime.virtual_time import run_virtual
from tests.unit.tunnel.links import ETH, WLAN, WWAN, link
from tests.unit.tunnel.policy_scene import down


def test_further_links_get_paths_with_sockets_of_their_own() -> None:
    scene = Scene(WLAN, ETH, WWAN)

    async def story() -> None:
        paths = scene.connection.paths
        assert [each.local.host for each in paths.values()] == [
            "192.0.1.2",
            "192.0.3.2",
            "192.0.2.2",
        ]
        assert {each.remote for each in paths.values()} == {REMOTE}
        assert scene.connection.uses == {1: PathUse.PRIMARY, 2: PathUse.BACKUP}
        assert scene.driver.sockets == [socket for _, socket in scene.opened]
        assert scene.open_names == ["eth0", "wlan0", "wwan0"]
        assert scene.driver.kicks > 0
        assert not scene.is_cut_off()

    played(scene, story)


def test_nothing_is_opened_before_the_handshake_is_confirmed() -> None:
    scene = Scene(WLAN, ETH)
    scene.connection.handshake_confirmed = False

    async def story() -> None:
        assert list(scene.connection.paths) == [ZERO]
        await scene.tell(KeysUpdated(key_phase=1, initiated_locally=True), HandshakeConfirmed())
        assert len(scene.connection.paths) == 2

    played(scene, story)


def test_a_lost_link_is_given_up_and_its_socket_closed_soon() -> None:
    scene = Scene(WLAN, ETH)

    async def story() -> None:
        await scene.prove(1)
        kicks = scene.driver.kicks
        await scene.become(ETH)
        ((path_id, code, reason),) = scene.connection.abandoned
        assert (path_id, code) == (ZERO, TransportErrorCode.PATH_UNSTABLE_OR_POOR)
        assert reason
        assert scene.driver.kicks > kicks
        assert scene.open_names == ["eth0", "wlan0"], "acknowledgements may still arrive"
        await scene.tell(gone(0))
        await trio.sleep(LINGER + 0.1)
        assert scene.driver.dropped == [scene.first]
        assert list(scene.names.values()) == ["eth0"]
        assert len(scene.opened) == 1

    played(scene, story)


def test_plugging_and_unplugging_leaves_nothing_behind() -> None:
    scene = Scene(WLAN)
    scene.connection.ids_left = 1000

    async def story() -> None:
        for path_id in range(1, 201):
            await scene.become(WLAN, ETH)
            await scene.prove(path_id)
            await scene.become(WLAN)
            await scene.tell(gone(path_id))
            await trio.sleep(2)
        assert scene.open_names == ["wlan0"]
        assert list(scene.connection.paths) == [ZERO]
        assert len(scene.names) == 1
        assert len(scene.driver.dropped) == 200
        assert len(scene.keeper._sockets) == 1
        assert scene.keeper._unclosed == {}

    played(scene, story)


def test_a_link_that_comes_back_with_the_same_port_keeps_its_name() -> None:
    scene = Scene(WLAN, ETH)
    scene.has_one_port = True

    async def story() -> None:
        await scene.prove(1)
        await scene.become(WLAN)
        await scene.tell(gone(1))
        await scene.become(WLAN, ETH)
        await scene.prove(2)
        await trio.sleep(LINGER + 0.1)
        assert scene.open_names == ["eth0", "wlan0"]

    played(scene, story)


def test_what_the_connection_cannot_do_without_is_closed_later() -> None:
    scene = Scene(WLAN, ETH)

    async def story() -> None:
        await scene.prove(1)
        scene.connection.cannot_do_without.add(ZERO)
        await scene.become(ETH)
        assert scene.connection.abandoned == []
        scene.connection.cannot_do_without.clear()
        await scene.become(ETH, down(WWAN))
        assert [path_id for path_id, _, _ in scene.connection.abandoned] == [ZERO]

    played(scene, story)


def test_a_socket_that_cannot_be_opened_is_tried_again() -> None:
    scene = Scene(WLAN, ETH)
    scene.refused.add("eth0")

    async def story() -> None:
        assert list(scene.connection.paths) == [ZERO]
        scene.refused.clear()
        await trio.sleep(FIRST_PAUSE + 0.1)
        assert len(scene.connection.paths) == 2

    played(scene, story)


def test_without_a_free_path_id_the_socket_is_closed_until_there_is_one() -> None:
    scene = Scene(WLAN, ETH)
    scene.connection.ids_left = 0

    async def story() -> None:
        ((_, socket),) = scene.opened
        assert socket.is_closed
        assert scene.driver.sockets == []
        await trio.sleep(100)
        scene.connection.ids_left = 1
        await scene.tell(PathIdsAvailable())
        assert len(scene.connection.paths) == 2

    played(scene, story)


def test_without_multipath_the_path_is_moved() -> None:
    scene = Scene(WLAN, ETH)
    scene.connection.multipath_negotiated = False

    async def story() -> None:
        assert scene.opened == []
        await scene.become(ETH)
        assert scene.connection.paths[ZERO].local.host == "192.0.3.2"
        await trio.sleep(LINGER + 0.1)
        assert scene.first.is_closed
        assert scene.open_names == ["eth0"]

    played(scene, story)


def test_moving_that_is_refused_is_tried_again() -> None:
    scene = Scene(WLAN)
    scene.connection.multipath_negotiated = False
    kept = scene.connection.paths

    async def story() -> None:
        scene.connection.paths = {}
        await scene.become(ETH)
        assert all(socket.is_closed for _, socket in scene.opened)
        scene.connection.paths = kept
        await trio.sleep(FIRST_PAUSE + 0.1)
        assert kept[ZERO].local.host == "192.0.3.2"

    played(scene, story)


def test_roles_change_while_running() -> None:
    scene = Scene(WLAN, ETH)

    async def story() -> None:
        await scene.prove(1)
        scene.board.set_role("eth0", LinkRole.BACKUP)
        await trio.testing.wait_all_tasks_blocked()
        assert scene.connection.uses[PathId(1)] is PathUse.BACKUP
        scene.board.set_role("eth0", LinkRole.NEVER)
        await trio.testing.wait_all_tasks_blocked()
        assert [each[1] for each in scene.connection.abandoned] == [
            TransportErrorCode.APPLICATION_ABANDON_PATH
        ]

    played(scene, story)


def test_rates_are_limited_in_both_directions() -> None:
    scene = Scene(WLAN, ETH, rules=LinkRules(rate_limits=(("eth*", 1000),)))

    async def story() -> None:
        ((_, eth),) = scene.opened
        assert scene.connection.rates == {0: None, 1: 1000}
        assert (scene.first.rate, eth.rate) == (None, 1000)
        scene.board.set_rate_limit("wlan0", 5000)
        scene.board.set_rate_limit("eth*", None)
        await trio.testing.wait_all_tasks_blocked()
        assert scene.connection.rates == {0: 5000, 1: None}
        assert (scene.first.rate, eth.rate) == (5000, None)
        del scene.connection.paths[PathId(1)]
        scene.board.set_rate_limit("eth0", 7)
        await trio.testing.wait_all_tasks_blocked()

    played(scene, story)


def test_a_role_for_a_path_that_has_just_ended_is_no_error() -> None:
    scene = Scene(WLAN, ETH)

    async def story() -> None:
        await scene.prove(1)
        del scene.connection.paths[PathId(1)]
        scene.board.set_role("eth0", LinkRole.BACKUP)
        await trio.testing.wait_all_tasks_blocked()
        await scene.tell(gone(1))

    played(scene, story)


def test_a_forbidden_last_link_ends_the_connection() -> None:
    scene = Scene(WWAN)

    async def story() -> None:
        scene.board.set_used_up(frozenset({"wwan0"}))
        await trio.testing.wait_all_tasks_blocked()
        assert len(scene.connection.closed) == 1
        assert scene.keeper.end_reason is not None
        assert "wwan0" in scene.keeper.end_reason

    played(scene, story)


def test_silence_means_nothing_without_any_link() -> None:
    scene = Scene(WLAN)

    async def story() -> None:
        assert not scene.is_cut_off()
        await scene.become(down(WLAN))
        assert scene.is_cut_off()
        await scene.become(WLAN)
        assert not scene.is_cut_off()
        scene.links.become(replace(WLAN, known_ways=()))
        await trio.testing.wait_all_tasks_blocked()
        assert scene.is_cut_off()

    played(scene, story)


@pytest.mark.parametrize("name", ["wg7", "lo"])
def test_on_a_detour_silence_always_counts(name: str) -> None:
    detour = link(8, name, medium=LinkMedium.TUNNEL)
    scene = Scene(detour, is_detour=True)

    async def story() -> None:
        assert not scene.is_cut_off()
        await scene.become()
        assert not scene.is_cut_off()
        await scene.become(ETH)
        await scene.prove(1)
        assert [path_id for path_id, _, _ in scene.connection.abandoned] == [ZERO]
        await scene.tell(gone(0))
        await scene.become()
        assert scene.is_cut_off(), "from now on it is a connection like others"

    played(scene, story)


def test_it_ends_when_cancelled_at_any_time() -> None:
    async def main() -> None:
        for after in (0.0, 0.5, 1.0, 1.5):
            scene = Scene(WLAN, ETH)
            with trio.move_on_after(after):
                async with scene.running():
                    await scene.prove(1)
                    await scene.become(ETH)
                    await scene.tell(gone(0))
                    await trio.sleep(10)
            assert scene.keeper._nursery is None

    run_virtual(main)
