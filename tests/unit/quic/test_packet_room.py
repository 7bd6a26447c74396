from mqvpn_core.quic.datagram_packing import pack_datagrams
from mqvpn_core.quic.packet_room import MAX_PACKETS, PacketRoom
from tests.unit.quic.scheduler_samples import CAPACITY, FULL, OVERHEAD, PREFIX, WHOLE, view


def put(room: PacketRoom, *sizes: int) -> list[bool]:
    return [room.put((PREFIX, bytes(size))) for size in sizes]


def used(room: PacketRoom, budget: int) -> tuple[int, int]:
    """What the room counted, and what the packets turn out to be."""
    sizes = [len(frames) for frames, _ in pack_datagrams(room.datagrams, CAPACITY)]
    return budget - room.budget, sum(sizes) + OVERHEAD * len(sizes)


def test_a_datagram_that_fills_a_packet_costs_all_of_it() -> None:
    room = PacketRoom(view(budget=2 * WHOLE))
    assert put(room, FULL, FULL, 1) == [True, True, False]
    assert room.budget == 0
    assert not room.has_spare


def test_small_datagrams_share_a_packet() -> None:
    room = PacketRoom(view(budget=5000))
    assert put(room, 10, 500, 500, 200) == [True] * 4
    # The length of a short frame takes one byte less than what is counted.
    assert used(room, 5000) == (
        2 * OVERHEAD + (13 + 505 + 505) + 203,
        2 * OVERHEAD + (13 + 505 + 505) + 203 - 1,
    )


def test_the_packet_is_filled_to_the_last_byte() -> None:
    rest = CAPACITY - 505 - 3
    room = PacketRoom(view())
    put(room, 500, rest)
    assert len(pack_datagrams(room.datagrams, CAPACITY)) == 1
    room = PacketRoom(view())
    put(room, 500, rest + 1)
    assert len(pack_datagrams(room.datagrams, CAPACITY)) == 2
    assert used(room, 100 * WHOLE)[0] == used(room, 100 * WHOLE)[1]


def test_what_no_packet_takes_is_refused() -> None:
    assert put(PacketRoom(view()), FULL + 1) == [False]


def test_the_number_of_packets_is_limited() -> None:
    room = PacketRoom(view(budget=10**7))
    assert put(room, *[FULL] * MAX_PACKETS, FULL) == [True] * MAX_PACKETS + [False]
    assert not room.has_spare
