"""DNS messages, as far as finding the addresses of one host takes (RFC 1035, RFC 3596). No state.

The decoder is total: whatever the bytes are, the outcome is addresses or a DecodeError.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

from mqvpn_core.errors import DecodeError, LocalProtocolError

Address: TypeAlias = IPv4Address | IPv6Address

_HEADER = struct.Struct("!HHHHHH")
_FIXED = struct.Struct("!HHIH")
_CLASS_IN = 1
_CNAME = 5
_RECURSION_DESIRED = 0x0100
_RESPONSE = 0x8000
_OPCODE = 0x7800
_TRUNCATED = 0x0200
_RCODE = 0x000F
_NAME_ERROR = 3
_MAX_LABEL = 63
_MAX_NAME = 255
_POINTER = 0xC0
_MAX_RECORDS = 64
_MAX_ALIASES = 16


class RecordType(IntEnum):
    """What is asked for."""

    A = 1
    """IPv4 addresses (RFC 1035 s3.4.1)."""
    AAAA = 28
    """IPv6 addresses (RFC 3596 s2.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressAnswer:
    """What a name server says of one name and type."""

    addresses: tuple[Address, ...]
    """The addresses; none is an answer, too."""
    does_not_exist: bool = False
    """There is no such name (NXDOMAIN)."""


def encode_query(number: int, name: str, kind: RecordType) -> bytes:
    """Return a question.

    Args:
        number: 16 bits that nobody can guess; the answer repeats them.
        name: absolute name in ASCII.
        kind: what to ask for.

    Raises:
        LocalProtocolError: this cannot be a name.
    """
    header = _HEADER.pack(number, _RECURSION_DESIRED, 1, 0, 0, 0)
    return header + _encode_name(name) + struct.pack("!HH", kind, _CLASS_IN)


def decode_answer(message: bytes, number: int, name: str, kind: RecordType) -> AddressAnswer:
    """Read the answer to a question.

    Args:
        message: what came.
        number: that of the question.
        name: what was asked.
        kind: likewise.

    Raises:
        DecodeError: it is no answer to that question, or not a usable one.
    """
    if len(message) < _HEADER.size:
        raise DecodeError("shorter than a DNS header")
    got, flags, questions, answers, _, _ = _HEADER.unpack_from(message)
    if got != number or not flags & _RESPONSE or flags & _OPCODE or questions != 1:
        raise DecodeError("not the answer to our question")
    asked, offset = _decode_name(message, _HEADER.size)
    if message[offset : offset + 4] != struct.pack("!HH", kind, _CLASS_IN):
        raise DecodeError("the answer is to another type")
    owner = _canonical(name)
    if asked != owner:
        raise DecodeError("the answer is to another name")
    if flags & _RCODE == _NAME_ERROR:
        return AddressAnswer(addresses=(), does_not_exist=True)
    if flags & _RCODE or flags & _TRUNCATED:
        raise DecodeError("the name server does not answer the question")
    return AddressAnswer(addresses=_collect(message, offset + 4, answers, owner, kind))


def _collect(
    message: bytes, offset: int, count: int, owner: bytes, kind: RecordType
) -> tuple[Address, ...]:
    aliases: dict[bytes, bytes] = {}
    found: list[tuple[bytes, Address]] = []
    for _ in range(min(count, _MAX_RECORDS)):
        name, offset = _decode_name(message, offset)
        if offset + _FIXED.size > len(message):
            raise DecodeError("a record ends early")
        record, klass, _, length = _FIXED.unpack_from(message, offset)
        offset += _FIXED.size
        data = message[offset : offset + length]
        if len(data) != length:
            raise DecodeError("the data of a record ends early")
        if klass == _CLASS_IN and record == _CNAME:
            aliases[name], _ = _decode_name(message, offset)
        elif klass == _CLASS_IN and record == kind:
            found.append((name, _address(data, kind)))
        offset += length
    names = {owner}
    for _ in range(_MAX_ALIASES):
        names |= {aliases[each] for each in names if each in aliases}
    return tuple(dict.fromkeys(address for name, address in found if name in names))


def _address(data: bytes, kind: RecordType) -> Address:
    if kind is RecordType.A and len(data) == IPv4Address(0).max_prefixlen // 8:
        return IPv4Address(data)
    if kind is RecordType.AAAA and len(data) == IPv6Address(0).max_prefixlen // 8:
        return IPv6Address(data)
    raise DecodeError("an address of another length than its type has")


def _labels(name: str) -> list[bytes]:
    try:
        labels = name.removesuffix(".").encode("ascii").split(b".")
    except UnicodeEncodeError:
        raise LocalProtocolError(f"{name!r} is not a name in ASCII") from None
    if not all(1 <= len(label) <= _MAX_LABEL for label in labels):
        raise LocalProtocolError(f"{name!r} has an empty label or one that is too long")
    if sum(len(label) + 1 for label in labels) + 1 > _MAX_NAME:  # RFC 1035 s2.3.4
        raise LocalProtocolError(f"{name!r} is too long for a name")
    return labels


def _encode_name(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in _labels(name)) + b"\0"


def _canonical(name: str) -> bytes:
    return b".".join(_labels(name)).lower()


def _decode_name(message: bytes, offset: int) -> tuple[bytes, int]:
    """Return a name in lower case and the offset behind it."""
    labels: list[bytes] = []
    end: int | None = None
    size = 0
    while True:
        if offset >= len(message):
            raise DecodeError("a name ends early")
        length = message[offset]
        if length & _POINTER == _POINTER:  # RFC 1035 s4.1.4
            if offset + 2 > len(message):
                raise DecodeError("a name ends early")
            target = int.from_bytes(message[offset : offset + 2]) & 0x3FFF
            end = offset + 2 if end is None else end
            if target >= offset:
                raise DecodeError("a name points forward")
            offset = target
            continue
        if length > _MAX_LABEL:
            raise DecodeError("a label of an unknown kind")
        label = message[offset + 1 : offset + 1 + length]
        offset += 1 + length
        size += 1 + length
        if len(label) != length or size > _MAX_NAME:
            raise DecodeError("a name is too long")
        if not length:
            return b".".join(labels).lower(), offset if end is None else end
        labels.append(label)
