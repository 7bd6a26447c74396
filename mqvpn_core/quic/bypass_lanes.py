"""Which packets of a connection may go past us, and what is noted of those that did.

A lane is one path in one direction while nothing but plain DATAGRAM packets is to be expected of
it: settled, validated, with nothing else to send. What the bypass did is taken into the same books
as what went through `packet_receiver` and `packetizer`, so that acknowledgements, loss recovery and
congestion control know no difference. See `mqvpn_core.dataplane.bypass`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mqvpn_core.dataplane import kernel
from mqvpn_core.dataplane.bypass import SentByBypass
from mqvpn_core.ids import FourTuple, Instant, PathId
from mqvpn_core.quic.connection_ids import LocalConnectionIds
from mqvpn_core.quic.connection_parts import ConnectionParts
from mqvpn_core.quic.kept_contents import KeptContents
from mqvpn_core.quic.number_loan import NumberLoan
from mqvpn_core.quic.packet_number_ranges import PacketNumberRanges
from mqvpn_core.quic.packet_sources import PACKET_OVERHEAD
from mqvpn_core.quic.path_views import view_of
from mqvpn_core.quic.paths import Path, PathState
from mqvpn_core.quic.protection import packet_number_length
from mqvpn_core.quic.sent_run import SentRun

MAX_LANE_PACKETS = 16_384
"""Packets that may leave on a lane before somebody looks."""
_FRAME_TYPE_BYTES = 1
_FEWEST_PACKETS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundLane:
    """Packets with one connection ID from one network path."""

    connection_id: bytes
    """Ours, as the peer uses it."""
    path_id: PathId
    """The path that it belongs to."""
    four_tuple: FourTuple
    """Where they have to come from."""
    keys: kernel.PacketKeys
    """Open them."""
    key_phase: int
    """Count of key updates before these keys; its lowest bit is that of the packets."""
    largest: int
    """Largest number received, -1 when none: only larger ones are sure to be no duplicates."""
    brings_room: bool
    """Packets wait here for acknowledgements that may come by this lane."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundLane:
    """What is needed to send on one path."""

    path_id: PathId
    """The path."""
    four_tuple: FourTuple
    """Where to send."""
    keys: kernel.PacketKeys
    """Seal the packets."""
    key_phase: int
    """Count of key updates before these keys."""
    header: kernel.ShortHeader
    """In front of them."""
    next_number: int
    """Number of the next packet."""
    credit: int
    """UDP payload bytes that congestion control allows."""
    frame_capacity: int
    """Bytes of frames in one packet."""
    keeps: bool
    """There is another path on which to send again what this one loses by failing."""
    generation: int
    """The network path; see `PathRecovery`."""


class BypassLanes:
    """A: ``inbound``, ``outbound``, ``place_of``. B: ``note_received``, ``note_sent``. C: ``lend``.

    D: ``review``, whenever something has been sent.
    """

    def __init__(self, parts: ConnectionParts) -> None:
        self._parts = parts
        self._sources = parts.sources
        self._engine = parts.sources.engine
        self._paths = parts.sources.paths
        self._local_cids: LocalConnectionIds = parts.local_cids

    def inbound(self) -> list[InboundLane]:
        """Every path of which packets may be opened and forwarded without us."""
        keys = self._sources.protection.receive_keys
        if keys is None or not self._has_settled():
            return []
        phase = self._sources.protection.receive_key_phase
        datagrams = self._sources.datagrams
        has_data = len(datagrams) > 0
        lanes = []
        for path in self._paths.values():
            if path.state is not PathState.ACTIVE or not path.current.is_validated:
                continue
            connection_id = self._connection_id(path)
            if connection_id is not None:
                lanes.append(
                    InboundLane(
                        connection_id=connection_id,
                        path_id=path.path_id,
                        four_tuple=path.current.four_tuple,
                        keys=keys,
                        key_phase=phase,
                        largest=path.received.largest,
                        brings_room=has_data or path.path_id == datagrams.tried_path,
                    )
                )
        return lanes

    def outbound(self, now: Instant) -> list[OutboundLane]:
        """Every path on which packets may be sent without us; call it when nothing more is due."""
        sources = self._sources
        protection = sources.protection
        keys = protection.send_keys
        if (
            keys is None
            or protection.needs_update
            or not self._has_settled()
            or sources.engine_has_frames
            or len(sources.control_frames)
            or len(sources.datagrams)
            or self._parts.traffic_moves.is_waiting
        ):
            return []
        carriers = [path for path in self._paths.values() if path.may_carry_data]
        lanes = []
        for path in carriers:
            if path.path_id == sources.datagrams.tried_path:
                continue  # padding is to be sent on it
            current = path.current
            credit = current.recovery.send_budget(now)
            size = current.pmtu.current
            if credit < _FEWEST_PACKETS * size or not _is_quiet(path, now):
                continue
            # The bypass leaves out none by itself.
            path.sent.skip_if_due(sources.entropy)
            first = path.sent.next_packet_number
            length = packet_number_length(first, MAX_LANE_PACKETS, path.sent.largest_acknowledged)
            lanes.append(
                OutboundLane(
                    path_id=path.path_id,
                    four_tuple=current.four_tuple,
                    keys=keys,
                    key_phase=protection.send_key_phase,
                    header=kernel.ShortHeader(
                        path.peer_cids.current, protection.send_key_phase & 1, length
                    ),
                    next_number=first,
                    credit=credit,
                    frame_capacity=min(
                        size - PACKET_OVERHEAD, self._engine.peer_datagram_frame_limit
                    ),
                    keeps=len(carriers) > 1,
                    generation=current.generation,
                )
            )
        return lanes

    def lend(self, lane: OutboundLane, loan: NumberLoan) -> None:
        """Let the bypass give out the numbers of a path, whenever they are out."""
        self._paths[lane.path_id].sent.loan = loan

    def place_of(self, packet: bytes) -> tuple[int, PathId] | None:
        """Tell the flow of an IP packet and the path it is on, if it may stay there unseen."""
        return self._sources.datagrams.place_of(packet, self._only_path())

    def note_received(
        self, lane: InboundLane, first: int, count: int, received_bytes: int, at: Instant
    ) -> None:
        """Packets with consecutive numbers came by a lane.

        Args:
            lane: the lane.
            first: number of the first.
            count: how many.
            received_bytes: UDP payload bytes of them.
            at: when the last of them came.

        Raises:
            RemoteProtocolError: they break the order of key phases.
        """
        path = self._paths.get(lane.path_id)
        if path is None:
            return
        numbers = PacketNumberRanges(1)
        numbers.add(first, first + count)
        self._sources.protection.note_opened(
            path.path_id, first, first + count - 1, key_phase=lane.key_phase
        )
        self._parts.receiver.note_taken(path, numbers, received_bytes, at)
        self._engine.note_packet_received(at)

    def note_sent(
        self, lane: OutboundLane, prefix: bytes, reports: Sequence[SentByBypass], now: Instant
    ) -> None:
        """Packets with consecutive numbers left by a lane.

        Args:
            lane: the lane.
            prefix: in front of each payload that the lane keeps.
            reports: of all of them, in order.
            now: what the ages in them count from.

        Raises:
            LocalProtocolError: the numbers are not the next ones.
            RemoteProtocolError: the keys are nearly used up since no update was possible.
        """
        path = self._paths.get(lane.path_id)
        if path is None:
            return
        # First of all, whatever is the matter: these numbers are used.
        packet_count = 0
        for report in reports:
            count = sum(count for _, count, _ in report.shapes)
            path.sent.reserve_exactly(report.first, count)
            packet_count += count
        self._sources.protection.note_sealed(packet_count)
        if self._engine.is_ending:
            return
        network_path = path.network_path_of(lane.generation) or path.current
        for report in reports:
            at = Instant(now - report.age)
            path.data_sent_at = at
            kept = self._keep(path, prefix, report, at) if report.payloads else None
            done = 0
            for size, count, total_bytes in report.shapes:
                run = SentRun(
                    first=report.first + done,
                    count=count,
                    sent_at=at,
                    packet_bytes=size,
                    total_bytes=total_bytes,
                    ack_eliciting=True,
                    in_flight=True,
                    generation=lane.generation,
                    key_phase=lane.key_phase,
                    contents=None if kept is None else kept[done : done + count],
                )
                self._parts.packetizer.record(path, network_path, run, at)
                done += count
            network_path.recovery.on_application_limited()

    def note_flow(self, key: int, path_id: PathId, sent_bytes: int, at: Instant) -> bool:
        """Bytes of a flow left by the lane of a path; tell whether it is where it was."""
        is_there = self._sources.datagrams.note_bypassed(key, path_id, sent_bytes, at)
        return is_there or self._only_path() == path_id

    def review(self, now: Instant) -> None:
        """See whether flows would be better off on other paths."""
        carriers = [
            path
            for path in self._paths.values()
            if path.may_carry_data and not path.current.is_blocked
        ]
        if len(carriers) > 1:
            self._sources.datagrams.review([view_of(path, now) for path in carriers], now)

    def _keep(
        self, path: Path, prefix: bytes, report: SentByBypass, at: Instant
    ) -> KeptContents | None:
        """Return what is in each packet, to be sent again if the path fails."""
        if path.is_abandoned:
            # Given up by a command while they left: what it sent elsewhere were those before.
            self._sources.datagrams.requeue([(prefix, payload) for payload in report.payloads], at)
            return None
        count = sum(count for _, count, _ in report.shapes)
        return KeptContents.of_parcels(prefix, report.payloads, count)

    def _has_settled(self) -> bool:
        engine = self._engine
        return (
            self._parts.handshake.is_confirmed
            and engine.handshake_confirmed
            and not engine.is_ending
            and not engine.close_is_pending
            and self._sources.tracer is None
        )

    def _only_path(self) -> PathId | None:
        return next(iter(self._paths)) if len(self._paths) == 1 else None

    def _connection_id(self, path: Path) -> bytes | None:
        """Find the connection ID that the peer used last."""
        for local in self._local_cids.active(path.path_id):
            if local.sequence_number == path.last_cid_sequence:
                return local.connection_id
        return None


def _is_quiet(path: Path, now: Instant) -> bool:
    """Tell whether nothing but DATAGRAMs is to be sent on a path."""
    current = path.current
    return (
        path.suspected_at is None
        and current.is_validated
        and not path.probes_due
        and not path.ping_is_due
        and not current.has_probing_frames(now)
        and current.pmtu.next_probe(now) is None
    )
