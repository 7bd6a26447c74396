"""The way of one datagram that finds nothing else to do: at once into a packet.

Queue and scheduler decide between datagrams and between paths. Where there is one of each they cost
more than the packet itself, and whoever waits for its answer pays that four times. What is sent,
what is recorded of it and when are the same as on the long way.
"""

from collections.abc import Sequence

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.ids import Instant
from mqvpn_core.quic.connection_parts import ConnectionParts
from mqvpn_core.quic.connection_timers import ConnectionTimers
from mqvpn_core.quic.packet_sources import PACKET_OVERHEAD
from mqvpn_core.quic.paths import Path
from mqvpn_core.quic.udp_datagrams import Transmit

_FRAME_TYPE_BYTES = 1


class StraightWay:
    """C: send."""

    def __init__(self, parts: ConnectionParts, timers: ConnectionTimers) -> None:
        self._parts = parts
        self._timers = timers
        self._sources = parts.sources
        self._engine = parts.sources.engine
        self._paths = parts.sources.paths
        self._is_confirmed = False

    def send(
        self, prefix: bytes, payloads: Sequence[Parcel], now: Instant
    ) -> list[Transmit] | None:
        """Make a packet of one datagram; None when it has to go the long way.

        Args:
            prefix: bytes in front of the payload.
            payloads: the rest of one DATAGRAM frame.
            now: the time.

        Raises:
            RemoteProtocolError: the keys are nearly used up since no update was possible.
        """
        path = self._quiet_path(now)
        if path is None:
            return None
        current = path.current
        size = _FRAME_TYPE_BYTES + len(prefix) + sum(map(len, payloads))
        limit = min(self._engine.peer_datagram_frame_limit, current.pmtu.current - PACKET_OVERHEAD)
        if size > limit or size + PACKET_OVERHEAD > current.recovery.send_budget(now):
            return None
        path.sent.skip_if_due(self._sources.entropy)
        items = [(prefix, payload) for payload in payloads]
        transmits = self._parts.packetizer.send_datagrams(path, items, now, keep=False)
        current.recovery.on_application_limited()
        self._timers.set_pacing(now)
        return transmits

    def _quiet_path(self, now: Instant) -> Path | None:
        """Return the only path, if nothing but this datagram is to be sent."""
        sources, engine = self._sources, self._engine
        if len(self._paths) != 1 or sources.engine_has_frames or sources.tracer is not None:
            return None
        (path,) = self._paths.values()
        current = path.current
        ack_due_at = path.received.ack_due_at
        is_quiet = (
            self._has_settled()
            and not engine.is_ending
            and not engine.close_is_pending
            and path.may_carry_data
            and path.suspected_at is None
            and current.is_validated
            and len(path.network_paths) == 1
            and not path.probes_due
            and not path.ping_is_due
            and not len(sources.control_frames)
            and not len(sources.datagrams)
            and not current.has_probing_frames(now)
            and current.pmtu.next_probe(now) is None
            and not self._parts.traffic_moves.is_waiting
            # An acknowledgement that waits may go along; one that is due has to.
            and (ack_due_at is None or now < ack_due_at)
        )
        return path if is_quiet else None

    def _has_settled(self) -> bool:
        """Tell whether the handshake is over for good."""
        if not self._is_confirmed:
            self._is_confirmed = (
                self._parts.handshake.is_confirmed and self._engine.handshake_confirmed
            )
        return self._is_confirmed
