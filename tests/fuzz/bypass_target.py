"""Hostile datagrams and frames for a bypass: nothing is lost, invented, changed or done twice.

Inputs are orders to the peer and to the host. What they send lies there when the bypass starts.
"""

from collections.abc import Iterator, Sequence
from random import Random

from mqvpn_core.dataplane.packets import Bad, OpenedPacket
from tests.differential.test_frames import packets_of
from tests.unit.dataplane.bypass_rig import (
    FLOW,
    FRONT,
    LANE,
    PLAIN_HEADER,
    Happened,
    Rig,
    flow_of,
    ip,
)

_ORDER_BYTES = 8
_MOST_ORDERS = 8
_MOST_PACKETS = 8
_TAG_BYTES = 16
_KNOWN = flow_of(ip(0))
_LAST = b"\x40"
"""What ends each input, so that there is always something to hold for."""


def generate_bypass_orders(random: Random) -> bytes:
    """Make orders."""
    return random.randbytes(_ORDER_BYTES * random.randrange(1, _MOST_ORDERS + 1))


def check_bypass(data: bytes) -> None:
    """Carry out orders, let the bypass run once, and account for each packet."""
    rig = Rig()
    try:
        first = data[0] if data else 0
        credit = first * 40
        rig.open_inbound(largest=first)
        rig.open_outbound(next_number=first, credit=credit, mtu=1000)
        rig.bypass.approve(LANE, FLOW, ip(0))
        datagrams: list[bytes] = []
        frames: list[bytes] = []
        number = first
        for order in _orders(data):
            if order[0] & 1:
                frames += _emit(rig, order)
            else:
                number += order[1] % 4
                sent = _arrive(rig, number, order)
                number += len(sent) - order[1] // 64
                datagrams += sent
        rig.arrive([_LAST])
        happened = rig.round()
        _check_inbound(rig, happened, [*datagrams, _LAST], first)
        _check_outbound(rig, happened, frames, first, credit)
    finally:
        rig.close()


def _orders(data: bytes) -> Iterator[bytes]:
    for start in range(0, min(len(data), _MOST_ORDERS * _ORDER_BYTES), _ORDER_BYTES):
        yield data[start : start + _ORDER_BYTES].ljust(_ORDER_BYTES, b"\0")


def _arrive(rig: Rig, number: int, order: bytes) -> list[bytes]:
    flags, _, kind, count, size, where, value, ecn = order
    payloads = [
        FRONT + ip(index, size=40 + size, source=f"10.0.0.{1 + (kind >> index & kind & 1)}")
        for index in range(1 + count % _MOST_PACKETS)
    ]
    if kind & 16:
        payloads[where % len(payloads)] = bytes([value]) * len(payloads[0])
    if kind & 32:
        payloads[-1] = payloads[-1][: 1 + value]
    sealed = rig.seal(max(number, 0), payloads, phase=flags >> 1 & flags >> 2 & 1)
    if flags & 8:
        damaged = bytearray(sealed[where % len(sealed)])
        damaged[(where << 8 | value) % len(damaged)] ^= value | 1
        sealed[where % len(sealed)] = bytes(damaged)
    if flags & 16 and len({len(datagram) for datagram in sealed[:-1]}) <= 1:
        rig.arrive_together(sealed)
    else:
        rig.arrive(sealed, ecn=ecn & 3 if flags & 32 else 0)
    return sealed


def _emit(rig: Rig, order: bytes) -> list[bytes]:
    flags, _, kind, _, size, where, value, front = order
    source = "10.0.0.9" if kind & 1 else "10.0.0.1"
    packet = bytearray(ip(value, size=28 + 4 * size, source=source, port=5000 + (kind >> 1 & 1)))
    header = PLAIN_HEADER
    if kind & 4:
        header = b"\1\5\x1c\0" + (1 + front).to_bytes(2, "little") + b"\x14\0\6\0"
    if flags & 2:
        packet[where % len(packet)] ^= value | 1
    if flags & 4:
        packet = packet[:where]
    frame = header + bytes(packet)
    rig.host.send(frame)
    return [frame]


def _check_inbound(rig: Rig, happened: Happened, datagrams: Sequence[bytes], first: int) -> None:
    rest = list(datagrams)
    expected: list[bytes] = []
    largest = first
    for entry in happened.arrivals:
        if len(entry) == 6:
            for number in range(entry[1], entry[1] + entry[2]):
                opened = rig.open(rest.pop(0), largest)
                assert isinstance(opened, OpenedPacket)
                assert (opened.packet_number, opened.plaintext[:3]) == (number, FRONT)
                assert number > largest
                largest = number
                packet = opened.plaintext[3:]
                assert flow_of(packet) == _KNOWN
                expected.append(packet)
            continue
        _, (peer, data, size, _), _ = entry
        assert peer == rig.peer_key
        whole = bytes(data)
        for start in range(0, len(whole), size):
            came, found = rest.pop(0), whole[start : start + size]
            opened = rig.open(came, largest)
            if opened == Bad(True):
                # Nobody tries a packet that is for nobody, or marked; then it is as it came.
                assert found == came or found[-_TAG_BYTES:] == came[-_TAG_BYTES:]
                assert rig.open(found, largest) == opened
            else:
                assert found == came
            if isinstance(opened, OpenedPacket):
                largest = max(largest, opened.packet_number)
    assert not rest
    assert rig.at_host() == expected


def _check_outbound(
    rig: Rig, happened: Happened, frames: Sequence[bytes], first: int, credit: int
) -> None:
    emitted = packets_of(rig.native.split_frames(frames))
    datagrams = rig.at_peer()
    assert sum(map(len, datagrams)) <= credit
    left: list[bytes] = []
    for number, datagram in enumerate(datagrams, first):
        opened = rig.open(datagram, number - 1)
        assert isinstance(opened, OpenedPacket)
        assert (opened.packet_number, opened.plaintext[:3]) == (number, FRONT)
        left.append(opened.plaintext[3:])
        assert flow_of(left[-1]) == _KNOWN
        assert len(left[-1]) <= 1000
    assert sum(shape[1] for entry in happened.sent for shape in entry[2]) == len(left)
    assert sorted(left + packets_of(happened.parcels)) == sorted(emitted)
