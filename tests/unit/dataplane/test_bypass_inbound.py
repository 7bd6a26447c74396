"""Plain packets of sockets go to the device; everything else comes up as it was."""

import select
import socket
import time
from collections.abc import Iterator

import pytest

from mqvpn_core.dataplane.packets import Bad, CipherSuite, OtherPhase, PeerKey
from tests.helper.packets import udp_packet
from tests.unit.dataplane.bypass_rig import (
    CID,
    FRONT,
    LINGER,
    PATIENCE,
    SOCKET,
    Happened,
    Rig,
    flow_of,
    ip,
)

OTHER_FLOW = ip(0, source="10.0.0.9")
ACK = b"\x02" + bytes(99)
"""Frames that only Python understands."""
ONLY_ACK = b"\x02\0\0\0\0"


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


def test_plain_packets_go_to_the_device(rig: Rig) -> None:
    rig.open_inbound()
    packets = [ip(index) for index in range(5)]
    sealed = rig.seal_ip(0, packets)
    rig.arrive(sealed)
    happened = rig.round()
    udp_bytes = sum(map(len, sealed))
    (taken,) = happened.arrivals
    assert taken[:5] == (CID, 0, 5, udp_bytes, 500)
    assert 0 <= taken[-1] < PATIENCE
    assert happened.counts == [(SOCKET, 5, udp_bytes, 0, 0, 0, [])]
    assert (happened.refused_count, happened.device_error) == (0, 0)
    assert rig.at_host() == packets


def test_what_is_joined_on_the_way_is_written_as_one_frame(rig: Rig) -> None:
    rig.open_inbound()
    packet = udp_packet("fd00::1", "fd00::2", bytes(52), (5, 9))
    rig.flows.add(flow_of(packet))
    sealed = rig.seal_ip(0, [packet] * 60)
    rig.arrive_together(sealed[:30])
    rig.arrive_together(sealed[30:])
    assert rig.round().taken == [(0, 60)]
    assert len(rig.host.recv(1 << 16)) == 10 + 48 + 60 * 52


def test_more_messages_than_there_are_slots_all_pass(rig: Rig) -> None:
    rig.near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    rig.open_inbound()
    rig.arrive(rig.seal_ip(0, [ip(index) for index in range(150)]))
    assert rig.round().taken == [(0, 150)]
    assert len(rig.at_host()) == 150


@pytest.mark.parametrize(
    "payload",
    [
        ACK,
        FRONT + OTHER_FLOW,
        FRONT + ip(0) + b"\0",
        FRONT + ip(0)[:8] + b"\0" + ip(0)[9:],
        b"\x30\0\2" + ip(0),
        b"\x31\0\0" + ip(0),
        b"\0\x30\0\0" + ip(0),
        FRONT,
        b"\x30",
    ],
    ids=["frames", "flow", "length", "hops", "context", "type", "padding", "empty", "short"],
)
def test_what_is_not_plain_is_handed_up_as_it_came(rig: Rig, payload: bytes) -> None:
    rig.open_inbound()
    sealed = rig.seal(0, [payload])
    rig.arrive(sealed)
    happened = rig.round()
    (handed,) = happened.handed
    assert handed[:2] == (SOCKET, (rig.peer_key, sealed[0], len(sealed[0]), 0))
    assert happened.taken == []
    assert rig.at_host() == []
    # Its number counts all the same.
    rig.arrive(rig.seal_ip(0, [ip(1)]))
    assert rig.round().taken == []


def test_what_comes_in_between_keeps_its_place(rig: Rig) -> None:
    rig.open_inbound()
    payloads = [FRONT + ip(index) for index in range(7)]
    payloads[2] = ACK + bytes(3)
    payloads[4] = FRONT + OTHER_FLOW
    sealed = rig.seal(0, payloads)
    rig.arrive_together(sealed[:6])
    rig.arrive(sealed[6:])
    happened = rig.round()
    assert [
        entry[1:3] if len(entry) == 6 else bytes(entry[1][1]) for entry in happened.arrivals
    ] == [
        (0, 2),
        sealed[2],
        (3, 1),
        sealed[4],
        (5, 2),
    ]
    assert sorted(rig.at_host()) == sorted(ip(index) for index in (0, 1, 3, 5, 6))


def test_numbers_pass_once(rig: Rig) -> None:
    rig.open_inbound(largest=9)
    sealed = rig.seal_ip(9, [ip(index) for index in range(4)])
    rig.arrive([*sealed, sealed[3], sealed[1]])
    happened = rig.round()
    assert happened.taken == [(10, 3)]
    assert happened.handed_datagrams == [sealed[0], sealed[3], sealed[1]]
    assert len(rig.at_host()) == 3


def test_a_gap_starts_another_range(rig: Rig) -> None:
    rig.open_inbound()
    sealed = rig.seal_ip(0, [ip(index) for index in range(9)])
    rig.arrive([sealed[0], sealed[1], sealed[4], sealed[8]])
    assert rig.round().taken == [(0, 2), (4, 1), (8, 1)]


def test_forged_packets_are_handed_up_as_forged(rig: Rig) -> None:
    rig.open_inbound()
    sealed = bytearray(rig.seal_ip(0, [ip(0)])[0])
    sealed[60] ^= 1
    rig.arrive([bytes(sealed)])
    (forged,) = rig.round().handed_datagrams
    assert forged[-16:] == sealed[-16:]
    assert rig.open(forged) == Bad(True)
    assert rig.at_host() == []


def test_the_other_key_phase_is_handed_up(rig: Rig) -> None:
    rig.open_inbound()
    sealed = rig.seal_ip(0, [ip(0)], phase=1)
    rig.arrive(sealed)
    assert rig.round().handed_datagrams == sealed
    assert rig.open(sealed[0]) == OtherPhase(0)
    rig.open_inbound(phase=1)
    rig.arrive(sealed)
    assert rig.round().taken == [(0, 1)]


def test_packets_for_others_are_handed_up(rig: Rig) -> None:
    rig.open_inbound()
    packets = [ip(0)]
    (sealed,) = rig.seal_ip(0, packets)
    (unknown,) = rig.seal(0, [FRONT + ip(0)], cid=b"abcdefgh")
    long_header = bytes([sealed[0] | 0x80]) + sealed[1:]
    rig.arrive([unknown, long_header, b"\x40", b"\x40" + CID])
    rig.arrive([sealed], ecn=3)
    happened = rig.round()
    assert happened.handed_datagrams == [unknown, long_header, b"\x40", b"\x40" + CID, sealed]
    assert happened.handed[-1][1][3] == 3
    # Two connections in one message.
    rig.arrive_together([sealed, unknown])
    assert rig.round().handed_datagrams == [sealed, unknown]
    assert rig.at_host() == []


def test_another_peer_is_another_peer(rig: Rig) -> None:
    host, port, scope, local = rig.peer_key
    peers: list[PeerKey] = [
        (host, port ^ 1, scope, local),
        (bytes(4), port, scope, local),
        (host, port, 1, local),
        (host, port, scope, host),
    ]
    sealed = rig.seal_ip(0, [ip(0)])
    for peer in peers:
        rig.open_inbound(peer=peer)
        rig.arrive(sealed)
        assert rig.round().handed_datagrams == sealed


def test_what_was_handed_up_does_not_pass_when_it_comes_again(rig: Rig) -> None:
    rig.open_inbound()
    sealed = rig.seal_ip(0, [ip(index) for index in range(3)])
    (unknown,) = rig.seal(0, [FRONT + ip(0)], cid=b"abcdefgh")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.sendto(sealed[0], rig.near.getsockname())
    rig.arrive(sealed[1:2], ecn=3)
    rig.arrive_together([unknown, sealed[2]])
    first = rig.round()
    assert sorted(first.handed_datagrams) == sorted([*sealed, unknown])
    rig.arrive(sealed)
    assert rig.round().handed_datagrams == sealed
    assert rig.at_host() == []


def test_connection_ids_may_differ_in_length(rig: Rig) -> None:
    rig.open_inbound()
    rig.open_inbound(b"abcd")
    rig.arrive(rig.seal(5, [FRONT + ip(1)], cid=b"abcd"))
    rig.arrive(rig.seal_ip(9, [ip(2)]))
    assert [entry[:3] for entry in rig.round().arrivals] == [(b"abcd", 5, 1), (CID, 9, 1)]


def test_other_keys_let_nothing_pass(rig: Rig) -> None:
    suite = CipherSuite.AES_128_GCM_SHA256
    rig.open_inbound(keys=rig.native.PacketKeys(suite, bytes(16), b"\1" * 12, bytes(16)))
    rig.arrive(rig.seal_ip(0, [ip(0)]))
    assert rig.round().taken == []
    assert rig.at_host() == []


def test_packets_that_the_device_does_not_take_are_counted(rig: Rig) -> None:
    rig.open_inbound()
    rig.host.shutdown(socket.SHUT_RD)
    rig.bypass.arm(False, [SOCKET])
    rig.arrive(rig.seal_ip(0, [ip(0), OTHER_FLOW]))
    happened = rig.round()
    assert happened.taken == [(0, 1)]
    assert happened.refused_count == 1


def test_empty_datagrams_are_counted(rig: Rig) -> None:
    rig.arrive([b"", b"\x40"])
    happened = rig.round()
    assert happened.counts == [(SOCKET, 1, 1, 0, 0, 1, [])]


def test_a_closed_lane_lets_nothing_pass(rig: Rig) -> None:
    rig.open_inbound()
    rig.bypass.close_inbound(CID)
    rig.bypass.close_inbound(CID)
    sealed = rig.seal_ip(0, [ip(0)])
    rig.arrive(sealed)
    assert rig.round().handed_datagrams == sealed


def test_acknowledgements_wait_unless_somebody_waits_for_them(rig: Rig) -> None:
    rig.open_inbound()
    rig.arrive(rig.seal(0, [ONLY_ACK]))
    happened = rig.round()
    assert (len(happened.handed), happened.urgent_count) == (1, 0)
    rig.bypass.hasten(CID)
    rig.arrive_together(rig.seal(1, [ONLY_ACK, ONLY_ACK]))
    happened = rig.round()
    assert (len(happened.handed_datagrams), happened.urgent_count) == (2, 2)
    # Until it is opened again.
    rig.open_inbound(largest=2)
    rig.arrive(rig.seal(3, [ONLY_ACK]))
    happened = rig.round()
    assert (len(happened.handed), happened.urgent_count) == (1, 0)


def test_it_is_told_how_long_acknowledgements_have_waited(rig: Rig) -> None:
    rig.open_inbound()
    began = time.perf_counter()
    rig.arrive(rig.seal(0, [ONLY_ACK]))
    rig.bypass.release(LINGER)
    readable, _, _ = select.select([rig.bypass], [], [], PATIENCE)
    assert readable
    came_before = time.perf_counter()
    time.sleep(0.05)
    ((_, _, age),) = Happened(*rig.bypass.hold()).handed
    now = time.perf_counter()
    assert began < now - age < came_before


def test_what_is_more_than_an_acknowledgement_is_told_and_counted_at_once(rig: Rig) -> None:
    rig.open_inbound()
    rig.arrive(rig.seal(0, [ONLY_ACK, b"\x01", ONLY_ACK]))
    happened = rig.round()
    while len(happened.handed_datagrams) < 3:
        more = rig.round()
        happened = happened._replace(
            arrivals=happened.arrivals + more.arrivals,
            urgent_count=happened.urgent_count + more.urgent_count,
        )
    assert happened.urgent_count == 1


def test_nobody_hastens_what_is_not_open(rig: Rig) -> None:
    rig.bypass.hasten(b"nobody")
    rig.open_inbound()
    rig.bypass.close_inbound(CID)
    rig.bypass.hasten(CID)
    rig.arrive(rig.seal_ip(0, [ip(0)]))
    assert len(rig.round().handed) == 1
