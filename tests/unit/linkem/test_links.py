"""Links are cut, restored, made of different interfaces, and leave nothing behind."""

import fcntl
import socket
import struct
import time
from contextlib import closing
from pathlib import Path

import pytest

from mqvpn_core.demo.namespaces import NetworkNamespace
from tests.linkem.building import EmulatorError, emulator_executable
from tests.linkem.emulated_link import Direction, End, Kind, LinkOptions, emulate
from tests.linkem.impairments import Impairments
from tests.linkem.requirement import need_emulator
from tests.unit.linkem.wire import FAR, FAR6, NEAR6, Wire, open_wire

_SIOCGIFFLAGS = 0x8913
_IFF_RUNNING = 0x40

pytestmark = [pytest.mark.netns, pytest.mark.slow]


def test_black_hole_swallows_everything_silently(wire: Wire) -> None:
    wire.link.set_black_hole(on=True)
    assert wire.up(10) == wire.down(10) == []
    assert wire.link.statistics(Direction.UP).swallowed == 10
    assert wire.machines[0].call(lambda: _is_running("near0"))
    wire.link.set_black_hole(on=False)
    assert len(wire.up(10)) == len(wire.down(10)) == 10


def test_black_hole_may_be_in_one_direction(wire: Wire) -> None:
    wire.link.set_black_hole(on=True, direction=Direction.DOWN)
    assert len(wire.up(10)) == 10
    assert wire.down(10) == []


def test_black_hole_takes_what_is_under_way(wire: Wire) -> None:
    wire.link.impair(Impairments(delay=0.1))
    wire.near.sendto(b"under way", wire.far.getsockname())
    while not wire.link.statistics(Direction.UP).flying:
        pass
    wire.link.set_black_hole(on=True)
    wire.far.settimeout(0.2)
    with pytest.raises(TimeoutError):
        wire.far.recv(100)
    assert wire.link.statistics(Direction.UP).swallowed == 1


def test_carrier_is_seen_by_the_machine_that_loses_it(wire: Wire) -> None:
    near, far = wire.machines
    wire.link.set_carrier(on=False)
    _wait_for_carrier(near, "near0", on=False)
    assert far.call(lambda: _is_running("far0"))
    assert wire.up(10) == wire.down(10) == []
    assert wire.link.statistics(Direction.DOWN).unplugged == 10
    wire.link.set_carrier(on=True)
    _wait_for_carrier(near, "near0", on=True)
    assert len(wire.up(10)) == len(wire.down(10)) == 10


def test_far_end_may_lose_its_carrier(wire: Wire) -> None:
    wire.link.set_carrier(on=False, near=False)
    _wait_for_carrier(wire.machines[1], "far0", on=False)
    assert wire.machines[0].call(lambda: _is_running("near0"))
    assert wire.up(10) == []


def test_interface_that_is_taken_down_and_up_again_works(wire: Wire) -> None:
    far = wire.machines[1]
    far.set_link("far0", up=False)
    assert wire.up(10) == []
    assert wire.link.statistics(Direction.UP).unwritten == 10
    far.set_link("far0", up=True)
    assert len(wire.up(10)) == 10


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_of_end_carries_packets_with_impairments(tmp_path: Path, kind: Kind) -> None:
    need_emulator()
    with open_wire(tmp_path, kind=kind) as wire:
        wire.link.impair(Impairments(delay=0.01))
        arrivals = wire.up(20) + wire.down(20)
        assert len(arrivals) == 40
        assert min(each.delay for each in arrivals) > 0.0094


def test_veth_has_no_carrier_of_ours(tmp_path: Path) -> None:
    need_emulator()
    with (
        open_wire(tmp_path, kind=Kind.VETH) as wire,
        pytest.raises(EmulatorError, match="refuses 'carrier a 0'"),
    ):
        wire.link.set_carrier(on=False)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_coalesced_datagrams_arrive_one_by_one_and_whole(
    tmp_path: Path, family: socket.AddressFamily
) -> None:
    """More than fit into one, the last one shorter, and then another flow in between."""
    need_emulator()
    with open_wire(tmp_path, options=LinkOptions(coalesces=True)) as wire:
        near, far = wire.machines
        address = FAR
        if family == socket.AF_INET6:
            address = FAR6
            for machine, own, interface in ((near, NEAR6, "near0"), (far, FAR6, "far0")):
                machine.write_sysctl(f"ipv6/conf/{interface}/disable_ipv6", "0")
                machine.add_address(interface, f"{own}/64")
        sizes = [1200] * 40 + [700] + [1200] * 3
        wire.link.impair(Impairments(delay=0.005))
        with (
            closing(far.call(lambda: socket.socket(family, socket.SOCK_DGRAM))) as receiver,
            closing(near.call(lambda: socket.socket(family, socket.SOCK_DGRAM))) as first,
            closing(near.call(lambda: socket.socket(family, socket.SOCK_DGRAM))) as second,
        ):
            receiver.bind((address, 0))
            receiver.settimeout(2)
            sent = [bytes([number]) * size for number, size in enumerate(sizes)]
            for data in sent:
                sender = second if len(data) == 700 else first
                sender.sendto(data, receiver.getsockname())
            assert [receiver.recv(2000) for _ in sent] == sent


def test_devices_vanish_with_the_link(tmp_path: Path) -> None:
    need_emulator()
    with open_wire(tmp_path) as wire:
        near = wire.machines[0]
        assert "near0" in near.links()
        wire.link.stop()
        assert near.links() == ["lo"]
        with pytest.raises(EmulatorError, match=r"near0 - far0 does not answer"):
            wire.link.set_black_hole(on=True)


def test_link_that_cannot_be_made_says_why(wire: Wire, tmp_path: Path) -> None:
    near, far = wire.machines
    taken, free = (
        End(namespace=near, interface="near0"),
        End(namespace=far, interface="other0"),
    )
    with (
        pytest.raises(EmulatorError, match="cannot create near0: Device or resource busy"),
        emulate(taken, free, tmp_path),
    ):
        pass


@pytest.mark.parametrize("words", ["rate -1", "loss 101", "loss x", "delay 5min", "nonsense 1"])
def test_nonsense_is_refused_and_changes_nothing(wire: Wire, words: str) -> None:
    with pytest.raises(EmulatorError, match=f"refuses 'both {words}': error: {words}"):
        wire.link._order(f"both {words}")
    assert len(wire.up(20)) == 20


def test_long_nonsense_is_refused(wire: Wire) -> None:
    with pytest.raises(EmulatorError, match="too many words"):
        wire.link._order("both " + "loss 1 " * 40)
    with pytest.raises(EmulatorError, match="refuses 'xxx"):
        wire.link._order("x" * 4000)


def test_without_a_compiler_the_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(EmulatorError, match=r"needs a C compiler: apt-get install gcc"):
        emulator_executable.__wrapped__()


def _wait_for_carrier(machine: NetworkNamespace, interface: str, *, on: bool) -> None:
    """Linux tells the loss of a carrier up to a second late (net/core/link_watch.c)."""
    deadline = time.perf_counter() + 3
    while machine.call(lambda: _is_running(interface)) != on:
        assert time.perf_counter() < deadline, f"{interface}: carrier is not {on}"
        time.sleep(0.01)


def _is_running(interface: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        request = struct.pack("16sh14x", interface.encode(), 0)
        answer = fcntl.ioctl(asked, _SIOCGIFFLAGS, request)
    flags: int = struct.unpack("16sh14x", answer)[1]
    return bool(flags & _IFF_RUNNING)
