"""Why packets are dropped, and the counters of one tunnel. Values only."""

import enum
from dataclasses import dataclass, field


class DropReason(enum.Enum):
    """What was wrong with a packet; the value is the name shown in the status."""

    MALFORMED = "malformed"
    """No complete IP packet."""
    SPOOFED_SOURCE = "spoofed source"
    """The sender may not use this source address (RFC 9484 s11, BCP 38)."""
    UNEXPECTED_SOURCE = "unexpected source"
    """Comes from outside the advertised ranges or the scope of the request."""
    NO_ROUTE = "no route"
    """The destination is in no advertised range."""
    OUT_OF_SCOPE = "protocol out of scope"
    """The destination is advertised for other protocols only (RFC 9484 s4.6, s4.8)."""
    PROHIBITED = "prohibited"
    """Policy forbids the other end, such as another client."""
    NOT_ASSIGNED = "destination not assigned"
    """The destination is none of the client's assigned addresses."""
    LINK_LOCAL = "link-local"
    """Link-local traffic stays on its link (RFC 9484 s7.2)."""
    MULTICAST = "multicast or broadcast"
    """The tunnel forwards unicast only."""
    SPECIAL_ADDRESS = "special address"
    """Loopback, unspecified, reserved or IPv4-mapped address."""
    HOP_LIMIT = "hop limit exceeded"
    """TTL or hop limit is used up (RFC 9484 s7.2)."""
    TOO_BIG = "too big"
    """Does not fit an HTTP Datagram now (RFC 9484 s10.1)."""
    UNKNOWN_CONTEXT = "unknown context"
    """HTTP Datagram without a context ID that we know (RFC 9484 s6)."""
    DUPLICATE = "duplicate"
    """A copy of it came before on another path, or it is too late to tell."""
    NO_TUNNEL = "no tunnel"
    """Came while no tunnel was open for it."""


@dataclass(slots=True, kw_only=True)
class PacketCounters:
    """What one tunnel did with packets so far."""

    sent_packet_count: int = 0
    """IP packets handed over for the peer."""
    sent_bytes: int = 0
    """Their bytes."""
    received_packet_count: int = 0
    """IP packets from the peer that passed."""
    received_bytes: int = 0
    """Their bytes."""
    icmp_error_count: int = 0
    """ICMP errors that we sent, to either side."""
    icmp_suppressed_count: int = 0
    """ICMP errors withheld by the rate limit (RFC 4443 s2.4)."""
    echo_reply_count: int = 0
    """Link-local echo requests of the peer that we answered."""
    drops: dict[DropReason, int] = field(default_factory=dict)
    """Dropped packets by reason; a reason that never happened is missing."""

    def count_drop(self, reason: DropReason, packet_count: int = 1) -> None:
        """Add to one reason."""
        self.drops[reason] = self.drops.get(reason, 0) + packet_count

    def add(self, other: "PacketCounters") -> None:
        """Add everything that ``other`` counted."""
        self.sent_packet_count += other.sent_packet_count
        self.sent_bytes += other.sent_bytes
        self.received_packet_count += other.received_packet_count
        self.received_bytes += other.received_bytes
        self.icmp_error_count += other.icmp_error_count
        self.icmp_suppressed_count += other.icmp_suppressed_count
        self.echo_reply_count += other.echo_reply_count
        for reason, count in other.drops.items():
            self.count_drop(reason, count)
