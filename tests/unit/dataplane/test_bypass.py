"""What Python says to a bypass, when, and what it can rely on."""

import errno
import select
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from mqvpn_core.dataplane.packets import PeerKey, ShortHeader
from tests.differential.test_frames import packets_of
from tests.unit.dataplane.bypass_rig import (
    CID,
    FLOW,
    FRONT,
    LANE,
    LINGER,
    PATH_ID,
    PATIENCE,
    PREFIX,
    SOCKET,
    Happened,
    Rig,
    flow_of,
    ip,
)


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


def test_it_works_over_ipv6() -> None:
    rig = Rig(socket.AF_INET6)
    rig.open_inbound()
    rig.open_outbound()
    rig.bypass.approve(LANE, FLOW, ip(0))
    rig.arrive(rig.seal_ip(0, [ip(1)]))
    rig.emit([ip(2)])
    happened = rig.round()
    assert happened.taken == [(0, 1)]
    assert [entry[:2] for entry in happened.sent] == [(LANE, 0)]
    assert rig.at_host() == [ip(1)]
    assert rig.opened_at_peer() == [(0, FRONT + ip(2))]
    rig.close()


def test_flows_that_are_forgotten_do_not_pass(rig: Rig) -> None:
    rig.open_inbound()
    rig.open_outbound()
    rig.bypass.approve(LANE, FLOW, ip(0))
    assert flow_of(ip(0)) in rig.flows
    assert None not in rig.flows
    rig.flows.clear()
    assert len(rig.flows) == 0
    sealed = rig.seal_ip(0, [ip(0)])
    rig.arrive(sealed)
    rig.emit([ip(1)])
    happened = rig.round()
    assert happened.handed_datagrams == sealed
    assert happened.parcels == [ip(1)]
    assert (rig.at_host(), rig.at_peer()) == ([], [])
    rig.flows.add(flow_of(ip(0)))
    rig.arrive(rig.seal_ip(1, [ip(0)]))
    assert rig.round().taken == [(1, 1)]


def test_nothing_moves_while_it_is_held(rig: Rig) -> None:
    rig.open_inbound()
    sealed = rig.seal_ip(0, [ip(0), ip(1)])
    rig.arrive(sealed[:1])
    rig.round()
    rig.arrive(sealed[1:])
    rig.emit([ip(2)])
    assert rig.bypass.hold() == ([], [], [], [], [], 0, 0, 0)
    assert rig.at_near() == sealed[1:]
    assert rig.device.recv(1000)[10:] == ip(2)
    assert select.select([rig.bypass], [], [], 0)[0] == []


def test_what_is_not_armed_is_left_alone(rig: Rig) -> None:
    rig.open_inbound()
    rig.bypass.arm(True, [])
    sealed = rig.seal_ip(0, [ip(0)])
    rig.arrive(sealed)
    rig.emit([ip(1)])
    assert rig.round().parcels == [ip(1)]
    assert rig.at_near() == sealed
    rig.bypass.arm(False, [SOCKET])
    rig.arrive(sealed)
    rig.emit([ip(1)])
    assert rig.round().taken == [(0, 1)]
    assert rig.device.recv(1000)[10:] == ip(1)


def test_arming_is_noticed_at_once(rig: Rig) -> None:
    rig.bypass.arm(False, [])
    rig.bypass.release(LINGER)
    rig.emit([ip(1)])
    rig.bypass.arm(True, [])
    assert rig.wait().parcels == [ip(1)]


def test_a_pause_ends_the_wait_of_what_can_wait(rig: Rig) -> None:
    rig.open_inbound()
    rig.bypass.release(1000 * PATIENCE)
    rig.arrive(rig.seal_ip(0, [ip(0)]))
    assert rig.wait().taken == [(0, 1)]


def test_errors_of_the_socket_are_reported(rig: Rig) -> None:
    address = rig.peer.getsockname()
    rig.peer.close()
    rig.near.connect(address)
    rig.near.send(b"anybody?")
    ((_, _, _, _, _, _, errors),) = rig.round().counts
    assert errors == [errno.ECONNREFUSED]


def test_a_device_that_is_gone_is_reported_once(rig: Rig) -> None:
    rig.open_inbound()
    rig.emit([ip(0)])
    rig.host.close()
    happened = rig.round()
    assert (happened.parcels, happened.device_error) == ([ip(0)], errno.EPIPE)
    rig.arrive([b"\x40"])
    assert rig.round().device_error == 0


def test_what_is_handed_up_is_bounded(rig: Rig) -> None:
    rig.bypass.release(LINGER)
    datagrams = [b"\x40%04d" % index for index in range(1200)]
    for start in range(0, len(datagrams), 100):
        rig.arrive(datagrams[start : start + 100])
        if start < 1000:
            _wait_until_read(rig)
    found = rig.wait().handed_datagrams
    assert len(found) <= 1024 + 100
    # What was left at the socket comes next.
    while len(found) < len(datagrams):
        found += rig.round().handed_datagrams
    assert found == datagrams


def _wait_until_read(rig: Rig) -> None:
    """Wait until the thread has taken what lies at the socket."""
    poll = select.poll()
    poll.register(rig.near, select.POLLIN)
    deadline = PATIENCE
    while poll.poll(0):
        assert deadline > 0
        deadline -= 0.001
        select.select([], [], [], 0.001)


def test_a_removed_socket_is_not_used_any_more(rig: Rig) -> None:
    rig.open_inbound()
    rig.open_outbound()
    rig.bypass.approve(LANE, FLOW, ip(0))
    rig.arrive([b"\x40"])
    rig.round()
    rig.bypass.release(LINGER)
    rig.bypass.hold()
    address = rig.near.getsockname()
    rig.near.close()
    rig.bypass.remove_socket(SOCKET)
    rig.bypass.remove_socket(SOCKET)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as next_one:
        next_one.bind(address)
        rig.bypass.add_socket(SOCKET, next_one.fileno())
        rig.bypass.arm(True, [SOCKET])
        rig.emit([ip(0)])
        sealed = rig.seal_ip(0, [ip(1)])
        rig.peer.sendto(sealed[0], address)
        happened = rig.round()
    assert happened.parcels == [ip(0)]
    assert happened.handed_datagrams == sealed


def test_sockets_change_only_while_it_is_held(rig: Rig) -> None:
    rig.bypass.release(LINGER)
    with pytest.raises(ValueError, match="not held"):
        rig.bypass.remove_socket(SOCKET)
    with pytest.raises(ValueError, match="not held"):
        rig.bypass.add_socket(8, rig.near.fileno())


def test_wrong_arguments_are_refused(rig: Rig) -> None:
    bypass, keys, flows = rig.bypass, rig.keys, rig.flows
    peer, header = rig.peer_key, ShortHeader(CID, 0, 4)
    no_host: PeerKey = (b"\1", 1, 0, b"")

    def inbound(cid: bytes, key: int, who: PeerKey, prefix: bytes) -> None:
        bypass.open_inbound(cid, key, who, keys, PATH_ID, 0, -1, prefix, flows)

    def outbound(key: int, who: PeerKey, prefix: bytes) -> None:
        bypass.open_outbound(0, key, who, keys, PATH_ID, header, 0, prefix, flows, 1, 1, 1, False)

    for cid, key, who, prefix in (
        (b"", SOCKET, peer, PREFIX),
        (bytes(21), SOCKET, peer, PREFIX),
        (CID, 8, peer, PREFIX),
        (CID, SOCKET, no_host, PREFIX),
        (CID, SOCKET, peer, b"\0"),
    ):
        with pytest.raises(ValueError, match=r"connection ID|socket|address|prefix"):
            inbound(cid, key, who, prefix)
        if len(cid) == len(CID):
            with pytest.raises(ValueError, match=r"socket|address|prefix"):
                outbound(key, who, prefix)
    with pytest.raises(ValueError, match="no socket"):
        bypass.arm(True, [SOCKET, 8])
    with pytest.raises(ValueError, match="there is a socket"):
        bypass.add_socket(SOCKET, rig.near.fileno())
    with pytest.raises(OSError, match="Bad file"):
        rig.native.Bypass(-1, True)


def test_closing_gives_everything_back(rig: Rig) -> None:
    before = _count_descriptors()
    for is_released in (False, True):
        other = rig.native.Bypass(rig.device.fileno(), True)
        other.add_socket(1, rig.near.fileno())
        other.arm(True, [1])
        if is_released:
            other.release(LINGER)
        other.close()
        other.close()
        for call in (other.hold, partial(other.release, LINGER), other.fileno):
            with pytest.raises(ValueError, match="closed"):
                call()
        del other, call
    rig.native.Bypass(rig.device.fileno(), True).release(LINGER)
    assert _count_descriptors() == before


class Tally:
    """What became of packets, over many rounds."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.handed: list[bytes] = []
        self.parcels: list[bytes] = []
        self.sent: list[int] = []

    def add(self, happened: Happened) -> None:
        self.taken += [first + at for first, count in happened.taken for at in range(count)]
        self.handed += happened.handed_datagrams
        self.parcels += packets_of(happened.parcels)
        for _, first, shapes, _, _, _ in happened.sent:
            self.sent += range(first, first + sum(count for _, count, _ in shapes))


def test_nothing_is_lost_while_python_keeps_changing_its_mind(rig: Rig) -> None:
    count = 600
    sealed = rig.seal_ip(0, [ip(index) for index in range(count)])
    tally = Tally()
    at_host: list[bytes] = []
    at_peer: list[int] = []
    rig.bypass.release(LINGER)
    for start in range(0, count, 4):
        rig.arrive(sealed[start : start + 4])
        rig.emit([ip(start), ip(start + 1)])
        # The thread may be anywhere when this happens.
        if start % 12 == 0:
            rig.flows.clear()
            rig.flows.add(flow_of(ip(0)))
        tally.add(rig.wait() if start % 8 else Happened(*rig.bypass.hold()))
        if start % 16 == 0:
            rig.open_inbound(largest=max([-1, *tally.taken]))
        elif start % 16 == 12:
            rig.bypass.close_inbound(CID)
        rig.open_outbound(next_number=len(tally.sent), max_packets=start % 5)
        rig.bypass.approve(LANE, FLOW, ip(0))
        rig.bypass.release(LINGER)
        at_host += rig.at_host()
        at_peer += [number for number, _ in rig.opened_at_peer()]
    while len(tally.taken + tally.handed) < count or len(tally.parcels + tally.sent) < count // 2:
        tally.add(rig.wait())
        rig.bypass.release(LINGER)
    at_host += rig.at_host()
    at_peer += [number for number, _ in rig.opened_at_peer()]
    assert at_host == [ip(number) for number in tally.taken]
    assert sorted(tally.handed + [sealed[number] for number in tally.taken]) == sorted(sealed)
    assert at_peer == tally.sent == list(range(len(tally.sent)))
    assert len(tally.parcels) + len(tally.sent) == count // 2


def _count_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
