"""A path: a path ID with its packet number space and the network paths it uses or may use.

The outer of two layers: packet numbers, the ledger of sent packets and connection IDs live as long
as the path ID; RTT, congestion window and MTU live in `network_paths` and are replaced when the
peer migrates (RFC 9000 s9.4).
"""

import math
from collections.abc import Callable
from enum import Enum

from mqvpn_core.ids import FourTuple, Instant, PathId
from mqvpn_core.quic.connection_ids import PeerConnectionIds
from mqvpn_core.quic.network_paths import NetworkPath
from mqvpn_core.quic.packet_spaces import ReceivedPackets, SentPackets
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.quic.statistics import PathStatistics
from mqvpn_core.quic.timers import earliest

MAX_NETWORK_PATHS = 8
"""Four-tuples remembered for one path; the oldest unused one goes first."""

# RFC 9000 s13.2.2 recommends 2 and lets an endpoint choose; bulk datagrams arrive in batches and
# each batch is acknowledged once.
MAX_ACK_DELAY = 0.025


MIN_SILENCE = 0.05
"""Seconds without an answer that mean nothing on the fastest of paths: either host may be busy."""

PROMPTNESS = 0.005
"""Seconds that a peer takes to answer at once."""

TIMER_LATENESS = 0.003
"""Seconds by which what waits for timers on two hosts is late, however steady the path."""

STALL = 0.008
"""A timer that fires later than this says that our own process stood still: the answer may have
come meanwhile and nobody has read it."""

GRACE = 0.01
"""Seconds in which to read what has come while our process stood still."""

MAX_GRACES = 3
"""So often in one silence; a machine that is always late must notice dead paths as well."""

_BURST_PACKETS = 32  # acknowledged at once they tell of a load
_OWED_AFTER = 2  # RFC 9000 s13.2.2: "after receiving at least two ack-eliciting packets"


class PathState(Enum):
    """Where a path ID is in its life."""

    VALIDATING = "validating"
    """Its first network path has not been validated yet."""
    ACTIVE = "active"
    """It carries traffic."""
    ABANDONING = "abandoning"
    """We have said PATH_ABANDON, the peer has not."""
    RETAINED = "retained"
    """Both have said it; late packets are still acknowledged."""


class Path:
    """One path ID.

    Invariants: `current` is one of `network_paths`; generations only grow; a packet number is
    reserved once (`sent`).
    """

    def __init__(
        self,
        path_id: PathId,
        *,
        peer_cids: PeerConnectionIds,
        make_network_path: Callable[[FourTuple, int], NetworkPath],
        four_tuple: FourTuple,
    ) -> None:
        """Create a path that uses `four_tuple`.

        Args:
            path_id: its ID.
            peer_cids: connection IDs to send with.
            make_network_path: creates the state of a four-tuple for a generation number.
            four_tuple: its first network path.
        """
        self.path_id = path_id
        self.peer_cids = peer_cids
        self.is_abandoned = False
        """One side at least has given the path up: nothing is sent on it any more."""
        self.state = PathState.ACTIVE
        self.discard_at: Instant | None = None
        self.use = PathUse.PRIMARY
        self.rate_limit: float | None = None
        self.peer_is_backup = False
        self.local_status_sequence = -1
        self.announced_backup = False
        self.suspected_at: Instant | None = None
        # Last sign of life before the suspicion.
        self.silent_since = Instant(0.0)
        # The path that brings the acknowledgements of this one.
        self.ack_path_id = path_id
        self.abandon_reason = ""
        self.last_received_at = Instant(0.0)
        self.last_acknowledged_at = Instant(0.0)
        # Start of the time in which packets have waited and nothing was acknowledged.
        self.unanswered_since = Instant(0.0)
        # Since when the peer owes an answer at once; None while it may still wait for a packet.
        self.answer_owed_since: Instant | None = None
        # How long the peer waits under load until it acknowledges all at once; 0 without load.
        self._burst_delay = 0.0
        # Which silence was excused, how often, and until when.
        self._grace_of, self._graces, self._grace_until = Instant(-1.0), 0, Instant(0.0)
        self._doubted = Instant(-1.0)
        self.data_sent_at = self.data_received_at = Instant(-math.inf)
        self.kept_alive_at = Instant(0.0)
        self.received = ReceivedPackets(max_ack_delay=MAX_ACK_DELAY)
        self.sent = SentPackets()
        self.probes_due = 0
        self.ping_is_due = False
        self.last_cid_sequence = 0
        self.received_packets = 0
        self.received_bytes = 0
        self.sent_packets = 0
        self.sent_bytes = 0
        self.lost_packets = 0
        self._make_network_path = make_network_path
        self._generations = 0
        self.network_paths: dict[FourTuple, NetworkPath] = {}
        self.current = self.network_path(four_tuple)

    @property
    def state(self) -> PathState:
        """Where it is in its life."""
        return self._state

    @state.setter
    def state(self, state: PathState) -> None:
        self._state = state
        self.is_abandoned = state in (PathState.ABANDONING, PathState.RETAINED)

    @property
    def may_send(self) -> bool:
        """Packets may be sent: the path is not given up and the peer has given us an address."""
        return not self.is_abandoned and self.peer_cids.is_usable

    @property
    def may_carry_data(self) -> bool:
        """Bulk data may be sent (RFC 10069 s3.1: not before validation)."""
        return self._state is PathState.ACTIVE and self.peer_cids.is_usable

    @property
    def is_suspect(self) -> bool:
        """Nothing is acknowledged: probes only, unless there is no other path."""
        return self.suspected_at is not None

    def was_in_use(self, since: float) -> bool:
        """Tell whether DATAGRAM frames left or arrived at this instant or later."""
        return self.data_sent_at >= since or self.data_received_at >= since

    @property
    def status_word(self) -> str:
        """State in one word for people."""
        if self.state is PathState.ACTIVE:
            return "suspect" if self.is_suspect else "active"
        return "validating" if self.state is PathState.VALIDATING else "abandoning"

    @property
    def has_unanswered(self) -> bool:
        """Something waits for an acknowledgement; the probe of a size may well get none."""
        return self.sent.ack_eliciting_in_flight > self.current.pmtu.has_probe_in_flight

    def note_question(self, count: int, now: Instant, *, is_first: bool) -> None:
        """Ack-eliciting packets were sent.

        Args:
            count: how many.
            now: when.
            is_first: nothing else waited for an answer.
        """
        if is_first:
            self.unanswered_since = now
            self.answer_owed_since = None if count < _OWED_AFTER else now
        elif self.answer_owed_since is None:
            self.answer_owed_since = now

    def note_answer(self, now: Instant, *, packet_count: int, delay: float) -> None:
        """Something was acknowledged.

        Args:
            now: when.
            packet_count: how many packets by this one ACK.
            delay: seconds for which it was held back, as the peer says.
        """
        self.last_acknowledged_at = self.unanswered_since = now
        self.answer_owed_since = None
        is_burst = packet_count >= _BURST_PACKETS
        self._burst_delay = min(delay, self.current.recovery.max_ack_delay) if is_burst else 0.0

    def doubt_due_at(self) -> Instant | None:
        """When an answer is overdue; once in a silence.

        Sooner than suspicion, and for less: see `AckProcessor.copy_elsewhere`.
        """
        return self._doubt_due_at() if self._misses_answers() else None

    def _misses_answers(self) -> bool:
        """Tell whether silence means something."""
        return self.suspected_at is None and self._state is PathState.ACTIVE and self.has_unanswered

    def _doubt_due_at(self) -> Instant | None:
        if self._doubted == self.unanswered_since:
            return None
        recovery = self.current.recovery
        smoothed, variance = recovery.rtt.smoothed, recovery.rtt.variance
        # Whoever has nothing to answer with acknowledges when the delay is over, and not before.
        prompt = smoothed + max(2 * variance, TIMER_LATENESS)
        due = self.unanswered_since + prompt + recovery.max_ack_delay
        if self.answer_owed_since is not None:
            promptness = PROMPTNESS + self._burst_delay
            due = min(due, self.answer_owed_since + smoothed + 4 * variance + promptness)
        return Instant(due)

    def takes_to_doubt(self, now: Instant) -> bool:
        """Tell, once in a silence, whether an answer is overdue although we were there to read."""
        due = self.doubt_due_at()
        if due is None or now < due:
            return False
        self._doubted = self.unanswered_since
        return now - due <= STALL

    def suspicion_due_at(self) -> Instant | None:
        """When silence turns into suspicion: after a PTO at least in which nothing is acknowledged.

        Unlike the PTO (RFC 9002 s6.2.1) it does not start anew with every packet sent: steady
        traffic would put it off for as long as the congestion window lasts.
        """
        return self._suspicion_due_at() if self._misses_answers() else None

    def _suspicion_due_at(self) -> Instant:
        seconds = max(self.current.recovery.probe_timeout(), MIN_SILENCE)
        due = Instant(self.unanswered_since + seconds)
        return max(due, self._grace_until) if self._grace_of == self.unanswered_since else due

    def is_silent(self, now: Instant) -> bool:
        """Tell whether suspicion is due, and our own process has not just stood still.

        In that case there is a little more time.
        """
        due = self.suspicion_due_at()
        if due is None or now < due:
            return False
        if self._grace_of != self.unanswered_since:
            self._grace_of, self._graces = self.unanswered_since, 0
        if now - due <= STALL or self._graces >= MAX_GRACES:
            return True
        self._graces += 1
        self._grace_until = Instant(now + GRACE)
        return False

    def network_path(self, four_tuple: FourTuple) -> NetworkPath:
        """State of a four-tuple, created when it is new."""
        known = self.network_paths.get(four_tuple)
        if known is not None:
            return known
        if len(self.network_paths) >= MAX_NETWORK_PATHS:
            unused = [path for path in self.network_paths.values() if path is not self.current]
            victim = next((path for path in unused if not path.is_validated), unused[0])
            del self.network_paths[victim.four_tuple]
        created = self._make_network_path(four_tuple, self._generations)
        created.recovery.pacer.set_limit(self.rate_limit)
        self._generations += 1
        self.network_paths[four_tuple] = created
        return created

    def limit_rate(self, bytes_per_second: float | None) -> None:
        """Send no faster than this over whatever network path; None takes the limit away."""
        self.rate_limit = bytes_per_second
        for network_path in self.network_paths.values():
            network_path.recovery.pacer.set_limit(bytes_per_second)

    def network_path_of(self, generation: int) -> NetworkPath | None:
        """Find the four-tuple that packets of a generation were sent over, if it is remembered."""
        if generation == self.current.generation:
            return self.current
        for network_path in self.network_paths.values():
            if network_path.generation == generation:
                return network_path
        return None

    def migrate(self, network_path: NetworkPath, now: Instant) -> FourTuple:
        """Send over another network path from now on and return the one left (RFC 9000 s9.3)."""
        left = self.current
        if network_path is left:
            return left.four_tuple
        self.current = network_path
        # RFC 9000 s8.2.4: "the larger of the current PTO or the PTO for the new path (using
        # kInitialRtt...)": the way to the new port may be longer although we expect the old one.
        timeout = max(left.recovery.probe_timeout(), network_path.recovery.probe_timeout())
        if _has_same_hosts(left.four_tuple, network_path.four_tuple):
            # RFC 9000 s9.4: only the port changed, as behind a NAT: keep what was learnt
            network_path.recovery.rtt = left.recovery.rtt
            network_path.recovery.congestion = left.recovery.congestion
            network_path.recovery.deliveries = left.recovery.deliveries
            network_path.pmtu.current = left.pmtu.current
            network_path.recovery.set_max_datagram_size(left.pmtu.current)
        if not network_path.is_validated and not network_path.is_validating:
            network_path.start_validation(now, timeout)
        return left.four_tuple

    def return_to_validated(self) -> bool:
        """Go back to a validated network path after a failed migration (RFC 9000 s9.3.2).

        Returns:
            False when there is none: the path is dead.
        """
        failed = self.current
        for candidate in reversed(self.network_paths.values()):
            if candidate.is_validated and candidate is not failed:
                self.current = candidate
                del self.network_paths[failed.four_tuple]
                return True
        return False

    def next_timeout(self, *, handshake_confirmed: bool) -> Instant | None:
        """When something on this path is due."""
        current = self.current
        if self.is_abandoned:
            return None  # `path_manager` discards it; nothing else happens on it
        candidates = [path.next_timeout() for path in self.network_paths.values()]
        if not current.is_blocked and self.peer_cids.is_usable:
            # RFC 9002 s6.2.2.1: no PTO while the amplification limit would swallow the probe; an
            # ACK has to wait as well, until the peer sends something.
            candidates += [
                self.received.ack_due_at,
                current.recovery.next_timeout(self.sent, handshake_confirmed=handshake_confirmed),
                current.pmtu.next_timeout(),
            ]
            if handshake_confirmed and self._misses_answers():
                candidates += [self._suspicion_due_at(), self._doubt_due_at()]
        return earliest(candidates)

    def statistics(self) -> PathStatistics:
        """Take a snapshot."""
        recovery = self.current.recovery
        rtt = recovery.rtt
        return PathStatistics(
            path_id=self.path_id,
            four_tuple=self.current.four_tuple,
            state=self.status_word,
            use=self.use.value,
            peer_is_backup=self.peer_is_backup,
            smoothed_rtt=rtt.smoothed if rtt.has_sample else 0.0,
            min_rtt=rtt.minimum if rtt.has_sample else 0.0,
            rtt_variance=rtt.variance if rtt.has_sample else 0.0,
            congestion_window=recovery.congestion.congestion_window,
            bytes_in_flight=recovery.bytes_in_flight,
            sent_bytes=self.sent_bytes,
            sent_packets=self.sent_packets,
            received_bytes=self.received_bytes,
            received_packets=self.received_packets,
            lost_packets=self.lost_packets,
            probe_timeouts=recovery.pto_count,
            max_datagram_size=self.current.pmtu.current,
            last_received_at=self.last_received_at,
            congestion_control=recovery.congestion.name,
            congestion_state=recovery.congestion.state_name,
            bandwidth=recovery.congestion.bandwidth or 0.0,
            pacing_rate=recovery.pacer.rate,
        )


def _has_same_hosts(one: FourTuple, other: FourTuple) -> bool:
    return one.local.host == other.local.host and one.remote.host == other.remote.host
