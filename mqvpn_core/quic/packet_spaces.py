"""Packet numbers of one path ID: what was received, what was sent and not yet acknowledged.

Everything here works on ranges and runs of packet numbers, so that a batch of bulk packets costs
one step and not one object a packet. It knows neither round-trip times nor congestion windows:
`quic/recovery.py` decides when a packet counts as lost.

Implements RFC 9000 s13.2 (acknowledgments), s12.3 (duplicates), s21.4 (optimistic ACK) and the
ledger of RFC 9002 appendix A.1.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from mqvpn_core.errors import LocalProtocolError, RemoteProtocolError
from mqvpn_core.ids import Instant
from mqvpn_core.quic.number_loan import NumberLoan
from mqvpn_core.quic.packet_number_ranges import PacketNumberRanges
from mqvpn_core.quic.sent_run import SentRun
from mqvpn_core.wire.code_points import TransportErrorCode

__all__ = ["ReceivedPackets", "SentPackets", "SentRun"]

DUPLICATE_WINDOW = 1 << 14
"""Packet numbers behind the largest that are still told apart; older ones count as duplicates."""

MAX_NON_ELICITING = 1024
"""Packets in a row that oblige the peer to nothing and are remembered; see `SentPackets.record`."""

MAX_SKIP_DISTANCE = 1000
"""Between two numbers left out on purpose are 1 to this many others, 500 on average."""

_REMEMBERED_SKIPS = 8
_TRIM_INTERVAL = DUPLICATE_WINDOW // 4
_ECN_CE = 3


class ReceivedPackets:
    """Receiver half of one path ID: duplicates, ACK ranges and the ACK timer.

    Reads: ``largest`` (-1 when none), ``ack_due_at``, ``last_ack_sent_at``, ``has_unacknowledged``,
    ``ecn_counts``, ``ack_ranges``, ``ack_delay``, ``is_duplicate``.
    Writes: ``record``, ``on_ack_sent``, ``on_ack_acknowledged``.
    """

    __slots__ = (
        "_ack_eliciting_threshold",
        "_acknowledgeable",
        "_ecn_counts",
        "_largest_received_at",
        "_lowest_unreported",
        "_max_ack_delay",
        "_seen",
        "_trim_at",
        "_unacknowledged_count",
        "ack_due_at",
        "largest",
        "last_ack_sent_at",
    )

    def __init__(self, *, max_ack_delay: float, ack_eliciting_threshold: int = 2) -> None:
        """Start with nothing received.

        Args:
            max_ack_delay: the delay we promised in our transport parameters.
            ack_eliciting_threshold: ack-eliciting packets that make an ACK due at once.
        """
        self.largest = -1
        self.ack_due_at: Instant | None = None
        self.last_ack_sent_at: Instant | None = None
        self._max_ack_delay = max_ack_delay
        self._ack_eliciting_threshold = ack_eliciting_threshold
        # The window bounds the count: at most every other number of it can be missing.
        self._seen = PacketNumberRanges(DUPLICATE_WINDOW)
        # When to forget what is outside of it.
        self._trim_at = 0
        self._acknowledgeable = PacketNumberRanges()
        # Lowest number that arrived since the last ACK was sent.
        self._lowest_unreported: int | None = None
        self._largest_received_at = Instant(0.0)
        self._unacknowledged_count = 0
        self._ecn_counts: list[int] | None = None

    @property
    def has_unacknowledged(self) -> bool:
        """Ack-eliciting packets have arrived since the last ACK was sent."""
        return self._unacknowledged_count > 0

    @property
    def ecn_counts(self) -> tuple[int, int, int] | None:
        """ECT(0), ECT(1) and CE counts (RFC 9000 s13.4.1); None while no mark was ever seen."""
        counts = self._ecn_counts
        return None if counts is None else (counts[0], counts[1], counts[2])

    def is_duplicate(self, packet_number: int) -> bool:
        """Tell whether this number was received, or is too old to tell (RFC 9000 s12.3)."""
        return packet_number <= self.largest - DUPLICATE_WINDOW or packet_number in self._seen

    def record(
        self, numbers: PacketNumberRanges, *, ack_eliciting_count: int, ecn: int, now: Instant
    ) -> None:
        """Take note of one received batch.

        Args:
            numbers: numbers of the packets, each one new.
            ack_eliciting_count: how many of them were ack-eliciting.
            ecn: ECN codepoint of all their IP headers.
            now: when they arrived.
        """
        ranges = list(numbers)
        if not ranges:
            return
        previous_largest = self.largest
        lowest, highest = ranges[0][0], ranges[-1][1] - 1
        has_gap = len(ranges) > 1 or lowest != previous_largest + 1
        for start, stop in ranges:
            self._seen.add(start, stop)
            self._acknowledgeable.add(start, stop)
        if self._lowest_unreported is None or lowest < self._lowest_unreported:
            self._lowest_unreported = lowest
        if highest > previous_largest:
            self.largest = highest
            self._largest_received_at = now
            if highest >= self._trim_at:
                # Now and then: older numbers count as duplicates whether they are in it or not.
                self._seen.discard_below(highest - DUPLICATE_WINDOW + 1)
                self._trim_at = highest + _TRIM_INTERVAL
        if ecn:
            self._count_ecn(ecn, numbers.count)
        if ack_eliciting_count:
            self._unacknowledged_count += ack_eliciting_count
            # RFC 9000 s13.2.1: out of order, after a gap, and CE marks: without delay.
            # RFC 9000 s13.2.2: after at least two ack-eliciting packets.
            is_enough = self._unacknowledged_count >= self._ack_eliciting_threshold
            if has_gap or ecn == _ECN_CE or is_enough:
                self.ack_due_at = now
            elif self.ack_due_at is None:
                self.ack_due_at = Instant(now + self._max_ack_delay)

    def ack_ranges(self, limit: int = 64) -> tuple[tuple[int, int], ...]:
        """Return inclusive (smallest, largest) pairs from the largest down, at most ``limit``."""
        ranges = list(islice(self._acknowledgeable.descending(), limit))
        if not ranges and self.largest >= 0:
            # RFC 9000 s13.2.3: "SHOULD include an ACK Range containing the largest received".
            ranges.append((self.largest, self.largest))
        return tuple(ranges)

    def ack_delay(self, now: Instant) -> float:
        """Return the seconds since the largest number arrived (RFC 9000 s13.2.5)."""
        return max(0.0, now - self._largest_received_at)

    def on_ack_sent(self, now: Instant) -> None:
        """An ACK with all current ranges was sent: stop the timer."""
        self.ack_due_at = None
        self.last_ack_sent_at = now
        self._unacknowledged_count = 0
        self._lowest_unreported = None

    def on_ack_acknowledged(self, largest_in_that_ack: int) -> None:
        """The peer has an ACK of ours: leave out what it covered (RFC 9000 s13.2.4)."""
        floor = min(largest_in_that_ack, self.largest) + 1
        if self._lowest_unreported is not None:
            # A late packet that no ACK has reported yet must still be reported once.
            floor = min(floor, self._lowest_unreported)
        self._acknowledgeable.discard_below(floor)

    def _count_ecn(self, ecn: int, count: int) -> None:
        if self._ecn_counts is None:
            self._ecn_counts = [0, 0, 0]
        # Codepoints on the wire: 1 is ECT(1), 2 is ECT(0), 3 is CE (RFC 3168 s5).
        self._ecn_counts[(1, 0, 2)[ecn - 1]] += count


class SentPackets:
    """Sender half of one path ID: the numbers given out and the packets not yet acknowledged.

    Reads: the attributes and ``oldest_unacknowledged``. Writes: ``reserve``, ``reserve_exactly``,
    ``skip_if_due``, ``record``, ``acknowledge``, ``remove_lost``, ``forget_all``.

    Invariants: ``next_packet_number`` only grows; runs are kept in the order of their numbers and
    do not overlap; a packet leaves the ledger once, as acknowledged, lost or forgotten.
    """

    __slots__ = (
        "_firsts",
        "_runs",
        "_skip_at",
        "_skipped",
        "ack_eliciting_in_flight",
        "largest_acknowledged",
        "largest_sent",
        "last_ack_eliciting_sent_at",
        "loan",
        "next_packet_number",
        "non_eliciting_streak",
    )

    def __init__(self) -> None:
        """Start with number 0 and nothing sent."""
        self.next_packet_number = 0
        self.largest_sent = -1
        self.largest_acknowledged = -1
        self.ack_eliciting_in_flight = 0
        self.last_ack_eliciting_sent_at: Instant | None = None
        # Packets in a row that oblige the peer to nothing; lets the packetizer add a PING now
        # and then so that our own ACK ranges get acknowledged (RFC 9000 s13.2.4).
        self.non_eliciting_streak = 0
        # Whether somebody else may use the next numbers at the moment.
        self.loan: NumberLoan | None = None
        self._runs: list[SentRun] = []
        self._firsts: list[int] = []
        self._skip_at: int | None = None
        self._skipped: list[int] = []

    def __len__(self) -> int:
        return sum(run.count for run in self._runs)

    def reserve(self, count: int) -> int:
        """Give out ``count`` numbers and return the first; each may be sealed at most once.

        Raises:
            LocalProtocolError: the bypass may be using them.
        """
        if self.loan is not None and self.loan.is_out:
            raise LocalProtocolError("packet numbers are with the bypass")
        first = self.next_packet_number
        self.next_packet_number = first + count
        return first

    def reserve_exactly(self, first: int, count: int) -> None:
        """Take note that the bypass has given out ``count`` numbers from ``first`` on.

        Raises:
            LocalProtocolError: these are not the next ones.
        """
        if first != self.next_packet_number:
            raise LocalProtocolError(f"packet {first} is not the next one")
        self.reserve(count)

    def skip_if_due(self, entropy: Callable[[int], bytes]) -> None:
        """Leave out a number now and then; its acknowledgment is a lie (RFC 9000 s21.4).

        Args:
            entropy: decides where, so that the peer cannot know.
        """
        number = self.next_packet_number
        if self._skip_at is None:
            self._skip_at = number + _draw_distance(entropy)
        if number < self._skip_at:
            return
        self._skipped.append(self.reserve(1))
        del self._skipped[:-_REMEMBERED_SKIPS]
        self._skip_at = number + 1 + _draw_distance(entropy)

    def record(self, run: SentRun) -> None:
        """Take note of packets just sent, in the order of their numbers.

        Raises:
            LocalProtocolError: the numbers were never reserved, or go backwards.
        """
        if not self.largest_sent < run.first <= run.stop <= self.next_packet_number:
            raise LocalProtocolError(f"packet {run.first} is recorded out of order")
        self.largest_sent = run.first + run.count - 1
        self._runs.append(run)
        self._firsts.append(run.first)
        if run.ack_eliciting:
            self.ack_eliciting_in_flight += run.count
            self.last_ack_eliciting_sent_at = run.sent_at
            self.non_eliciting_streak = 0
        else:
            self.non_eliciting_streak += run.count
            self._bound_non_eliciting()

    def acknowledge(self, ranges: Sequence[tuple[int, int]]) -> list[SentRun]:
        """Remove what the peer acknowledges.

        Args:
            ranges: inclusive (smallest, largest) pairs of one ACK frame, from the largest down;
                there is at least one.

        Returns:
            The newly acknowledged runs by ascending number. Numbers that were acknowledged or
            declared lost before are passed over.

        Raises:
            RemoteProtocolError: the peer acknowledges a packet that was never sent.
        """
        if ranges[0][1] > self.largest_sent or (self._skipped and self._has_skipped(ranges)):
            # RFC 9000 s13.1: "SHOULD treat receipt of an acknowledgment for a packet it did not
            # send as a connection error of type PROTOCOL_VIOLATION".
            raise RemoteProtocolError(
                TransportErrorCode.PROTOCOL_VIOLATION, "acknowledgment of an unsent packet"
            )
        self.largest_acknowledged = max(self.largest_acknowledged, ranges[0][1])
        acknowledged: list[SentRun] = []
        for smallest, largest in ranges:
            if not self._firsts or largest < self._firsts[0]:
                break
            removed = self._remove(smallest, largest + 1)
            if removed:
                acknowledged[:0] = removed
        return acknowledged

    def remove_lost(
        self, *, sent_before: Instant, largest_acked: int, packet_threshold: int = 3
    ) -> tuple[list[SentRun], Instant | None]:
        """Remove the packets that count as lost (RFC 9002 s6.1).

        Args:
            sent_before: packets sent at this time or earlier are lost by the time threshold.
            largest_acked: only packets with smaller numbers can be lost.
            packet_threshold: numbers this far behind ``largest_acked`` are lost.

        Returns:
            The lost runs by ascending number, and the sending time of the earliest remaining
            packet that waits only for the time threshold.
        """
        lost: list[SentRun] = []
        lost_by_number = largest_acked - packet_threshold + 1
        earliest: Instant | None = None
        index = 0
        while index < len(self._runs) and self._runs[index].first <= largest_acked:
            run = self._runs[index]
            is_old = run.sent_at <= sent_before
            stop = min(run.stop, largest_acked + 1 if is_old else lost_by_number)
            if stop > run.first:
                lost.extend(self._remove(run.first, stop))
                continue
            if earliest is None or run.sent_at < earliest:
                earliest = run.sent_at
            index += 1
        return lost, earliest

    def oldest_unacknowledged(self) -> SentRun | None:
        """Return the oldest run that obliges the peer to acknowledge."""
        return next((run for run in self._runs if run.ack_eliciting), None)

    def smallest_ack_eliciting_bytes(self) -> int | None:
        """Return the UDP payload size of the smallest outstanding ack-eliciting packet."""
        sizes = (run.total_bytes // run.count for run in self._runs if run.ack_eliciting)
        return min(sizes, default=None)

    def sent_since(self, instant: Instant) -> Iterator[SentRun]:
        """Yield the runs that are neither acknowledged nor lost, the newest first."""
        for run in reversed(self._runs):
            if run.sent_at < instant:
                return
            yield run

    def forget_probes(self, size: int) -> list[SentRun]:
        """Take out and return the probes of the path MTU of this size, which never left."""
        probes = [run for run in self._runs if run.is_probe_of_mtu == size]
        return [part for run in probes for part in self._remove(run.first, run.stop)]

    def forget_all(self) -> list[SentRun]:
        """Empty the ledger, as when the path is discarded, and return what was outstanding."""
        runs = self._runs
        self._runs = []
        self._firsts = []
        self.ack_eliciting_in_flight = 0
        return runs

    def _bound_non_eliciting(self) -> None:
        # Whoever only receives sends nothing but ACKs, which nobody need ever acknowledge. Their
        # fate says little, so the oldest may go.
        if self.non_eliciting_streak > MAX_NON_ELICITING and len(self._runs) > MAX_NON_ELICITING:
            index = len(self._runs) - 1 - MAX_NON_ELICITING
            run = self._runs[index]
            if not run.ack_eliciting and not run.in_flight and not run.handlers:
                del self._runs[index]
                del self._firsts[index]

    def _has_skipped(self, ranges: Sequence[tuple[int, int]]) -> bool:
        for number in reversed(self._skipped):
            if number < ranges[-1][0]:
                return False
            for smallest, largest in ranges:
                if number >= smallest:
                    if number <= largest:
                        return True
                    break
        return False

    def _remove(self, start: int, stop: int) -> list[SentRun]:
        """Take the numbers ``start`` up to but excluding ``stop`` out of the ledger."""
        runs = self._runs
        low = bisect_right(self._firsts, start) - 1
        if low < 0 or runs[low].stop <= start:
            low += 1
        high = bisect_left(self._firsts, stop, low)
        if low == high:
            return []
        removed = runs[low:high]
        kept: list[SentRun] = []
        first, last = removed[0], removed[-1]
        if first.first < start:
            kept.append(first.part(first.first, start))
            removed[0] = first.part(start, first.stop)
        if last.stop > stop:
            kept.append(last.part(stop, last.stop))
            tail = removed[-1]
            removed[-1] = tail.part(tail.first, stop)
        runs[low:high] = kept
        self._firsts[low:high] = [run.first for run in kept]
        for run in removed:
            if run.ack_eliciting:
                self.ack_eliciting_in_flight -= run.count
        return removed


def _draw_distance(entropy: Callable[[int], bytes]) -> int:
    return 1 + int.from_bytes(entropy(4), "big") % MAX_SKIP_DISTANCE
