"""The value that stands for packets sent together, until their fate is known."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from mqvpn_core.ids import Instant
from mqvpn_core.quic.congestion.delivery_rate import DeliveryMark
from mqvpn_core.quic.kept_contents import KeptContents

# Every frame's handler takes other arguments; the ledger only carries them, its owner calls them.
DeliveryHandler: TypeAlias = Callable[..., None]  # type: ignore[explicit-any]  # see above


@dataclass(slots=True)
class SentRun:
    """One packet, or several with consecutive numbers, sent at one time in one manner."""

    first: int
    """Number of the first packet."""
    count: int
    """How many packets."""
    sent_at: Instant
    """When they were sent."""
    packet_bytes: int
    """UDP payload size of each packet but the last, which may be smaller."""
    total_bytes: int
    """UDP payload bytes of all packets together."""
    ack_eliciting: bool
    """The packets oblige the peer to acknowledge."""
    in_flight: bool
    """The packets count towards bytes in flight (RFC 9002 s2)."""
    generation: int = 0
    """Which network path of this path ID carried them; see `PathRecovery`."""
    is_probe_of_mtu: int = 0
    """UDP payload size that this packet probes, 0 for ordinary packets."""
    key_phase: int = 0
    """Count of key updates before these packets were sealed."""
    handlers: tuple[tuple[DeliveryHandler, tuple[object, ...]], ...] = ()
    """Delivery handlers of a single packet; their first argument is the delivery state."""
    largest_acked_sent: int | None = None
    """Largest number of the ACK this packet carried, if it carried one."""
    app_limited: bool = False
    """Sent while there was less to send than the congestion window allowed."""
    delivery_mark: DeliveryMark | None = None
    """What was known of the path's deliveries then; see `DeliveryRateSampler`."""
    contents: KeptContents | None = None
    """DATAGRAMs in each packet, to be sent again on another path if this one fails; None when
    nothing would be."""

    @property
    def stop(self) -> int:
        """The number after the last one."""
        return self.first + self.count

    def part(self, start: int, stop: int) -> "SentRun":
        """Return the packets ``start`` up to but excluding ``stop`` of this run."""
        packet_bytes = self.packet_bytes
        contents = self.contents
        if contents is not None:
            contents = contents[start - self.first : stop - self.first]
        if stop == self.first + self.count:
            total_bytes = self.total_bytes - packet_bytes * (start - self.first)
            if stop - start == 1:
                # The last packet alone: its size tells what the path carries.
                packet_bytes = total_bytes
        else:
            total_bytes = packet_bytes * (stop - start)
        return SentRun(
            first=start,
            count=stop - start,
            sent_at=self.sent_at,
            packet_bytes=packet_bytes,
            total_bytes=total_bytes,
            ack_eliciting=self.ack_eliciting,
            in_flight=self.in_flight,
            generation=self.generation,
            is_probe_of_mtu=self.is_probe_of_mtu,
            key_phase=self.key_phase,
            app_limited=self.app_limited,
            delivery_mark=self.delivery_mark,
            contents=contents,
        )
