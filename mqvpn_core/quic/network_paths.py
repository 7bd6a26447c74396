"""One four-tuple that a path uses or may use: validation, anti-amplification, RTT, window, MTU.

RFC 9000 s8 and s9. The path ID with its packet numbers is `quic.paths`'; a path has one current
network path and gets another when the peer migrates.
"""

from collections import deque

from mqvpn_core.ids import FourTuple, Instant
from mqvpn_core.quic.congestion import create_congestion_controller
from mqvpn_core.quic.pmtu import PathMtuDiscovery
from mqvpn_core.quic.recovery import PathRecovery
from mqvpn_core.quic.transport_config import BASE_DATAGRAM_SIZE, TransportConfig

_MAX_OUTSTANDING_CHALLENGES = 5
_MAX_RESPONSES_DUE = 8
# The address is known to work: there is more time to prove that it takes 1200 bytes.
_SIZE_PROOF_FACTOR = 3
AMPLIFICATION_FACTOR = 3

SMALLEST_USEFUL_DATAGRAM = 96
"""Ordinary packets wait while the amplification limit allows less: an ACK has to fit."""
_IPV6_HEADER_EXCESS = 20


class NetworkPath:
    """State of one four-tuple.

    A: amplification_room, challenge_is_due, has_probing_frames
    B: on_datagram_received, on_challenge, on_response, handle_timeout
    C: start_validation, on_sent; D: next_challenge, next_response, next_timeout
    """

    def __init__(
        self,
        four_tuple: FourTuple,
        *,
        recovery: PathRecovery,
        pmtu: PathMtuDiscovery,
        is_validated: bool,
    ) -> None:
        """Create the state of a four-tuple whose packets count with `recovery`'s generation."""
        self.four_tuple = four_tuple
        self.recovery = recovery
        self.pmtu = pmtu
        self.is_validated = is_validated
        self.is_limited = True
        self.received_bytes = 0
        self.sent_bytes = 0
        self.validation_deadline: Instant | None = None
        self._challenges: deque[bytes] = deque(maxlen=_MAX_OUTSTANDING_CHALLENGES)
        self._small_challenges: deque[bytes] = deque(maxlen=_MAX_OUTSTANDING_CHALLENGES)
        self._validation_seconds = 0.0
        self._challenge_at: Instant | None = None
        self._challenge_interval = 0.0
        self._responses: deque[bytes] = deque(maxlen=_MAX_RESPONSES_DUE)

    @property
    def generation(self) -> int:
        """Number that marks the packets sent over this four-tuple."""
        return self.recovery.generation

    @property
    def is_validating(self) -> bool:
        """A PATH_CHALLENGE has been asked for and not been answered."""
        return self.validation_deadline is not None

    def amplification_room(self) -> int | None:
        """Bytes that may still be sent before validation; None when there is no limit.

        RFC 9000 s8.1: "three times the amount of data received from that address"
        """
        if self.is_validated or not self.is_limited:
            return None
        return max(0, AMPLIFICATION_FACTOR * self.received_bytes - self.sent_bytes)

    @property
    def is_blocked(self) -> bool:
        """The amplification limit leaves no room for more than path validation."""
        if self.is_validated or not self.is_limited:
            return False
        room = self.amplification_room()
        return room is not None and room < SMALLEST_USEFUL_DATAGRAM

    def on_datagram_received(self, size: int) -> None:
        """Count a datagram from this four-tuple that held an authentic packet."""
        self.received_bytes += size

    def on_sent(self, size: int) -> None:
        """Count bytes sent to this four-tuple."""
        self.sent_bytes += size

    def start_validation(self, now: Instant, probe_timeout: float) -> None:
        """Ask the peer to prove that it is at this address (RFC 9000 s8.2)."""
        self._validation_seconds = 3 * probe_timeout  # RFC 9000 s8.2.4
        self.validation_deadline = Instant(now + self._validation_seconds)
        self._challenge_at = now
        # RFC 9000 s8.2.1: no more often than Initial packets would be sent; new data each time
        self._challenge_interval = probe_timeout / 2

    def challenge_is_due(self, now: Instant) -> bool:
        """A PATH_CHALLENGE should go out now."""
        return self._challenge_at is not None and self._challenge_at <= now

    def next_challenge(self, data: bytes, now: Instant) -> bytes:
        """Register 8 fresh random bytes as sent in a PATH_CHALLENGE."""
        self._challenges.append(data)
        self._challenge_at = Instant(now + self._challenge_interval)
        self._challenge_interval *= 2
        return data

    def note_small_challenge(self, data: bytes) -> None:
        """The amplification limit left no room for 1200 bytes round the last challenge."""
        self._small_challenges.append(data)

    def on_challenge(self, data: bytes) -> None:
        """Remember a challenge of the peer; the answer goes to this four-tuple."""
        self._responses.append(data)

    def next_response(self) -> bytes | None:
        """Data of the oldest challenge not answered yet, once."""
        return self._responses.popleft() if self._responses else None

    def has_probing_frames(self, now: Instant) -> bool:
        """A challenge or an answer waits to be sent here."""
        return bool(self._responses) or self.challenge_is_due(now)

    def on_response(self, data: bytes) -> bool:
        """Compare an answer with our challenges.

        Returns:
            True when it validates this network path (RFC 9000 s8.2.3).
        """
        if data not in self._challenges:
            return False
        if data in self._small_challenges and self.validation_deadline is not None:
            # RFC 9000 s8.2.1: the address is proven, the size of 1200 bytes is not: "MUST perform a
            # second path validation", at once since no limit stands in the way any more
            self._challenge_at = Instant(0.0)
            self._challenge_interval = self._validation_seconds / 6
            more_seconds = _SIZE_PROOF_FACTOR * self._validation_seconds
            self.validation_deadline = Instant(self.validation_deadline + more_seconds)
        else:
            self._challenge_at = None
            self.validation_deadline = None
        self._challenges.clear()
        self._small_challenges.clear()
        self.is_validated = True
        return True

    def next_timeout(self) -> Instant | None:
        """When to repeat the challenge or give the validation up."""
        if self.validation_deadline is None:
            return None
        if self._challenge_at is None:
            return self.validation_deadline
        return min(self.validation_deadline, self._challenge_at)

    def has_failed(self, now: Instant) -> bool:
        """Validation was not answered in time; tells it once."""
        if self.validation_deadline is None or now < self.validation_deadline:
            return False
        self.validation_deadline = None
        self._challenge_at = None
        self._challenges.clear()
        self._small_challenges.clear()
        return True


class NetworkPathFactory:
    """Makes the state of new four-tuples from the settings and the peer's limits."""

    def __init__(self, config: TransportConfig) -> None:
        self._config = config
        self._max_udp_payload = config.max_udp_payload
        self._max_ack_delay = 0.025

    @property
    def initial_probe_timeout(self) -> float:
        """PTO of a network path of which nothing is known (RFC 9002 s6.2.2, s6.2.1)."""
        return 3 * self._config.initial_rtt + self._max_ack_delay

    def set_peer_limits(self, *, max_udp_payload: int, max_ack_delay: float) -> None:
        """Apply the peer's transport parameters."""
        self._max_udp_payload = min(self._config.max_udp_payload, max_udp_payload)
        self._max_ack_delay = max_ack_delay

    def restart_window(self, network_path: NetworkPath) -> None:
        """Let congestion control begin anew after a silence, unless it is beyond that.

        What was lost meanwhile was lost to an outage and looks like persistent congestion (RFC 9002
        s7.6). The path may have changed: it is as unknown as a new one (RFC 9000 s9.4).
        """
        name, size = self._config.congestion_control, network_path.pmtu.current
        fresh = create_congestion_controller(name, size)
        recovery = network_path.recovery
        if fresh.congestion_window > recovery.congestion.congestion_window:
            recovery.congestion = fresh

    def make(self, four_tuple: FourTuple, generation: int) -> NetworkPath:
        """Create the state of a four-tuple, not validated yet."""
        ceiling = self._max_udp_payload
        if ":" in four_tuple.remote.host:
            ceiling -= _IPV6_HEADER_EXCESS
        pmtu = PathMtuDiscovery(ceiling=max(BASE_DATAGRAM_SIZE, ceiling))
        recovery = PathRecovery(
            generation=generation,
            congestion=self._config.congestion_control,
            max_datagram_size=pmtu.current,
            initial_rtt=self._config.initial_rtt,
            max_ack_delay=self._max_ack_delay,
        )
        return NetworkPath(four_tuple, recovery=recovery, pmtu=pmtu, is_validated=False)
