"""The capsule protocol of a request stream (RFC 9297 s3) with the capsules of CONNECT-IP.

Owns type, length and value: splitting a byte stream into capsules as it arrives, and writing them.
The fields of the RFC 9484 capsules are in ``address_capsules``. Knows nothing of streams and their
error codes: a plain DecodeError means malformed (RFC 9297 s3.3, H3_MESSAGE_ERROR), an
UnacceptableCapsuleError means "abort the request stream" without naming a code.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

from mqvpn_core.errors import DecodeError
from mqvpn_core.wire.address_capsules import (
    AddressAssign,
    AddressRequest,
    RouteAdvertisement,
    UnacceptableCapsuleError,
    decode_address_assign,
    decode_address_request,
    decode_route_advertisement,
    encode_address_assign,
    encode_address_request,
    encode_route_advertisement,
)
from mqvpn_core.wire.code_points import CapsuleType
from mqvpn_core.wire.varint import Buffer, decode_varint, encode_varint

_MAX_IP_PACKET_BYTES: Final = 40 + 65535
"""The largest IPv6 packet that is not a jumbogram."""

_MAX_VARINT_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class CapsuleLimits:
    """What a parser puts up with."""

    max_control_bytes: int = 65536
    """Longest value of an address or route capsule; a longer one is an error."""
    max_datagram_bytes: int = _MAX_VARINT_BYTES + _MAX_IP_PACKET_BYTES
    """Longest value of a DATAGRAM capsule; a longer one is skipped without buffering."""
    tolerate_host_bits: bool = False
    """Read an assigned prefix with host bits set as that single address, instead of as malformed.

    Some servers assign ``fd00::2/64`` and mean ``fd00::2``. Holds for ADDRESS_ASSIGN only.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class DatagramCapsule:
    """DATAGRAM: an HTTP datagram that travels in the stream (RFC 9297 s3.5)."""

    payload: bytes
    """Context ID and payload, without quarter stream ID; may be empty."""


Capsule: TypeAlias = DatagramCapsule | AddressAssign | AddressRequest | RouteAdvertisement
"""Every capsule we understand."""

_KNOWN_TYPES: Final = frozenset(CapsuleType)


def encode_capsule_header(capsule_type: int, value_bytes: int) -> bytes:
    """Encode type and length; ``value_bytes`` bytes of value have to follow."""
    return encode_varint(capsule_type) + encode_varint(value_bytes)


def encode_capsule(capsule: Capsule) -> bytes:
    """Encode a whole capsule.

    Raises:
        LocalProtocolError: the capsule says what RFC 9484 forbids, such as routes out of order.
    """
    match capsule:
        case DatagramCapsule():
            capsule_type, value = CapsuleType.DATAGRAM, capsule.payload
        case AddressAssign():
            capsule_type, value = CapsuleType.ADDRESS_ASSIGN, encode_address_assign(capsule)
        case AddressRequest():
            capsule_type, value = CapsuleType.ADDRESS_REQUEST, encode_address_request(capsule)
        case RouteAdvertisement():
            capsule_type = CapsuleType.ROUTE_ADVERTISEMENT
            value = encode_route_advertisement(capsule)
        case _:
            assert_never(capsule)
    return encode_capsule_header(capsule_type, len(value)) + value


class CapsuleParser:
    """Splits the data of one request stream into capsules, as they arrive.

    B: ``feed`` with each piece of data, ``finish`` at a clean end of the stream.

    Holds at most one incomplete capsule of a known type, and no more of it than the limits allow;
    what is skipped is never held. After an error every further call raises the same error again.
    """

    def __init__(self, limits: CapsuleLimits) -> None:
        """Start at the beginning of a stream.

        Args:
            limits: how long capsules may be.
        """
        self._limits = limits
        self._buffer = bytearray()
        self._skip_bytes = 0
        self._failure: DecodeError | None = None

    @property
    def buffered_bytes(self) -> int:
        """Bytes held for an incomplete capsule."""
        return len(self._buffer)

    def feed(self, data: Buffer) -> list[Capsule]:
        """Take the next bytes of the stream; return the capsules they complete, in order.

        An error takes the capsules of the same piece with it: their stream is over.

        Raises:
            DecodeError: a capsule is malformed; UnacceptableCapsuleError if its stream has to be
                aborted for another reason.
        """
        if self._failure is not None:
            raise self._failure
        try:
            return self._parse(data)
        except DecodeError as error:
            self._failure = error
            self._buffer.clear()
            raise

    def finish(self) -> None:
        """Say that the stream ended cleanly.

        Raises:
            DecodeError: the last capsule is truncated, or an earlier error is repeated.
        """
        if self._failure is not None:
            raise self._failure
        # RFC 9297 s3.3: a truncated last capsule "MUST be treated as if it were a malformed or
        # incomplete message".
        if self._buffer or self._skip_bytes:
            self._failure = DecodeError("the stream ended inside a capsule")
            raise self._failure

    def _parse(self, data: Buffer) -> list[Capsule]:
        skipped = min(self._skip_bytes, len(data))
        self._skip_bytes -= skipped
        buffer = self._buffer
        buffer += data[skipped:]
        capsules: list[Capsule] = []
        offset = 0
        while (header := _decode_header(buffer, offset)) is not None:
            capsule_type, length, start = header
            if self._is_skipped(capsule_type, length):
                # RFC 9297 s3.2: "MUST silently drop that Capsule and skip over it".
                offset = min(start + length, len(buffer))
                self._skip_bytes = start + length - offset
                continue
            if start + length > len(buffer):
                break
            offset = start + length
            capsules.append(self._decode(capsule_type, bytes(buffer[start:offset])))
        del buffer[:offset]
        return capsules

    def _is_skipped(self, capsule_type: int, length: int) -> bool:
        """Tell whether a capsule is to be skipped."""
        if capsule_type not in _KNOWN_TYPES:
            return True
        if capsule_type == CapsuleType.DATAGRAM:
            # RFC 9297 s3.5: a length "known to be so large as to not be usable": "SHOULD discard
            # the capsule without buffering its contents".
            return length > self._limits.max_datagram_bytes
        if length > self._limits.max_control_bytes:
            raise UnacceptableCapsuleError(f"capsule type {capsule_type} of {length} bytes")
        return False

    def _decode(self, capsule_type: int, value: bytes) -> Capsule:
        if capsule_type == CapsuleType.DATAGRAM:
            return DatagramCapsule(payload=value)
        if capsule_type == CapsuleType.ADDRESS_ASSIGN:
            return decode_address_assign(value, tolerate_host_bits=self._limits.tolerate_host_bits)
        if capsule_type == CapsuleType.ADDRESS_REQUEST:
            return decode_address_request(value)
        return decode_route_advertisement(value)


def _decode_header(data: Buffer, offset: int) -> tuple[int, int, int] | None:
    """Return type, length and start of the value; None while either integer is incomplete."""
    try:
        capsule_type, offset = decode_varint(data, offset)
        length, offset = decode_varint(data, offset)
    except DecodeError:
        # An integer has no other way to fail than to be cut off: the rest is still on its way.
        return None
    return capsule_type, length, offset
