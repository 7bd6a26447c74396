"""IP packets with a number in front, so that a packet sent on two paths is delivered once.

Owns the context of such packets, their numbers and which packets are worth sending twice. The
context is an extension of RFC 9484 s5 and s8: context ID 2, a sequence number of 4 bytes, then a
whole IP packet. Each direction has numbers of its own; they count up by one for each packet and
never name two different ones. A client offers it by `SEQUENCE_FIELD` in the request, a proxy agrees
by the same field in its 2xx response; whoever knows nothing of it ignores the field (RFC 9110 s5.1)
and gets plain packets, which stay allowed at any time.
"""

from typing import Final

from mqvpn_core.errors import DecodeError
from mqvpn_core.ids import ContextId
from mqvpn_core.masque.http_messages import FieldLines, has_true_field
from mqvpn_core.quic.duplication import Duplication
from mqvpn_core.wire.code_points import IpProtocol
from mqvpn_core.wire.http_datagrams import encode_context_id
from mqvpn_core.wire.ip_packets import IPV4_HEADER_BYTES, IPV6_HEADER_BYTES

SEQUENCE_FIELD: Final = (b"mqvpn-sequenced-ip", b"?1")
"""Field of the request and of its response that agrees on the context."""

SEQUENCED_IP_CONTEXT: Final = ContextId(2)
"""Context ID of numbered packets: even, because the client brings it up (RFC 9484 s5)."""

NUMBER_BYTES: Final = 4
"""Length of a sequence number."""

WINDOW: Final = 16384
"""How far back copies are recognised: more than a second of 10000 packets per second."""

SMALL_PACKET_BYTES: Final = 200
"""Up to this size a packet is sent twice whatever is in it: acknowledgements, names, speech."""

_CONTEXT_PREFIX: Final = encode_context_id(SEQUENCED_IP_CONTEXT)
_MODULUS: Final = 1 << 8 * NUMBER_BYTES
_HALF: Final = _MODULUS // 2
_DNS: Final = (53).to_bytes(2, "big")
_UDP: Final = int(IpProtocol.UDP)
_ICMP: Final = frozenset({int(IpProtocol.ICMP), int(IpProtocol.ICMPV6)})
# RFC 4594: expedited forwarding (telephony), VOICE-ADMIT (RFC 5865), signalling, network control.
_URGENT_DSCP: Final = frozenset({46, 44, 40, 48})
_IPV6: Final = 6
_IHL_WITHOUT_OPTIONS: Final = 0x45


def agrees_on_sequence(fields: FieldLines) -> bool:
    """Tell whether a header section has `SEQUENCE_FIELD`."""
    return has_true_field(fields, SEQUENCE_FIELD[0])


def is_urgent(packet: bytes) -> bool:
    """Tell whether an IP packet is small or marked as sensitive to delay."""
    if len(packet) <= SMALL_PACKET_BYTES:
        return True
    first = packet[0]
    if first == _IHL_WITHOUT_OPTIONS:
        dscp, protocol, payload = packet[1] >> 2, packet[9], IPV4_HEADER_BYTES
    elif first >> 4 == _IPV6:
        dscp = (first & 0x0F) << 2 | packet[1] >> 6
        protocol, payload = packet[6], IPV6_HEADER_BYTES
    else:
        return False
    if dscp in _URGENT_DSCP or protocol in _ICMP:
        return True
    return protocol == _UDP and _DNS in (
        packet[payload : payload + 2],
        packet[payload + 2 : payload + 4],
    )


class DuplicateWindow:
    """Which numbers have arrived; bounded, so numbers that are far behind count as arrived."""

    __slots__ = ("_next", "_seen")

    def __init__(self) -> None:
        """Start before the first number, which is 0."""
        self._next = 0
        self._seen = bytearray(WINDOW)

    def accept(self, truncated: int) -> bool:
        """Take note of a number; False when it is a copy, or too late to tell.

        Args:
            truncated: the number as it arrived, modulo 2**32: the one closest to what is expected
                is meant.
        """
        ahead = (truncated - self._next + _HALF) % _MODULUS - _HALF
        if ahead >= 0:
            self._clear(ahead)
            self._next += ahead + 1
        elif ahead < -WINDOW or self._next + ahead < 0:
            return False
        slot = truncated % WINDOW
        if ahead < 0 and self._seen[slot]:
            return False
        self._seen[slot] = 1
        return True

    def _clear(self, ahead: int) -> None:
        """Forget the numbers whose slots those up to the new one take over."""
        if ahead >= WINDOW:
            self._seen = bytearray(WINDOW)
            return
        start = self._next % WINDOW
        stop = start + ahead
        self._seen[start : min(stop, WINDOW)] = bytes(min(stop, WINDOW) - start)
        if stop > WINDOW:
            self._seen[: stop - WINDOW] = bytes(stop - WINDOW)


class SequencedIp:
    """Numbers of one tunnel, both directions.

    A: ``duplication``
    B: ``decode_payload``
    D: ``next_prefix``
    """

    def __init__(self) -> None:
        """Start with the first packet of either direction."""
        self._next = 0
        self._window: DuplicateWindow | None = None

    @property
    def duplication(self) -> Duplication:
        """What the transport needs to send urgent packets twice."""
        return Duplication(
            may_duplicate=is_urgent,
            next_prefix=self.next_prefix,
            prefix_bytes=len(_CONTEXT_PREFIX) + NUMBER_BYTES,
        )

    def next_prefix(self) -> bytes:
        """Return what goes in front of the next numbered packet."""
        number = self._next % _MODULUS
        self._next += 1
        return _CONTEXT_PREFIX + number.to_bytes(NUMBER_BYTES, "big")

    def decode_payload(self, payload: bytes, offset: int) -> bytes | None:
        """Take the number off; None when a copy of the packet came before, or might have.

        Args:
            payload: an HTTP Datagram payload of this context.
            offset: where the number begins.

        Raises:
            DecodeError: there is no whole number.
        """
        start = offset + NUMBER_BYTES
        if len(payload) < start:
            raise DecodeError("sequence number is truncated")
        if self._window is None:
            self._window = DuplicateWindow()
        if not self._window.accept(int.from_bytes(payload[offset:start], "big")):
            return None
        return payload[start:]
