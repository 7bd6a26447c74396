"""What ends a client's driver: silence, closing, a device that is removed, faults."""

from collections.abc import Sequence

import pytest
import trio
import trio.testing
from typing_extensions import override

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.runtime.client_driver import (
    SILENCE_LIMIT,
    SILENT_PROBES,
)
from mqvpn_core.runtime.clock import read_clock
from tests.runtime.client_driver_scene import Scene
from tests.runtime.fakes import (
    AnsweringTun,
    datagram,
    transmit,
)
from tests.runtime.virtual_time import run_virtual


def test_a_device_that_is_removed_while_it_is_written_ends_the_driver() -> None:
    class Removed(AnsweringTun):
        @override
        def write_packets(self, packets: Sequence[Parcel]) -> int:
            self.remove()
            return len(packets)

    async def main() -> None:
        scene = Scene()
        scene.tun = Removed()
        async with scene.carrying():
            scene.socket.arrive(datagram(b"ip:data"))
            await trio.testing.wait_all_tasks_blocked()
            assert scene.driver.finished.is_set()
            assert scene.driver.device_failure is not None

    run_virtual(main)


@pytest.mark.parametrize(
    ("probes", "answers", "expected"),
    [(SILENT_PROBES, False, True), (SILENT_PROBES - 1, False, False), (99, True, False)],
)
def test_a_server_that_answers_no_probe_has_fallen_silent(
    *, probes: int, answers: bool, expected: bool
) -> None:
    async def main() -> None:
        scene = Scene()
        scene.transport.period = 0.5
        scene.transport.probe_timeouts = probes
        start = read_clock()
        with trio.move_on_after(10.0):
            async with trio.open_nursery() as nursery:
                scene.socket.arrive(datagram(b"timer 0.5"))
                nursery.start_soon(scene.driver.run)
                await trio.sleep(2.0)
                while answers:
                    scene.socket.arrive(datagram(b"ack"))
                    await trio.sleep(2.0)
        assert scene.driver.has_fallen_silent is expected
        if expected:
            assert SILENCE_LIMIT <= read_clock() - start < SILENCE_LIMIT + 1.0

    run_virtual(main)


def test_run_ends_when_the_connection_is_closed() -> None:
    async def main() -> None:
        scene = Scene()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.driver.run)
            scene.socket.arrive(datagram(b"bye"))
        assert scene.driver.settled.is_set()
        assert scene.driver.finished.is_set()

    run_virtual(main)


def test_finish_sends_what_is_due_and_ends() -> None:
    async def main() -> None:
        scene = Scene()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.driver.run)
            await trio.testing.wait_all_tasks_blocked()
            scene.transport.outgoing.append(transmit(b"connection close"))
            scene.driver.finish()
        assert scene.socket.sent == [b"connection close"]

    run_virtual(main)


def test_a_removed_device_ends_the_driver_and_says_so() -> None:
    async def main() -> None:
        scene = Scene()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.driver.run)
            scene.driver.carry(scene.tun)
            scene.tun.remove()
        assert "removed" in str(scene.driver.device_failure)

    run_virtual(main)


def test_an_error_in_the_core_surfaces() -> None:
    async def main() -> None:
        scene = Scene()
        scene.socket.arrive(datagram(b"crash"))
        planted = pytest.RaisesExc(RuntimeError, match="planted")
        with pytest.RaisesGroup(planted, flatten_subgroups=True):
            await scene.driver.run()

    run_virtual(main)


def test_silence_means_nothing_while_no_link_works() -> None:
    async def main() -> None:
        scene = Scene()
        scene.transport.period = 0.5
        scene.transport.probe_timeouts = 99
        scene.driver.hold_out(is_cut_off=True)
        async with scene.running():
            scene.socket.arrive(datagram(b"timer 0.5"))
            await trio.sleep(100.0)
            assert not scene.driver.finished.is_set()
            scene.driver.hold_out(is_cut_off=False)
            await trio.sleep(SILENCE_LIMIT - 0.1)
            assert not scene.driver.finished.is_set()
            await trio.sleep(1.0)
            assert scene.driver.has_fallen_silent

    run_virtual(main)


def test_paths_that_were_given_up_do_not_count_as_answering() -> None:
    async def main() -> None:
        scene = Scene()
        scene.transport.period = 0.5
        scene.transport.probe_timeouts = 99
        scene.transport.has_given_up_path = True
        async with scene.running():
            scene.socket.arrive(datagram(b"timer 0.5"))
            await trio.sleep(SILENCE_LIMIT + 1.0)
            assert scene.driver.has_fallen_silent

    run_virtual(main)
