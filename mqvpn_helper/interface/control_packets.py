"""The form of packets between helper and core: one JSON object each, bounded.

Decoding is total: whatever the bytes are, the outcome is a message or a `MemberError`.
"""

import json
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import TypeAlias, TypeVar

from mqvpn_helper.interface.control_messages import (
    MAX_MESSAGE_BYTES,
    MAX_USED_LINKS,
    LinkUsage,
)
from mqvpn_helper.interface.host_plan import IPAddress
from mqvpn_helper.interface.members import MemberError, MemberReader

T = TypeVar("T")
PacketValue: TypeAlias = (
    "bool | int | float | str | list[PacketValue] | dict[str, PacketValue] | None"
)
"""What a member of a packet can be."""

MAX_ID = 1 << 32
"""Largest number of a request."""
MAX_COUNT = 1 << 62
"""Largest count and amount."""
MAX_TEXT = 512
"""Longest text, in characters."""
MAX_IFINDEX = (1 << 31) - 1
"""Largest index of an interface."""

# No control characters and no halves of surrogate pairs: D-Bus and terminals take neither.
LINE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]*")
LINK = re.compile(r"[!-.0-9;-~]{0,15}", re.ASCII)
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
MONTH = re.compile(r"|[0-9]{4}-[0-9]{2}", re.ASCII)
TOKEN = re.compile(r"[A-Za-z0-9_.-]*", re.ASCII)
ADDRESS = re.compile(r"[0-9A-Fa-f:./]{1,60}", re.ASCII)
ADDRESS_OR_NONE = re.compile(r"[0-9A-Fa-f:.]{0,60}", re.ASCII)


def one_line(text: str) -> str:
    """Return a text as it may stand in a message: one line, bounded."""
    return "".join(each if LINE.fullmatch(each) else " " for each in text[:MAX_TEXT])


def link_name(name: str) -> str:
    """Return a link's name as it may stand in a message: nothing for one that is not ASCII."""
    return name if LINK.fullmatch(name) else ""


def encode_packet(kind: str, members: dict[str, PacketValue]) -> bytes:
    """Return the packet of one message.

    Raises:
        MemberError: it is too long.
    """
    packet = json.dumps({"kind": kind, **members}, separators=(",", ":"), allow_nan=False).encode()
    if len(packet) > MAX_MESSAGE_BYTES:
        raise MemberError(f"a message of {len(packet)} bytes is longer than {MAX_MESSAGE_BYTES}")
    return packet


def decode_packet(packet: bytes, readers: Mapping[str, Callable[[MemberReader], T]]) -> T:
    """Read one message.

    Args:
        packet: what came.
        readers: what reads each kind of message.

    Raises:
        MemberError: it is no message.
    """
    if len(packet) > MAX_MESSAGE_BYTES:
        raise MemberError("the packet is too long")
    try:
        content: object = json.loads(packet.decode("ascii"))
    except (ValueError, RecursionError):
        raise MemberError("the packet is not JSON in ASCII") from None
    if not isinstance(content, dict):
        raise MemberError("the packet is no JSON object")
    members: dict[str, object] = content
    kind = members.pop("kind", None)
    read = readers.get(kind) if isinstance(kind, str) else None
    if read is None or not isinstance(kind, str):
        raise MemberError("the packet is of no known kind")
    reader = MemberReader(members, kind)
    message = read(reader)
    reader.finish()
    return message


def read_id(reader: MemberReader) -> int:
    """Take the number of a request."""
    return reader.whole("id", 1, MAX_ID)


def read_address(reader: MemberReader, name: str) -> IPAddress:
    """Take an IP address."""
    return parse_address(reader.text(name, ADDRESS, MAX_TEXT))


def parse_address(text: str) -> IPAddress:
    """Read an IP address.

    Raises:
        MemberError: it is none.
    """
    try:
        return ip_address(text)
    except ValueError:
        raise MemberError("not an IP address") from None


def read_usage(reader: MemberReader) -> LinkUsage:
    """Take what links have carried."""
    return LinkUsage(
        month=reader.text("month", MONTH, MAX_TEXT),
        bytes_by_link=reader.table("bytes", LINK, _read_bytes, count=MAX_USED_LINKS),
    )


def usage_members(usage: LinkUsage) -> dict[str, PacketValue]:
    """Return what links have carried as members."""
    return {"month": usage.month, "bytes": dict(usage.bytes_by_link[:MAX_USED_LINKS])}


def _read_bytes(reader: MemberReader, name: str) -> int:
    return reader.whole(name, 0, MAX_COUNT)
