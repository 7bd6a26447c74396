"""Keys of the phases in use, and which packet numbers belong to which phase.

The parts that `quic/protection.py` is made of; it decides when a phase ends.

Implements RFC 9001 s6.3 to s6.6.
"""

from dataclasses import dataclass

from mqvpn_core.dataplane import kernel
from mqvpn_core.errors import LocalProtocolError, RemoteProtocolError
from mqvpn_core.ids import Instant
from mqvpn_core.quic.key_schedule import KeySchedule, aead_limits
from mqvpn_core.wire.code_points import TransportErrorCode

RESERVED_PACKETS = 1 << 10
"""Packets kept back to close the connection with when the keys are nearly used up."""


class SendKeys:
    """Keys of the send phase and how often they were used."""

    __slots__ = ("_has_used_reserve", "_limit", "keys", "schedule", "sealed_count")

    def __init__(self, schedule: KeySchedule) -> None:
        self.schedule = schedule
        self.keys = schedule.packet_keys()
        self.sealed_count = 0
        self._limit = aead_limits(schedule.suite).confidentiality
        self._has_used_reserve = False

    @property
    def is_half_used(self) -> bool:
        """Half of the confidentiality limit is used up."""
        return self.sealed_count >= self._limit // 2

    def count(self, packet_count: int) -> None:
        """Count packets about to be sealed (RFC 9001 s6.6)."""
        total = self.sealed_count + packet_count
        if total > self._limit:
            raise LocalProtocolError("the confidentiality limit of the AEAD is reached")
        if total > self._limit - RESERVED_PACKETS and not self._has_used_reserve:
            self._has_used_reserve = True
            raise RemoteProtocolError(
                TransportErrorCode.AEAD_LIMIT_REACHED, "the keys could not be updated in time"
            )
        self.sealed_count = total


class ReceiveKeys:
    """Keys of the previous, current and next receive phase."""

    __slots__ = ("_next_schedule", "current", "integrity_limit", "next", "previous", "promoted_at")

    def __init__(self, schedule: KeySchedule) -> None:
        self.previous: kernel.PacketKeys | None = None
        self.current = schedule.packet_keys()
        # Always at hand, so that no timing tells when they are first needed (RFC 9001 s6.3).
        self._next_schedule = schedule.updated()
        self.next = self._next_schedule.packet_keys()
        self.promoted_at = Instant(0.0)
        self.integrity_limit = aead_limits(schedule.suite).integrity

    def neighbours(self, *, is_late: bool) -> tuple[kernel.PacketKeys, ...]:
        """Return the keys that the other phase bit may mean, the likelier ones first."""
        if self.previous is None:
            return (self.next,)
        return (self.previous, self.next) if is_late else (self.next, self.previous)

    def promote(self, now: Instant) -> None:
        """Let the next keys become the current ones."""
        self.previous, self.current = self.current, self.next
        self._next_schedule = self._next_schedule.updated()
        self.next = self._next_schedule.packet_keys()
        self.promoted_at = now


@dataclass(slots=True)
class PathNumbers:
    """Packet numbers opened on one path: which phase may a number belong to?"""

    lowest_current: int | None = None
    """Lowest number opened with the current keys."""
    highest_current: int = -1
    """Highest number opened with the current keys."""
    highest_previous: int = -1
    """Highest number opened with any older keys."""

    def is_late(self, packet_number: int) -> bool:
        """The number belongs before the current phase; also said of a path without history."""
        return self.lowest_current is None or packet_number < self.lowest_current

    def note_current(self, lowest: int, highest: int) -> None:
        """Packets up to ``highest`` opened with the current keys."""
        _check_phase_order(older=self.highest_previous, newer=lowest)
        if self.lowest_current is None or lowest < self.lowest_current:
            self.lowest_current = lowest
        self.highest_current = max(self.highest_current, highest)

    def note_previous(self, packet_number: int) -> None:
        """A packet opened with the previous keys."""
        if self.lowest_current is not None:
            _check_phase_order(older=packet_number, newer=self.lowest_current)
        self.highest_previous = max(self.highest_previous, packet_number)

    def check_next(self, packet_number: int) -> None:
        """A packet opened with the next keys, which are about to become the current ones."""
        _check_phase_order(older=self.highest_current, newer=packet_number)

    def begin_phase(self) -> None:
        """The next keys became the current ones."""
        self.highest_previous = max(self.highest_previous, self.highest_current)
        self.highest_current = -1
        self.lowest_current = None


def _check_phase_order(*, older: int, newer: int) -> None:
    # RFC 9001 s6.4: "Packets with higher packet numbers MUST be protected with either the same or
    # newer packet protection keys than packets with lower packet numbers."
    if older > newer:
        raise RemoteProtocolError(
            TransportErrorCode.KEY_UPDATE_ERROR, "old keys were used after new ones"
        )
