"""What a connection does packet by packet, for whoever asked for a trace; nothing without.

The rooms hold a `Tracer` or None and test that once a batch. Records are values; what becomes of
them is decided outside. Told the time by the connection at the start of every call from outside.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from typing_extensions import override

from mqvpn_core.ids import FourTuple, Instant, PathId
from mqvpn_core.quic.events import DatagramsReceived, Event, StreamDataReceived
from mqvpn_core.quic.paths import Path
from mqvpn_core.quic.sent_run import SentRun
from mqvpn_core.wire.frame_summaries import FrameSummary, summarise_frames

MAX_RECORDS = 10_000
"""Records that wait to be taken; newer ones are counted and dropped."""

_MAX_LOST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStarted:
    """The first datagram of a connection is about to leave, or has come."""

    at: Instant
    """When."""
    four_tuple: FourTuple
    """Over which network path."""
    original_destination_cid: bytes
    """Connection ID that the client's first packet was sent to: names the connection."""
    is_client: bool
    """We opened it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatagramTraced:
    """A UDP datagram that begins with a long header: part of the handshake."""

    at: Instant
    """When."""
    is_sent: bool
    """It left; otherwise it came."""
    size: int
    """UDP payload bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketTraced:
    """One 1-RTT packet."""

    at: Instant
    """When."""
    is_sent: bool
    """It left; otherwise it came and was authentic."""
    path_id: PathId
    """Its path."""
    number: int
    """Its number within the path."""
    size: int
    """UDP payload bytes."""
    frames: tuple[FrameSummary, ...]
    """What is in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketsLostTraced:
    """Packets were declared lost."""

    at: Instant
    """When."""
    path_id: PathId
    """Their path."""
    numbers: tuple[int, ...]
    """Their numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsTraced:
    """What recovery knows of a path has changed."""

    at: Instant
    """When."""
    path_id: PathId
    """The path."""
    values: Mapping[str, int | float]
    """What is different from the last record of the path, named as in qlog; times in seconds, the
    rate in bits per second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CongestionStateTraced:
    """The congestion control of a path does something else now."""

    at: Instant
    """When."""
    path_id: PathId
    """The path."""
    state: str
    """What it does, in its own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTraced:
    """An event of the connection that is not about data."""

    at: Instant
    """When."""
    event: Event
    """The event."""


TraceRecord: TypeAlias = (
    ConnectionStarted
    | DatagramTraced
    | PacketTraced
    | PacketsLostTraced
    | MetricsTraced
    | CongestionStateTraced
    | EventTraced
)


class Tracer:
    """Collects the records of one connection.

    C: set_time, note_*; D: take
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self._now = Instant(0.0)
        self._has_started = False
        self._records: list[TraceRecord] = []
        self._dropped_count = 0
        self._congestion_states: dict[PathId, str] = {}
        self._metrics: dict[PathId, dict[str, int | float]] = {}

    def set_time(self, now: Instant) -> None:
        """Date what follows."""
        self._now = now

    def take(self) -> tuple[list[TraceRecord], int]:
        """Return the records since the last call, and how many were dropped behind them."""
        records, self._records = self._records, []
        dropped, self._dropped_count = self._dropped_count, 0
        return records, dropped

    def note_start(self, four_tuple: FourTuple, original_cid: bytes, *, is_client: bool) -> None:
        """Note the first datagram; later calls do nothing."""
        if self._has_started:
            return
        self._has_started = True
        self._add(
            ConnectionStarted(
                at=self._now,
                four_tuple=four_tuple,
                original_destination_cid=original_cid,
                is_client=is_client,
            )
        )

    def note_handshake(self, sizes: Iterable[int], *, is_sent: bool) -> None:
        """Note datagrams of the handshake."""
        for size in sizes:
            self._add(DatagramTraced(at=self._now, is_sent=is_sent, size=size))

    def note_sent(
        self, path_id: PathId, first: int, payloads: Sequence[bytes], sealed: Sequence[bytes]
    ) -> None:
        """Note a batch of packets that leaves, with numbers from ``first`` on."""
        for number, (payload, packet) in enumerate(zip(payloads, sealed, strict=True), first):
            self._add_packet(path_id, number, payload, len(packet), is_sent=True)

    def note_received(self, path_id: PathId, packets: Iterable[tuple[int, bytes, int]]) -> None:
        """Note a batch of packets that came: number, frames and size of each."""
        for number, payload, size in packets:
            self._add_packet(path_id, number, payload, size, is_sent=False)

    def note_lost(self, path_id: PathId, runs: Iterable[SentRun]) -> None:
        """Note packets that were declared lost."""
        numbers = [number for run in runs for number in range(run.first, run.stop)][:_MAX_LOST]
        if numbers:
            self._add(PacketsLostTraced(at=self._now, path_id=path_id, numbers=tuple(numbers)))

    def note_metrics(self, path: Path) -> None:
        """Note what has changed of a path's recovery."""
        recovery = path.current.recovery
        values: dict[str, int | float] = {
            "congestion_window": recovery.congestion.congestion_window,
            "bytes_in_flight": recovery.bytes_in_flight,
            "pto_count": recovery.pto_count,
            "pacing_rate": round(8 * recovery.pacer.rate),
        }
        if recovery.rtt.has_sample:
            values |= {
                "smoothed_rtt": recovery.rtt.smoothed,
                "min_rtt": recovery.rtt.minimum,
                "latest_rtt": recovery.rtt.latest,
                "rtt_variance": recovery.rtt.variance,
            }
        before = self._metrics.get(path.path_id, {})
        changed = {name: value for name, value in values.items() if before.get(name) != value}
        self._metrics[path.path_id] = values
        if changed:
            self._add(MetricsTraced(at=self._now, path_id=path.path_id, values=changed))
        state = recovery.congestion.state_name
        if state != self._congestion_states.get(path.path_id):
            self._congestion_states[path.path_id] = state
            self._add(CongestionStateTraced(at=self._now, path_id=path.path_id, state=state))

    def note_event(self, event: Event) -> None:
        """Note an event, unless the packets tell it already."""
        if not isinstance(event, DatagramsReceived | StreamDataReceived):
            self._add(EventTraced(at=self._now, event=event))

    def _add_packet(
        self, path_id: PathId, number: int, payload: bytes, size: int, *, is_sent: bool
    ) -> None:
        if len(self._records) >= MAX_RECORDS:
            self._dropped_count += 1
            return
        self._records.append(
            PacketTraced(
                at=self._now,
                is_sent=is_sent,
                path_id=path_id,
                number=number,
                size=size,
                frames=summarise_frames(payload),
            )
        )

    def _add(self, record: TraceRecord) -> None:
        if len(self._records) >= MAX_RECORDS:
            self._dropped_count += 1
        else:
            self._records.append(record)


class TracedEvents(deque[Event]):
    """A queue of events whose every new one is traced as well."""

    def __init__(self, tracer: Tracer) -> None:
        """Start empty."""
        super().__init__()
        self._tracer = tracer

    @override
    def append(self, event: Event) -> None:
        super().append(event)
        self._tracer.note_event(event)
