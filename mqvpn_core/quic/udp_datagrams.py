"""What crosses the border between the QUIC rooms and the sockets: batches of UDP payloads."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from mqvpn_core.dataplane.packets import Flight, ReceivedBytes
from mqvpn_core.ids import FourTuple


class ReceivedDatagrams(NamedTuple):
    """One read from a socket: one UDP payload, or several that the kernel coalesced (GRO).

    All segments come from the same four-tuple. Every segment is ``segment_size`` bytes long but
    the last, which may be shorter.
    """

    four_tuple: FourTuple
    """Local and remote address of the datagrams."""
    data: ReceivedBytes
    """The UDP payloads back to back."""
    segment_size: int
    """Length of one UDP payload in bytes; ``len(data)`` when nothing was coalesced."""
    ecn: int
    """ECN codepoint of the IP header, 0 to 3 (RFC 3168)."""


class RefusedDatagram(NamedTuple):
    """A UDP payload that the host did not send: it is larger than the link takes (EMSGSIZE)."""

    four_tuple: FourTuple
    """Where it should have gone."""
    size: int
    """Its bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transmit:
    """UDP payloads for one network path, ready for one (GSO) send."""

    four_tuple: FourTuple
    """Where to send; ``four_tuple.local`` names the socket."""
    data: bytes
    """One UDP payload, or up to 64 of them back to back, at most 65,000 bytes in all."""
    segment_size: int
    """Length of each payload but the last, which may be shorter; ``len(data)`` for a single one."""
    ecn: int
    """ECN codepoint to set, 0 to 3."""
    flight: Flight | None = None
    """Stands for the payloads of several sends, which are not sealed yet; ``data`` is empty then.
    Only where `TransportConfig.seals_late` allows it."""

    def sealed(self, first_run: int = 0) -> "list[Transmit]":
        """Return what can be sent as it is, without the first runs of a flight."""
        if self.flight is None:
            return [self]
        return [
            replace(self, data=run.data, segment_size=run.segment_size, flight=None)
            for run in self.flight.sealed(first_run)
        ]


def split_segments(batch: ReceivedDatagrams) -> list[bytes]:
    """UDP payloads of one socket read."""
    data, size = batch.data, batch.segment_size
    if len(data) <= size:
        return [bytes(data)] if data else []
    return [data[start : start + size] for start in range(0, len(data), size)]
