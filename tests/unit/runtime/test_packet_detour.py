"""Packets that came out of the wrong queue reach the worker that has their client."""

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.runtime.packet_detour import PacketDetour
from mqvpn_core.runtime.worker_messages import AddressMoved
from tests.unit.wire.packets import ipv4

ALICE, BOB = IPv4Address("10.0.0.2"), IPv4Address("10.0.0.3")


class Couple:
    """Two workers."""

    def __init__(self) -> None:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
        self.sockets = [each for pair in pairs for each in pair]
        outboxes = [outbox for _, outbox in pairs]
        self.detours = [
            PacketDetour(own, pairs[own][0], [None if n == own else outboxes[n] for n in range(2)])
            for own in range(2)
        ]

    def move(self, address: IPv4Address, worker: int | None) -> None:
        for each in self.detours:
            each.note(AddressMoved(address=address, worker=worker))


@pytest.fixture
def couple() -> Iterator[Couple]:
    made = Couple()
    yield made
    for each in made.sockets:
        each.close()


def _to(address: IPv4Address, content: bytes = b"hello") -> bytes:
    return ipv4(destination=str(address), payload=content)


def _delivered(detour: PacketDetour) -> list[bytes]:
    packets: list[bytes] = []
    detour.deliver(lambda parcels: packets.extend(expand(parcels)))
    return packets


def test_packets_take_the_detour_to_their_worker(couple: Couple) -> None:
    first, second = couple.detours
    couple.move(ALICE, 0)
    couple.move(BOB, 1)
    assert first.send([_to(BOB), _to(ALICE), _to(BOB, b"again")]) == 1  # ours are no strays here
    assert _delivered(second) == [_to(BOB), _to(BOB, b"again")]
    assert _delivered(first) == []


def test_addresses_move_and_go(couple: Couple) -> None:
    first, second = couple.detours
    couple.move(BOB, 1)
    couple.move(BOB, 0)
    assert first.send([_to(BOB)]) == 1
    assert second.send([_to(BOB)]) == 0
    assert _delivered(first) == [_to(BOB)]
    couple.move(BOB, None)
    assert second.send([_to(BOB)]) == 1


def test_a_full_inbox_loses_packets_and_nothing_else(couple: Couple) -> None:
    first, second = couple.detours
    couple.move(BOB, 1)
    packet = _to(BOB, bytes(1000))
    sent = 0
    while not first.lost_count:
        first.send([packet])
        sent += 1
        assert sent < 10_000
    arrived = 0
    while packets := _delivered(second):
        arrived += len(packets)
    assert arrived + first.lost_count == sent
    first.send([packet])
    assert _delivered(second) == [packet]


def test_workers_that_disagree_do_not_play_ball(couple: Couple) -> None:
    first, second = couple.detours
    first.note(AddressMoved(address=BOB, worker=1))
    second.note(AddressMoved(address=BOB, worker=0))
    first.send([_to(BOB)])
    strays: list[int] = []
    second.deliver(lambda parcels: strays.append(second.send(parcels)))
    assert strays == [1]
    assert _delivered(first) == []
    assert second.send([_to(BOB)]) == 0
