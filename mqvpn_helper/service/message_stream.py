"""D-Bus messages out of a stream of bytes and descriptors; total, bounded, no I/O.

The bus checks what its clients send, but not everything: descriptors may be missing, a body may
have any type and up to 32 MiB. Whatever comes, the stream goes on with the next message. Who is
answered by an error is the caller's decision.
"""

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from jeepney.low_level import Header, HeaderFields, Message, calc_msg_size

MAX_MESSAGE_BYTES = 128 * 1024
"""Longer messages are not looked into: a profile with certificates has at most 64 KiB."""
_FIXED_BYTES = 16  # D-Bus specification: fixed part of the header and the length of its fields
_ENDIANNESS = {b"l": "<", b"B": ">"}

_UNDECODABLE = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AssertionError,
    RecursionError,
    struct.error,
)
"""What jeepney raises for messages it cannot decode."""


class BrokenStreamError(Exception):
    """What comes is not D-Bus at all: the connection is of no use any more."""


class UndecodableError(Exception):
    """A message's body is not what its header says."""


@dataclass(slots=True, kw_only=True)
class Incoming:
    """A message with the descriptors that came with it, which it owns.

    Its body is decoded on request only: that costs far more than the header, and anybody may send
    anything. So whoever receives it looks at the header first.
    """

    header: Header
    """Its header; the bus vouches for the sender in it."""
    data: bytes
    """All of it."""
    fds: list[int] = field(default_factory=list)
    """Descriptors nobody has taken yet."""

    def decode(self) -> tuple[object, ...]:
        """Return the body; a descriptor in it is a plain number.

        Raises:
            UndecodableError: there is none that could be read.
        """
        try:
            return Message.from_buffer(self.data, self.fds).body
        except _UNDECODABLE as error:
            raise UndecodableError("the message cannot be decoded") from error

    def take_fd(self, fd: int) -> int:
        """Hand a descriptor over to the caller, who closes it from now on."""
        self.fds.remove(fd)
        return fd

    def close(self) -> None:
        """Close what nobody has taken."""
        _close_all(self.fds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A message that was skipped."""

    header: Header | None
    """Its header, when at least that could be read."""
    reason: str
    """Why, in words for the sender."""


Arrival: TypeAlias = Incoming | Unreadable
"""One message of the stream."""


class MessageStream:
    """Puts messages together.

    A: `wanted`. B: `receive_bytes`. Read at most `wanted` bytes at a time: then the descriptors
    that the kernel delivers with them belong to the message that is being read.
    """

    def __init__(self) -> None:
        """Start at the beginning of a message."""
        self._buffer = bytearray()
        self._fds: list[int] = []
        self._size = _FIXED_BYTES
        self._discarded = 0

    @property
    def wanted(self) -> int:
        """How many bytes may be read before the next `receive_bytes`."""
        return min(self._size - len(self._buffer) - self._discarded, MAX_MESSAGE_BYTES)

    def receive_bytes(self, data: bytes, fds: Sequence[int]) -> Arrival | None:
        """Take what was read; return a message when one is complete.

        Raises:
            BrokenStreamError: the bytes are no D-Bus messages.
        """
        self._fds.extend(fds)
        room = MAX_MESSAGE_BYTES - len(self._buffer)
        self._buffer += data[:room]
        self._discarded += max(len(data) - room, 0)
        if self._size == _FIXED_BYTES and len(self._buffer) == _FIXED_BYTES:
            self._size = self._message_size()
        if self._size == _FIXED_BYTES or len(self._buffer) + self._discarded < self._size:
            return None
        return self._finish()

    def close(self) -> None:
        """Close the descriptors of a message that will never be complete."""
        _close_all(self._fds)

    def _message_size(self) -> int:
        fixed = bytes(self._buffer)
        order = _ENDIANNESS.get(fixed[:1])
        if order is None or fixed[3] != 1:
            raise BrokenStreamError("the bus sent something that is not D-Bus")
        size = calc_msg_size(fixed)
        if size <= _FIXED_BYTES:
            raise BrokenStreamError("the bus sent a message without header fields")
        return size

    def _finish(self) -> Arrival:
        data, fds = bytes(self._buffer), self._fds
        is_whole = not self._discarded
        self._buffer, self._fds = bytearray(), []
        self._size, self._discarded = _FIXED_BYTES, 0
        header = _header_of(data)
        reason = ""
        if not is_whole:
            reason = "the message is too long"
        elif header is None:
            reason = "the message cannot be decoded"
        elif header.fields.get(HeaderFields.unix_fds, 0) != len(fds):
            reason = "descriptors are missing or superfluous"
        if header is None or reason:
            _close_all(fds)
            return Unreadable(header=header, reason=reason)
        return Incoming(header=header, data=data, fds=fds)


def _header_of(data: bytes) -> Header | None:
    try:
        return Header.from_buffer(data)[0]
    except _UNDECODABLE:
        return None


def _close_all(fds: list[int]) -> None:
    while fds:
        os.close(fds.pop())
