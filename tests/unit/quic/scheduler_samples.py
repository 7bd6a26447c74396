"""Paths and datagrams for tests of the schedulers: a packet of 1229 bytes takes 1200 of frames."""

from collections.abc import Sequence
from dataclasses import replace

from mqvpn_core.dataplane.parcels import first_packet
from mqvpn_core.ids import Instant, PathId
from mqvpn_core.quic.carrier_view import CarrierView
from mqvpn_core.quic.packet_room import Datagram
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.quic.schedulers import DatagramScheduler

PREFIX = b"\x00\x00"
OVERHEAD = 29
CAPACITY = 1200
FULL = CAPACITY - 1 - len(PREFIX)
"""Payload that fills a packet."""
WHOLE = CAPACITY + OVERHEAD
"""UDP payload of a full packet."""
A, B, C = PathId(0), PathId(1), PathId(2)


def at(seconds: float) -> Instant:
    return Instant(seconds)


def view(
    path_id: PathId = A,
    *,
    budget: int = 100 * WHOLE,
    rtt: float = 0.05,
    rate: float = 1e6,
    use: PathUse = PathUse.PRIMARY,
    capacity: int = CAPACITY,
) -> CarrierView:
    return CarrierView(
        path_id=path_id,
        use=use,
        peer_is_backup=False,
        is_suspect=False,
        smoothed_rtt=rtt,
        rate=rate,
        send_budget=budget,
        max_packet_bytes=capacity + OVERHEAD,
        packet_overhead=OVERHEAD,
    )


def suspect(healthy: CarrierView) -> CarrierView:
    return replace(healthy, is_suspect=True)


def packets(flow: int, count: int, *, size: int = FULL, first: int = 0) -> list[bytes]:
    """Make payloads of a flow that tell their number."""
    return [
        bytes([flow]) + number.to_bytes(2, "big") + bytes(size - 3)
        for number in range(first, first + count)
    ]


def flow_of(payload: bytes) -> int:
    return payload[0]


def number_of(payload: bytes) -> int:
    return int.from_bytes(payload[1:3], "big")


def flows(datagrams: Sequence[Datagram]) -> list[int]:
    return [flow_of(first_packet(payload)) for _, payload in datagrams]


def numbers(datagrams: Sequence[Datagram]) -> list[int]:
    return [number_of(first_packet(payload)) for _, payload in datagrams]


def scheduler_of(
    strategy: str = "weighted", *, max_bytes: int = 10**6, max_age: float = 0.2
) -> DatagramScheduler:
    return DatagramScheduler(
        max_bytes=max_bytes, max_age=max_age, strategy=strategy, classify=flow_of
    )


def push(scheduler: DatagramScheduler, *flow_numbers: int, count: int = 10, now: float = 0) -> None:
    for flow in flow_numbers:
        scheduler.push(PREFIX, packets(flow, count), at(now))
