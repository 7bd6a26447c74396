"""What follows from acknowledgements, losses and probe time-outs on one path.

Delivery handlers fire here, exactly once for each packet; path MTU discovery and the key schedule
learn what happened to their packets.
"""

import math

from mqvpn_core.dataplane.parcels import largest_packet
from mqvpn_core.errors import RemoteProtocolError
from mqvpn_core.ids import Instant
from mqvpn_core.quic.aioquic_bridge.path_builder import DeliveryState
from mqvpn_core.quic.network_paths import NetworkPath
from mqvpn_core.quic.packet_room import last_datagrams
from mqvpn_core.quic.packet_sources import PacketSources
from mqvpn_core.quic.packet_spaces import SentRun
from mqvpn_core.quic.paths import Path
from mqvpn_core.quic.transport_config import BASE_DATAGRAM_SIZE
from mqvpn_core.wire.ack_frames import Ack
from mqvpn_core.wire.code_points import TransportErrorCode

REINJECTION_AGE = 0.5
"""Seconds after which sending a DATAGRAM again helps nobody: inner TCP has done it itself."""

SMALL_DATAGRAM = 256
"""Bytes of what somebody may be waiting for: voice, key strokes, acknowledgements."""

MAX_COPIES = 32
"""Datagrams sent a second time when an answer is overdue."""

_LONG_AGO = Instant(-math.inf)


class AckProcessor:
    """Applies ACK frames and timer expiries to a path."""

    def __init__(self, sources: PacketSources) -> None:
        self._sources = sources

    def on_ack(self, path: Path, ack: Ack, now: Instant) -> bool:
        """Process an ACK frame for a path.

        Returns:
            True when the path's maximum datagram size changed.

        Raises:
            RemoteProtocolError: it acknowledges packets never sent (RFC 9000 s13.1).
        """
        engine = self._sources.engine
        engine.note_peer_validated_address()
        exponent = engine.peer_parameters.ack_delay_exponent
        delay = (ack.delay_raw << exponent) / 1_000_000
        if ack.ranges[0][1] >= path.sent.next_packet_number:
            raise RemoteProtocolError(
                TransportErrorCode.PROTOCOL_VIOLATION, "acknowledged a packet never sent"
            )
        outcome = path.current.recovery.on_ack(path.sent, ack.ranges, delay, ack.ecn, now)
        if outcome.acked:
            acked_count = sum(run.count for run in outcome.acked)
            path.note_answer(now, packet_count=acked_count, delay=delay)
        changed = self._settle_acked(path, outcome.acked, now)
        changed = self._settle_lost(path, outcome.lost, now) or changed
        if self._sources.tracer is not None:
            self._sources.tracer.note_metrics(path)
        return changed

    def on_timeout(self, path: Path, now: Instant, *, handshake_confirmed: bool) -> bool:
        """Run loss detection and the probe timer of a path (RFC 9002 s6.1.2, s6.2).

        Returns:
            True when the path's maximum datagram size changed.
        """
        outcome = path.current.recovery.on_timeout(
            path.sent, now, handshake_confirmed=handshake_confirmed
        )
        changed = self._settle_lost(path, outcome.lost, now)
        if outcome.probe_count:
            path.probes_due = outcome.probe_count
            smallest = path.sent.smallest_ack_eliciting_bytes() or 0
            pto_count = path.current.recovery.pto_count
            changed |= path.current.pmtu.on_probe_timeout(pto_count, smallest, now)
            self._resend_oldest(path)
            if self._sources.tracer is not None:
                self._sources.tracer.note_metrics(path)
        return changed

    def send_elsewhere(self, path: Path, now: Instant) -> None:
        """Queue again what a failing path has in the air.

        What must arrive always (RFC 10069 s5.7 allows it), DATAGRAM payloads if they are young
        enough to be of use. It may have arrived: inner protocols live with duplicates better than
        with a gap.
        """
        self._resend_all(path)
        for run in path.sent.sent_since(Instant(now - REINJECTION_AGE)):
            if run.contents is not None:
                datagrams = list(run.contents.datagrams())
                run.contents = None
                self._sources.datagrams.requeue(datagrams, now)

    def copy_elsewhere(self, path: Path, now: Instant) -> None:
        """Send what is small and unanswered on another path as well, without a word about this one.

        An answer is overdue, which may mean nothing. If the path is dead, what is urgent has not
        waited until that is certain; the peer, whom the news reaches later, does the same.
        """
        small = [
            datagram
            for run in path.sent.sent_since(Instant(now - REINJECTION_AGE))
            if run.contents is not None
            # Of a train that is not small all over nothing is urgent.
            for datagram in run.contents.datagrams()
            if largest_packet(datagram[1]) <= SMALL_DATAGRAM
        ]
        self._sources.datagrams.copy_elsewhere(path.path_id, last_datagrams(small, MAX_COPIES))

    def on_path_discarded(self, path: Path) -> None:
        """Whatever a path still had outstanding is lost (RFC 10069 s3.4.3)."""
        for run in path.sent.forget_all():
            if run.handlers:
                self._fire(run.handlers, DeliveryState.LOST)

    def _resend_all(self, path: Path) -> None:
        for run in path.sent.sent_since(_LONG_AGO):
            if run.handlers:
                handlers, run.handlers = run.handlers, ()
                self._fire(handlers, DeliveryState.LOST)

    def _resend_oldest(self, path: Path) -> None:
        """Let a probe carry what the oldest packet carried (RFC 9002 s6.2.4).

        Its handlers hear LOST now and nothing later, so they still fire once; the packet itself
        stays in the ledger.
        """
        oldest = path.sent.oldest_unacknowledged()
        if oldest is not None and oldest.handlers:
            handlers, oldest.handlers = oldest.handlers, ()
            self._fire(handlers, DeliveryState.LOST)

    def _settle_acked(self, path: Path, runs: list[SentRun], now: Instant) -> bool:
        changed = False
        for run in runs:
            if run.handlers:
                self._fire(run.handlers, DeliveryState.ACKED)
            if run.largest_acked_sent is not None:
                path.received.on_ack_acknowledged(run.largest_acked_sent)
            self._sources.protection.on_ack_of_phase(run.key_phase, now)
            carrier = self._carrier(path, run)
            if carrier is None:
                continue
            if run.is_probe_of_mtu:
                grew = carrier.pmtu.on_probe_acked(run.is_probe_of_mtu, now)
                changed |= self._take_over_mtu(path, carrier, changed=grew)
            elif run.packet_bytes > BASE_DATAGRAM_SIZE:
                carrier.pmtu.on_acked(run.packet_bytes)
        return changed

    def _settle_lost(self, path: Path, runs: list[SentRun], now: Instant) -> bool:
        changed = False
        if self._sources.tracer is not None:
            self._sources.tracer.note_lost(path.path_id, runs)
        for run in runs:
            if run.handlers:
                self._fire(run.handlers, DeliveryState.LOST)
            carrier = self._carrier(path, run)
            if not run.is_probe_of_mtu:
                path.lost_packets += run.count
            if carrier is None:
                continue
            if run.is_probe_of_mtu:
                shrank = carrier.pmtu.on_probe_lost(run.is_probe_of_mtu, now)
            elif run.packet_bytes > BASE_DATAGRAM_SIZE:
                shrank = carrier.pmtu.on_lost(run.packet_bytes, now)
            else:
                continue
            changed |= self._take_over_mtu(path, carrier, changed=shrank)
        return changed

    def _carrier(self, path: Path, run: SentRun) -> NetworkPath | None:
        """Find the network path that carried a settled run, if it is still remembered.

        The recovery of the current one has counted the run out of its flight itself; a network path
        that the peer has left may be used again and must not count it for ever.
        """
        carrier = path.network_path_of(run.generation)
        if carrier is not None and carrier is not path.current:
            carrier.recovery.forget((run,))
        return carrier

    def _take_over_mtu(self, path: Path, carrier: NetworkPath, *, changed: bool) -> bool:
        if changed and carrier is not path.current:
            carrier.recovery.set_max_datagram_size(carrier.pmtu.current)
        return changed and carrier is path.current

    def _fire(
        self, handlers: tuple[tuple[object, tuple[object, ...]], ...], state: DeliveryState
    ) -> None:
        for handler, arguments in handlers:
            assert callable(handler)
            handler(state, *arguments)
        # A handler may have put data back for the engine to send.
        self._sources.engine_has_frames = True
