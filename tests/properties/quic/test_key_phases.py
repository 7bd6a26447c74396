"""Key updates while paths of very unequal delay carry traffic: every authentic packet opens."""

import heapq
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.ids import Instant
from mqvpn_core.quic.protection import PacketProtection

CID = b"12345678"
DELAYS = (0.005, 0.300)
"""One-way delay of each path, in seconds."""
MAX_JITTER = 0.1
LARGEST_PROBE_TIMEOUT = 2 * (max(DELAYS) + MAX_JITTER)
SECRETS = (bytes(32), bytes([1]) * 32)


@dataclass
class End:
    protection: PacketProtection
    next_number: list[int] = field(default_factory=lambda: [0, 0])
    largest_received: list[int] = field(default_factory=lambda: [-1, -1])
    largest_acknowledged: list[int] = field(default_factory=lambda: [-1, -1])


@dataclass(frozen=True)
class Flight:
    receiver: int
    path_id: int
    packets: list[bytes]
    first: int
    acknowledged_phase: int
    """Newest phase of the other side that the sender had opened: what its ACKs report."""
    acknowledged: int
    """Largest packet number of the path that the sender had received."""


class Network:
    def __init__(self) -> None:
        self.now = 0.0
        self.ends = [End(PacketProtection(is_client=index == 0)) for index in (0, 1)]
        self.flights: list[tuple[float, int, Flight]] = []
        self.flight_count = 0
        for index, end in enumerate(self.ends):
            end.protection.install_send(cipher_suite=0x1301, secret=SECRETS[index], version=1)
            end.protection.install_receive(
                cipher_suite=0x1301, secret=SECRETS[1 - index], version=1
            )
            end.protection.on_handshake_confirmed()

    def send(self, sender: int, path_id: int, count: int, jitter: float) -> None:
        end = self.ends[sender]
        first = end.next_number[path_id]
        end.next_number[path_id] += count
        packets = end.protection.seal(
            path_id=path_id,
            first_packet_number=first,
            destination_cid=CID,
            largest_acknowledged=end.largest_acknowledged[path_id],
            payloads=[b"x" * 20] * count,
        )
        flight = Flight(
            receiver=1 - sender,
            path_id=path_id,
            packets=packets,
            first=first,
            acknowledged_phase=end.protection.receive_key_phase,
            acknowledged=end.largest_received[path_id],
        )
        self.flight_count += 1
        due = self.now + DELAYS[path_id] + jitter
        heapq.heappush(self.flights, (due, self.flight_count, flight))

    def update(self, index: int) -> None:
        protection = self.ends[index].protection
        if protection.may_initiate_update(Instant(self.now), LARGEST_PROBE_TIMEOUT):
            protection.initiate_update(Instant(self.now))

    def advance(self, until: float) -> None:
        while self.flights and self.flights[0][0] <= until:
            self.now, _, flight = heapq.heappop(self.flights)
            self.discard_old_keys()
            self.deliver(flight)
        self.now = until
        self.discard_old_keys()

    def deliver(self, flight: Flight) -> None:
        end = self.ends[flight.receiver]
        opened = end.protection.open(
            path_id=flight.path_id,
            largest_received=end.largest_received[flight.path_id],
            cid_length=len(CID),
            packets=flight.packets,
            now=Instant(self.now),
        )
        numbers = [packet.packet_number if packet else None for packet in opened]
        assert numbers == list(range(flight.first, flight.first + len(flight.packets)))
        path_id = flight.path_id
        newest = flight.first + len(flight.packets) - 1
        end.largest_received[path_id] = max(end.largest_received[path_id], newest)
        end.largest_acknowledged[path_id] = max(
            end.largest_acknowledged[path_id], flight.acknowledged
        )
        if flight.acknowledged >= 0:
            end.protection.on_ack_of_phase(flight.acknowledged_phase, Instant(self.now))

    def discard_old_keys(self) -> None:
        for end in self.ends:
            end.protection.handle_timeout(Instant(self.now), LARGEST_PROBE_TIMEOUT)


@dataclass(frozen=True)
class Send:
    sender: int
    path_id: int
    count: int
    jitter: float


@dataclass(frozen=True)
class Update:
    initiator: int


@dataclass(frozen=True)
class Wait:
    duration: float


Step = Send | Update | Wait
either = st.integers(0, 1)
steps = st.one_of(
    st.builds(Send, either, either, st.integers(1, 5), st.floats(0, MAX_JITTER)),
    st.builds(Update, either),
    st.builds(Wait, st.sampled_from([0.001, 0.02, 0.3, 1.0, 3.0])),
)


@pytest.mark.slow
@given(st.lists(steps, max_size=60))
def test_no_packet_is_lost_to_a_key_update(chosen: list[Step]) -> None:
    network = Network()
    for step in chosen:
        match step:
            case Send():
                network.send(step.sender, step.path_id, step.count, step.jitter)
            case Update():
                network.update(step.initiator)
            case Wait():
                network.advance(network.now + step.duration)
    network.advance(network.now + 10.0)
    assert network.flights == []
    for end in network.ends:
        assert end.protection.failed_open_count == 0


def test_the_simulation_does_update_keys() -> None:
    network = Network()
    for number in range(200):
        for sender in (0, 1):
            for path_id in (0, 1):
                network.send(sender, path_id, 2, 0.0)
        network.update(number % 2)
        network.advance(network.now + 0.1)
    phases = [end.protection.send_key_phase for end in network.ends]
    assert min(phases) >= 4
    assert max(phases) - min(phases) <= 1
