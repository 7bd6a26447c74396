"""Names for the numbers and addresses that cross room borders; no behaviour."""

from typing import NamedTuple, NewType

Instant = NewType("Instant", float)
"""A point on the monotonic clock, in seconds. Only differences mean anything."""

PathId = NewType("PathId", int)
"""Path ID of the multipath extension, 0 to 2**32 - 1 (RFC 10069)."""

PacketNumber = NewType("PacketNumber", int)
"""Full packet number, 0 to 2**62 - 1 (RFC 9000 s12.3)."""

StreamId = NewType("StreamId", int)
"""QUIC stream ID (RFC 9000 s2.1)."""

ContextId = NewType("ContextId", int)
"""Context ID of an HTTP Datagram (RFC 9484 s5)."""

ConnectionHandle = NewType("ConnectionHandle", int)
"""Index of one connection inside a server endpoint; never reused within a process."""

IfIndex = NewType("IfIndex", int)
"""Kernel index of a network interface."""


class SocketAddress(NamedTuple):
    """One end of a network path."""

    host: str
    """IPv4 or IPv6 address in canonical text form, without a zone."""
    port: int
    """UDP port, 0 to 65535."""


class FourTuple(NamedTuple):
    """Local and remote UDP address: what identifies a network path (RFC 9000 s9)."""

    local: SocketAddress
    """Our end. For a client it names the socket, and so the interface, to send on."""
    remote: SocketAddress
    """The peer's end."""
