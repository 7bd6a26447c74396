"""Packets that travel together: through the queue, into packets, and out at the other end."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.dataplane import kernel
from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import (
    count_packets,
    expand,
    first_packet,
    payload_per_packet,
)
from mqvpn_core.ids import FourTuple, SocketAddress
from mqvpn_core.quic.datagram_packing import pack_datagrams
from mqvpn_core.quic.datagram_queue import Flow
from mqvpn_core.quic.events import DatagramsReceived
from mqvpn_core.quic.kept_contents import KeptContents
from mqvpn_core.quic.packet_room import Datagram
from mqvpn_core.quic.schedulers import DatagramScheduler, Strategy
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, Transmit
from mqvpn_core.testing.pair import Pair
from tests.differential.ip_traffic import Draft
from tests.unit.quic.scheduler_samples import CAPACITY, OVERHEAD, PREFIX, WHOLE, A, B, at, view

SEGMENT = 1000


def train_of(count: int, *, flow: int = 1, last: int = SEGMENT, tag: int = 0) -> Parcel:
    """Make a train of packets that tell who they are."""
    size = SEGMENT * (count - 1) + last
    draft = Draft(flow=flow, sequence=tag << 16, payload=bytes([tag, flow]) * (size // 2))
    (train,) = kernel.split_frames([draft.frame(SEGMENT)])
    return train


def packets_in(allocated: dict[int, list[Datagram]]) -> list[bytes]:
    return expand([payload for datagrams in allocated.values() for _, payload in datagrams])


parcels = st.lists(
    st.one_of(
        st.builds(
            train_of,
            st.integers(1, 40),
            flow=st.integers(1, 3),
            last=st.sampled_from([2, 500, SEGMENT]),
            tag=st.integers(0, 200),
        ),
        st.builds(lambda flow, size: bytes([flow]) * size, st.integers(1, 3), st.integers(1, 900)),
    ),
    max_size=8,
)


@pytest.mark.slow
@given(
    queued=parcels,
    budgets=st.lists(st.integers(0, 40 * WHOLE), min_size=1, max_size=6),
    strategy=st.sampled_from(Strategy),
)
def test_everything_leaves_once_in_order_and_within_the_budget(
    queued: list[Parcel], budgets: list[int], strategy: Strategy
) -> None:
    scheduler = DatagramScheduler(
        max_bytes=1 << 30, max_age=9.0, strategy=strategy.value, classify=lambda packet: packet[-1]
    )
    scheduler.push(PREFIX, queued, at(0))
    assert len(scheduler) == count_packets(queued)
    sizes = sum(map(len, expand(queued))) + len(PREFIX) * count_packets(queued)
    assert scheduler.waiting_bytes == sizes
    left: list[bytes] = []
    for budget in [*budgets, *[100 * WHOLE] * 12]:
        allocated = scheduler.allocate([view(budget=budget)], at(1))
        for datagrams in allocated.values():
            packed = pack_datagrams(datagrams, CAPACITY)
            payloads = payload_per_packet(payload for payload, _ in packed)
            assert all(len(payload) <= CAPACITY for payload in payloads)
            assert sum(map(len, payloads)) + OVERHEAD * len(payloads) <= budget
            for payload, held in zip(payloads, KeptContents.of(packed), strict=True):
                assert payload.endswith(PREFIX + first_packet(held[-1][1]))
        left += packets_in({int(key): value for key, value in allocated.items()})
    assert (len(scheduler), scheduler.waiting_bytes, scheduler.dropped_count) == (0, 0, 0)
    for flow in {packet[-1] for packet in left}:
        assert [packet for packet in left if packet[-1] == flow] == [
            packet for packet in expand(queued) if packet[-1] == flow
        ]


def test_a_long_train_lets_others_have_their_turn() -> None:
    scheduler = DatagramScheduler(
        max_bytes=1 << 30, max_age=9.0, classify=lambda packet: packet[-1]
    )
    scheduler.push(PREFIX, [train_of(60, flow=1), train_of(60, flow=2)], at(0))
    flows = [packet[-1] for packet in packets_in({0: scheduler.allocate([view()], at(0))[A]})]
    changes = sum(one != other for one, other in pairwise(flows))
    assert changes >= 5


def test_what_is_too_old_or_too_big_is_dropped_and_counted_by_packets() -> None:
    scheduler = DatagramScheduler(max_bytes=1 << 30, max_age=1.0)
    scheduler.push(PREFIX, [train_of(5)], at(0))
    assert scheduler.allocate([view()], at(3)) == {}
    assert scheduler.expired_count == 5
    scheduler.push(PREFIX, [train_of(7)], at(3))
    assert scheduler.allocate([view(capacity=900)], at(3)) == {}
    assert (scheduler.too_big_count, len(scheduler)) == (7, 0)


def test_a_standing_queue_costs_a_train_its_first_packet_alone() -> None:
    scheduler = DatagramScheduler(max_bytes=1 << 30, max_age=9.0, manages_queues=True)
    left = []
    for step in range(400):
        scheduler.push(PREFIX, [train_of(4)], at(step / 500))
        left += packets_in({0: scheduler.allocate([view(budget=2 * WHOLE)], at(step / 500))[A]})
    lost = scheduler.dropped_count
    assert 0 < lost < 100
    assert len(left) + lost + len(scheduler) == 1600


def test_a_packet_that_is_detached_leaves_the_ages_as_they_were() -> None:
    flow = Flow()
    for step in (1, 2, 3):
        flow.mark(at(step))
        flow.items.append((PREFIX, train_of(3)))
    assert flow.detach_packet(1) == (PREFIX, expand([train_of(3)])[0])
    assert len(flow.items) == 4
    assert [flow.count_older_than(at(step + 0.5)) for step in (0, 1, 2, 3)] == [0, 1, 3, 4]
    assert flow.has_behind(3)
    flow.detach_packet(3)
    assert not flow.has_behind(4 + 1)


def test_what_does_not_fit_costs_no_more_than_it_must() -> None:
    train = train_of(40)
    size = train_bytes(train)
    scheduler = DatagramScheduler(max_bytes=2 * size - 3500, max_age=9.0)
    scheduler.push(PREFIX, [train, train], at(0))
    assert (scheduler.overflow_count, len(scheduler)) == (4, 76)
    left = packets_in({0: scheduler.allocate([view()], at(0))[A]})
    assert left == [*expand([train])[4:], *expand([train])]
    scheduler.push(PREFIX, [train] * 5, at(0))
    assert scheduler.waiting_bytes <= 2 * size - 3500
    assert len(scheduler) + scheduler.overflow_count == 4 + 200


def train_bytes(train: Parcel) -> int:
    return sum(map(len, expand([train]))) + len(PREFIX) * count_packets([train])


@given(queued=parcels, data=st.data())
def test_what_is_kept_of_packets_can_be_cut_anywhere(
    queued: list[Parcel], data: st.DataObject
) -> None:
    packed = pack_datagrams([(PREFIX, parcel) for parcel in queued], CAPACITY)
    kept = KeptContents.of(packed)
    whole = list(kept)
    assert len(kept) == len(whole)
    held = [first_packet(payload) for packet in whole for _, payload in packet]
    assert held == expand(queued)
    start, stop = (data.draw(st.integers(0, len(whole))) for _ in range(2))
    part = kept[start:stop]
    assert [held_in(packet) for packet in part] == [held_in(each) for each in whole[start:stop]]
    assert list(map(held_in, part[1:])) == list(map(held_in, whole[start:stop]))[1:]


@given(sent=parcels, data=st.data())
def test_what_is_kept_is_returned_with_its_trains_in_one_piece(
    sent: list[Parcel], data: st.DataObject
) -> None:
    kept = KeptContents.of_parcels(PREFIX, iter(sent), len(expand(sent)))
    assert len(kept) == len(expand(sent))
    assert list(kept.datagrams()) == [(PREFIX, parcel) for parcel in sent]
    start, stop = sorted(data.draw(st.integers(0, len(kept))) for _ in range(2))
    part = list(kept[start:stop].datagrams())
    assert expand([parcel for _, parcel in part]) == expand(sent)[start:stop]
    assert {prefix for prefix, _ in part} <= {PREFIX}
    # As many as there are trains and packets, however many packets the trains have.
    assert len(part) <= len(sent)


@given(queued=parcels)
def test_small_packets_that_shared_one_are_returned_one_by_one(queued: list[Parcel]) -> None:
    kept = KeptContents.of(pack_datagrams([(PREFIX, parcel) for parcel in queued], CAPACITY))
    assert expand([parcel for _, parcel in kept.datagrams()]) == expand(queued)


def held_in(packet: Sequence[Datagram]) -> list[bytes]:
    return [first_packet(payload) for _, payload in packet]


def test_what_was_on_a_failed_path_goes_out_on_another() -> None:
    scheduler = DatagramScheduler(max_bytes=1 << 30, max_age=9.0)
    scheduler.push(PREFIX, [train_of(10)], at(0))
    sent = scheduler.allocate([view(A)], at(0))[A]
    held = KeptContents.of(pack_datagrams(sent, CAPACITY))
    scheduler.requeue(list(held[4:].datagrams()), at(0.1))
    assert len(scheduler) == 6
    again = scheduler.allocate([view(B)], at(0.1))[B]
    assert packets_in({0: again}) == packets_in({0: sent})[4:]


def test_urgent_packets_of_a_train_can_be_copied() -> None:
    scheduler = DatagramScheduler(max_bytes=1 << 30, max_age=9.0, strategy="redundant")
    scheduler.push(PREFIX, [train_of(4)], at(0))
    allocated = scheduler.allocate([view(A), view(B)], at(0))
    assert all(isinstance(payload, bytes) for items in allocated.values() for _, payload in items)


class Wire:
    """Carries what a client sends to its server, as coalesced as it was sent."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair

    def send(self, parcels: Sequence[Parcel]) -> list[Transmit]:
        now = self.pair.simulator.now
        self.pair.client.connection.queue_datagrams(PREFIX, parcels, now)
        return self.pair.client.connection.transmits(now)

    def receive(self, transmits: Sequence[Transmit]) -> None:
        for transmit in transmits:
            four_tuple = FourTuple(transmit.four_tuple.remote, transmit.four_tuple.local)
            batch = ReceivedDatagrams(four_tuple, transmit.data, transmit.segment_size, 0)
            self.pair.server.connection.receive_datagrams(batch, self.pair.simulator.now)
        self.pair.server.collect()

    @property
    def trains(self) -> int:
        events = self.pair.server.events_of(DatagramsReceived)
        return sum(not isinstance(each, bytes) for event in events for each in event.payloads)


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Pair(4) as pair:
        pair.handshake()
        pair.simulator.run_for(3)
        yield Wire(pair)


def test_a_train_arrives_as_a_train(wire: Wire) -> None:
    train = train_of(9, last=300)
    transmits = wire.send([train])
    assert [-(-len(each.data) // each.segment_size) for each in transmits] == [9]
    wire.receive(transmits)
    assert wire.pair.server.received_datagrams == [PREFIX + packet for packet in expand([train])]
    assert wire.trains == 1


def test_packets_of_a_train_are_acknowledged(wire: Wire) -> None:
    transmits = wire.send([train_of(9)])
    assert wire.pair.client.path.bytes_in_flight > 9 * SEGMENT
    wire.receive(transmits)
    wire.pair.simulator.run_for(1)
    path = wire.pair.client.path
    assert (path.bytes_in_flight, path.lost_packets) == (0, 0)


def test_duplicates_of_a_train_are_dropped(wire: Wire) -> None:
    train = train_of(6)
    transmits = wire.send([train])
    wire.receive([*transmits, *transmits])
    assert wire.pair.server.received_datagrams == [PREFIX + packet for packet in expand([train])]


def test_duplicates_within_one_read_are_dropped(wire: Wire) -> None:
    (transmit,) = wire.send([train_of(6)])
    again = Transmit(
        four_tuple=transmit.four_tuple,
        data=transmit.data + transmit.data,
        segment_size=transmit.segment_size,
        ecn=0,
    )
    wire.receive([again])
    expected = [PREFIX + packet for packet in expand([train_of(6)])]
    assert wire.pair.server.received_datagrams == expected


def test_a_client_takes_no_train_from_an_address_that_it_does_not_know(wire: Wire) -> None:
    """RFC 9000 s9: from an unknown server address, packets are discarded."""
    pair, now = wire.pair, wire.pair.simulator.now
    pair.server.connection.queue_datagrams(PREFIX, [train_of(6)], now)
    (transmit,) = pair.server.connection.transmits(now)
    here, there = transmit.four_tuple.remote, transmit.four_tuple.local
    for remote in (SocketAddress("203.0.113.66", 443), there):
        four_tuple = FourTuple(here, remote)
        batch = ReceivedDatagrams(four_tuple, transmit.data, transmit.segment_size, 0)
        assert pair.client.received_datagrams == []
        pair.client.connection.receive_datagrams(batch, now)
        pair.client.collect()
    assert len(pair.client.received_datagrams) == 6


def test_trains_that_overtake_each_other_arrive(wire: Wire) -> None:
    first, second = wire.send([train_of(6)]), wire.send([train_of(6, tag=1)])
    wire.receive([*second, *first])
    expected = [*expand([train_of(6, tag=1)]), *expand([train_of(6)])]
    assert wire.pair.server.received_datagrams == [PREFIX + packet for packet in expected]


@pytest.mark.parametrize("position", [0, 30, 1500, -1])
def test_a_damaged_packet_costs_itself_alone(wire: Wire, position: int) -> None:
    train = train_of(6)
    (transmit,) = wire.send([train])
    data = bytearray(transmit.data)
    data[position] ^= 0x40
    damaged = Transmit(
        four_tuple=transmit.four_tuple,
        data=bytes(data),
        segment_size=transmit.segment_size,
        ecn=0,
    )
    wire.receive([damaged])
    expected = [PREFIX + packet for packet in expand([train])]
    del expected[position % len(data) // transmit.segment_size]
    assert wire.pair.server.received_datagrams == expected


def test_trains_go_on_when_keys_change(wire: Wire) -> None:
    wire.receive(wire.send([train_of(3)]))
    wire.pair.simulator.run_for(1)
    wire.pair.client.request_key_update(wire.pair.simulator.now)
    wire.pair.simulator.run_for(1)
    wire.receive(wire.send([train_of(3, tag=1)]))
    wire.receive(wire.send([train_of(3, tag=2)]))
    assert len(wire.pair.server.received_datagrams) == 9
