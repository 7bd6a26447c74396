"""Turns what waits to be sent on one path into sealed UDP payloads.

# walk: 7 of 16

Control packets first (probing frames, ACK, our control frames, the engine's frames), then bulk
DATAGRAM packets as far as the congestion window, the pacer and the amplification limit allow.
"""

from collections.abc import Sequence

from mqvpn_core.dataplane.packets import PacketShape, Payload
from mqvpn_core.dataplane.parcels import payload_per_packet
from mqvpn_core.ids import FourTuple, Instant
from mqvpn_core.quic.aioquic_bridge.path_builder import (
    SMALLEST_USEFUL_PAYLOAD,
    BuilderStop,
    PathPacketBuilder,
    PlainPacket,
)
from mqvpn_core.quic.datagram_packing import (
    group_segments,
    join_like_runs,
    pack_datagrams,
    split_runs,
)
from mqvpn_core.quic.kept_contents import KeptContents
from mqvpn_core.quic.network_paths import NetworkPath
from mqvpn_core.quic.outgoing_acks import OutgoingAcks
from mqvpn_core.quic.packet_room import Datagram
from mqvpn_core.quic.packet_sources import PACKET_OVERHEAD, PacketSources
from mqvpn_core.quic.path_views import view_of
from mqvpn_core.quic.paths import Path, PathState
from mqvpn_core.quic.protection import (
    packet_number_length,
    sealed_overhead,
)
from mqvpn_core.quic.sent_run import SentRun
from mqvpn_core.quic.transport_config import BASE_DATAGRAM_SIZE, CONNECTION_ID_LENGTH
from mqvpn_core.quic.udp_datagrams import Transmit
from mqvpn_core.wire.code_points import FrameType
from mqvpn_core.wire.path_frame_coding import encode_path_frame
from mqvpn_core.wire.path_frames import (
    PathChallenge,
    PathResponse,
)

MAX_NON_ELICITING_STREAK = 32
"""ACK-only packets in a row after which a PING asks for an ACK (RFC 9000 s13.2.4): without it a
pure receiver never learns which of its acknowledgements have arrived."""

MAX_PADDING_PACKETS = 64
"""Packets of padding that leave at once."""

_PING = bytes([FrameType.PING])


class Packetizer:
    """Builds packets for paths of one connection; stateless but for its sources."""

    def __init__(self, sources: PacketSources) -> None:
        self._sources = sources
        self._acks = OutgoingAcks(sources)

    def build(self, paths: Sequence[Path], now: Instant, *, with_bulk: bool) -> list[Transmit]:
        """Everything that may leave right now."""
        transmits: list[Transmit] = []
        for path in paths:
            transmits += self._build_first(path, now)
        datagrams = self._sources.datagrams
        if with_bulk and (len(datagrams) or datagrams.tried_path is not None):
            transmits += self._build_bulk(paths, now)
        for path in paths:
            # What nothing else has taken along.
            if path.may_send and self._acks.is_due(path, now):
                transmits += self._control_packets(path, now)
        return transmits

    def _build_first(self, path: Path, now: Instant) -> list[Transmit]:
        """What must arrive, probes, and acknowledgements that go with them."""
        transmits: list[Transmit] = []
        if not path.may_send:
            return transmits
        # Here, because a gap in a flight of packets would split it, and what has been built for a
        # number must be sealed with it.
        path.sent.skip_if_due(self._sources.entropy)
        for network_path in list(path.network_paths.values()):
            if network_path.has_probing_frames(now):
                transmits += self._probing_packets(path, network_path, now)
        size = path.current.pmtu.next_probe(now)
        if size is not None:
            transmits += self._mtu_probe(path, size, now)
        if self._has_control(path):
            transmits += self._control_packets(path, now)
        return transmits

    def _build_bulk(self, paths: Sequence[Path], now: Instant) -> list[Transmit]:
        """DATAGRAM packets of all paths: the choice of a path is made now, not when queuing."""
        datagrams = self._sources.datagrams
        carriers = [path for path in paths if path.may_carry_data and not path.current.is_blocked]
        allocation = datagrams.allocate([view_of(path, now) for path in carriers], now)
        transmits: list[Transmit] = []
        for path in carriers:
            items = allocation.get(path.path_id)
            if items:
                transmits += self.send_datagrams(path, items, now, keep=len(carriers) > 1)
            if path.path_id == datagrams.tried_path:
                transmits += self._padding(path, now)
            if datagrams.is_drained(path.path_id):
                path.current.recovery.on_application_limited()
        return transmits

    def close_packet(self, path: Path, now: Instant) -> list[Transmit]:
        """A packet with the CONNECTION_CLOSE frame that the engine was asked for."""
        builder = self._builder(path, path.current, flight_budget=BASE_DATAGRAM_SIZE)
        try:
            builder.start_packet()
            self._sources.engine.write_close_frame(builder)
        except BuilderStop:
            return []
        builder.finish()
        return self._seal_packets(path, path.current, builder.packets, now)

    def _probing_packets(
        self, path: Path, network_path: NetworkPath, now: Instant
    ) -> list[Transmit]:
        """PATH_CHALLENGE and PATH_RESPONSE for one four-tuple, in datagrams of 1200 bytes.

        RFC 9000 s8.2.1: expanded "unless the anti-amplification limit for the path does not
        permit sending a datagram of this size"; not limited by congestion control.
        """
        builder = self._builder(
            path, network_path, flight_budget=4 * BASE_DATAGRAM_SIZE, smallest_payload=1
        )
        challenge = b""
        try:
            while (data := network_path.next_response()) is not None:
                frame = encode_path_frame(PathResponse(data=data))
                builder.write_frame(frame, is_ack_eliciting=True)
            if network_path.challenge_is_due(now):
                challenge = network_path.next_challenge(self._sources.entropy(8), now)
                frame = encode_path_frame(PathChallenge(data=challenge))
                builder.write_frame(frame, is_ack_eliciting=True)
        except BuilderStop:
            pass  # the peer or our timer repeats it when the limit has room
        builder.finish()
        room = network_path.amplification_room()
        if room is None or room >= BASE_DATAGRAM_SIZE * len(builder.packets):
            self._pad_datagrams(path, builder.packets, BASE_DATAGRAM_SIZE)
        elif challenge:
            network_path.note_small_challenge(challenge)
        return self._seal_packets(path, network_path, builder.packets, now)

    def _mtu_probe(self, path: Path, size: int, now: Instant) -> list[Transmit]:
        """A padded PING of the size that path MTU discovery wants to know about (RFC 8899)."""
        current = path.current
        if not current.is_validated or current.recovery.send_budget(now) < size:
            return []
        packet = PlainPacket(payload=_PING, is_ack_eliciting=True, is_in_flight=True)
        self._pad_datagrams(path, [packet], size)
        current.pmtu.on_probe_sent(size, now)
        return self._seal_packets(path, current, [packet], now, mtu_probe=size)

    def _control_packets(self, path: Path, now: Instant) -> list[Transmit]:
        current = path.current
        if current.is_blocked:
            return []
        budget = current.recovery.send_budget(now)
        if path.probes_due or path.ping_is_due:
            # RFC 9002 s7.5: probes are not limited by the congestion window
            budget = max(budget, max(1, path.probes_due) * current.pmtu.current)
        builder = self._builder(path, current, flight_budget=budget)
        self._write_control(path, builder, now)
        return self._seal_packets(path, current, builder.packets, now)

    def _has_control(self, path: Path) -> bool:
        sources = self._sources
        has_frames = sources.engine_has_frames or len(sources.control_frames)
        return bool((has_frames and self._takes_all(path)) or path.probes_due or path.ping_is_due)

    def _takes_all(self, path: Path) -> bool:
        """What must arrive may go on this path.

        A suspect path has only probes and its own acknowledgements, unless there is no better one.
        """
        is_validating = path.state is PathState.VALIDATING
        if not is_validating and not path.is_suspect:
            return True
        others = [other for other in self._sources.paths.values() if other is not path]
        if is_validating:
            # RFC 10069 s3.1: a server MUST NOT send data before validation; a client may, and does
            # where nothing else is left.
            return self._sources.engine.is_client and not any(other.may_send for other in others)
        return not any(other.may_carry_data and not other.is_suspect for other in others)

    def _write_control(self, path: Path, builder: PathPacketBuilder, now: Instant) -> None:
        sources = self._sources
        takes_all = self._takes_all(path)
        try:
            self._acks.write_into(builder, path, now)
            if takes_all:
                sources.control_frames.write_into(builder)
            if path.sent.non_eliciting_streak >= MAX_NON_ELICITING_STREAK:
                path.ping_is_due = True
            while path.probes_due or path.ping_is_due:
                builder.write_frame(_PING, is_ack_eliciting=True)
                path.ping_is_due = False
                path.probes_due = max(0, path.probes_due - 1)
                if path.probes_due:
                    builder.finish()  # RFC 9002 s6.2.4: probes are separate packets
            if takes_all and sources.engine_has_frames:
                builder.keep_open()
                if sources.engine.write_application_frames(builder, now):
                    sources.engine_has_frames = False
        except BuilderStop:
            pass  # what did not fit stays with its owner
        builder.finish()

    def send_datagrams(
        self, path: Path, items: Sequence[Datagram], now: Instant, *, keep: bool
    ) -> list[Transmit]:
        """Seal DATAGRAM packets; equal sizes in a row become one run.

        Args:
            path: the path.
            items: its datagrams, in order.
            now: the time.
            keep: remember what is in which packet, for another path should this one fail.
        """
        packets = pack_datagrams(items, path.current.pmtu.current - PACKET_OVERHEAD)
        payloads = [payload for payload, _ in packets]
        return self._send_runs(path, payloads, KeptContents.of(packets) if keep else None, now)

    def _padding(self, path: Path, now: Instant) -> list[Transmit]:
        """Fill the room of a path with packets of which only the acknowledgement matters."""
        current = path.current
        size = current.pmtu.current
        budget = current.recovery.send_budget(now)
        room = current.amplification_room()
        count = min((budget if room is None else min(budget, room)) // size, MAX_PADDING_PACKETS)
        if count <= 0:
            return []
        return self._send_runs(
            path, [_PING.ljust(size - PACKET_OVERHEAD, b"\0")] * count, None, now
        )

    def _send_runs(
        self,
        path: Path,
        payloads: list[Payload],
        contents: KeptContents | None,
        now: Instant,
    ) -> list[Transmit]:
        """Seal packets that ask for an acknowledgement and hold nothing that must arrive.

        Args:
            path: the path.
            payloads: of the packets, in order; an acknowledgement that is due comes behind them.
            contents: which datagrams are in which packet, if that has to be remembered.
            now: the time.
        """
        network_path = path.current
        acknowledged = self._acks.append_to(payloads, path, now)
        first, shapes, transmits = self._seal_runs(path, network_path.four_tuple, payloads)
        path.data_sent_at = now
        key_phase = self._sources.protection.send_key_phase
        done = 0
        for size, count, total_bytes in shapes:
            run = SentRun(
                first=first + done,
                count=count,
                sent_at=now,
                packet_bytes=size,
                total_bytes=total_bytes,
                ack_eliciting=True,
                in_flight=True,
                generation=network_path.generation,
                key_phase=key_phase,
                contents=None if contents is None else contents[done : done + count],
            )
            done += count
            if acknowledged is not None and first + done == path.sent.next_packet_number:
                # The packet with the ACK has a fate of its own.
                last = run.stop - 1
                if count > 1:
                    self.record(path, network_path, run.part(run.first, last), now)
                    run = run.part(last, run.stop)
                run.largest_acked_sent = acknowledged
            self.record(path, network_path, run, now)
        return transmits

    def _builder(
        self,
        path: Path,
        network_path: NetworkPath,
        *,
        flight_budget: int,
        smallest_payload: int = SMALLEST_USEFUL_PAYLOAD,
    ) -> PathPacketBuilder:
        return PathPacketBuilder(
            payload_capacity=network_path.pmtu.current - PACKET_OVERHEAD,
            packet_overhead=PACKET_OVERHEAD,
            flight_budget=flight_budget,
            total_budget=network_path.amplification_room(),
            first_packet_number=path.sent.next_packet_number,
            smallest_payload=smallest_payload,
        )

    def _pad_datagrams(self, path: Path, packets: Sequence[PlainPacket], size: int) -> None:
        """Fill the next packets with PADDING to datagrams of exactly this size.

        The size decides what they prove about the network path, so that the length which the
        packet number will have counts and not the longest one.
        """
        length = packet_number_length(
            path.sent.next_packet_number, len(packets), path.sent.largest_acknowledged
        )
        for packet in packets:
            packet.payload = packet.payload.ljust(
                size - sealed_overhead(CONNECTION_ID_LENGTH, length), b"\0"
            )
            packet.is_in_flight = True

    def _seal_packets(
        self,
        path: Path,
        network_path: NetworkPath,
        packets: Sequence[PlainPacket],
        now: Instant,
        *,
        mtu_probe: int = 0,
    ) -> list[Transmit]:
        """Seal packets that each have a fate of their own."""
        if not packets:
            return []
        first, sealed = self._seal_payloads(path, [packet.payload for packet in packets])
        key_phase = self._sources.protection.send_key_phase
        for number, (packet, data) in enumerate(zip(packets, sealed, strict=True), first):
            run = SentRun(
                first=number,
                count=1,
                sent_at=now,
                packet_bytes=len(data),
                total_bytes=len(data),
                ack_eliciting=packet.is_ack_eliciting,
                in_flight=packet.is_in_flight,
                generation=network_path.generation,
                is_probe_of_mtu=mtu_probe,
                key_phase=key_phase,
                handlers=tuple((call, tuple(args)) for call, args in packet.handlers),
                largest_acked_sent=packet.largest_acknowledged,
            )
            self.record(path, network_path, run, now)
        return group_segments(network_path.four_tuple, sealed)

    def _seal_runs(
        self, path: Path, four_tuple: FourTuple, payloads: Sequence[Payload]
    ) -> tuple[int, list[PacketShape], list[Transmit]]:
        """Give payloads their numbers; return the first, what they are like and what to send."""
        sources = self._sources
        count = sum(1 if isinstance(payload, bytes) else len(payload[1]) for payload in payloads)
        first = path.sent.reserve(count)
        seal = (
            sources.protection.plan_flight if sources.seals_late else sources.protection.seal_runs
        )
        sealed = seal(
            path_id=path.path_id,
            first_packet_number=first,
            destination_cid=path.peer_cids.current,
            largest_acknowledged=path.sent.largest_acknowledged,
            payloads=payloads,
            count=count,
        )
        if not isinstance(sealed, list):
            departure = Transmit(
                four_tuple=four_tuple, data=b"", segment_size=0, ecn=0, flight=sealed
            )
            return first, sealed.shapes, [departure]
        if sources.tracer is not None:
            plain = payload_per_packet(payloads)
            sources.tracer.note_sent(path.path_id, first, plain, split_runs(sealed))
        transmits = [
            Transmit(four_tuple=four_tuple, data=data, segment_size=size, ecn=0)
            for data, size, _ in sealed
        ]
        return first, join_like_runs(sealed), transmits

    def _seal_payloads(self, path: Path, payloads: Sequence[bytes]) -> tuple[int, list[bytes]]:
        first = path.sent.reserve(len(payloads))
        sealed = self._sources.protection.seal(
            path_id=path.path_id,
            first_packet_number=first,
            destination_cid=path.peer_cids.current,
            largest_acknowledged=path.sent.largest_acknowledged,
            payloads=payloads,
        )
        if self._sources.tracer is not None:
            self._sources.tracer.note_sent(path.path_id, first, payloads, sealed)
        return first, sealed

    def record(self, path: Path, network_path: NetworkPath, run: SentRun, now: Instant) -> None:
        """Take packets that have just been sent into the books."""
        had_unanswered = path.has_unanswered
        path.sent.record(run)
        path.sent_packets += run.count
        path.sent_bytes += run.total_bytes
        network_path.on_sent(run.total_bytes)
        network_path.recovery.on_run_sent(run, now)
        if run.ack_eliciting:
            self._sources.engine.note_ack_eliciting_sent(now)
            path.note_question(run.count, now, is_first=not had_unanswered)
