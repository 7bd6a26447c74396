"""Messages of the helper to packets and back."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import assert_never

from mqvpn_helper.interface.control_messages import (
    Disconnect,
    Done,
    HelperMessage,
    LinkFound,
    Refused,
    Revalidate,
    SetPath,
    Start,
    WantStats,
)
from mqvpn_helper.interface.control_packets import (
    ADDRESS_OR_NONE,
    LINE,
    LINK,
    MAX_IFINDEX,
    MAX_TEXT,
    TOKEN,
    PacketValue,
    decode_packet,
    encode_packet,
    one_line,
    parse_address,
    read_id,
    read_usage,
    usage_members,
)
from mqvpn_helper.interface.members import MemberError, MemberReader
from mqvpn_helper.interface.profile import MAX_SERVER_ADDRESSES, Profile
from mqvpn_helper.interface.tunnel_settings import PathPolicy

_MAX_WARNINGS = 32
_MAX_INTERVAL = 3600.0


def encode_helper_message(message: HelperMessage) -> bytes:
    """Return the packet of a message from the helper.

    Raises:
        MemberError: it is too long.
    """
    members: dict[str, PacketValue]
    match message:
        case Start():
            kind, members = "start", _start_members(message)
        case Done():
            kind, members = "done", {"id": message.id}
            members["warnings"] = [one_line(each) for each in message.warnings[:_MAX_WARNINGS]]
        case LinkFound():
            kind, members = "link_found", _link_members(message)
        case Refused():
            kind, members = "refused", {"id": message.id, "reason": one_line(message.reason)}
        case SetPath():
            kind, members = "set_path", {"interface": message.interface}
            members["policy"] = dict(message.policy.to_mapping())
        case WantStats():
            kind, members = "want_stats", {"interval": message.interval}
        case Revalidate():
            kind, members = "revalidate", {}
        case Disconnect():
            kind, members = "disconnect", {}
        case _:
            assert_never(message)
    return encode_packet(kind, members)


def decode_helper_message(packet: bytes) -> HelperMessage:
    """Read a packet from the helper.

    Raises:
        MemberError: it is no message.
    """
    return decode_packet(packet, _HELPER_READERS)


def _start_members(start: Start) -> dict[str, PacketValue]:
    profile: dict[str, PacketValue] = {}
    for name, value in start.profile.to_mapping().items():
        profile[name] = list(value) if isinstance(value, list) else _as_json(value)
    return {
        "profile": profile,
        "tun_name": start.tun_name,
        "ifindex": start.ifindex,
        "instance": start.instance,
        "servers": [str(each) for each in start.servers],
        **usage_members(start.usage),
        "name_servers": [str(each) for each in start.name_servers],
    }


def _link_members(message: LinkFound) -> dict[str, PacketValue]:
    return {
        "id": message.id,
        "ifindex": message.ifindex,
        "name": message.name,
        "source": "" if message.source is None else str(message.source),
        "mtu": message.mtu,
    }


def _as_json(value: bool | float | str | dict[str, str] | dict[str, int]) -> PacketValue:
    return dict(value) if isinstance(value, dict) else value


def _read_start(reader: MemberReader) -> Start:
    profile = reader.any("profile")
    if not isinstance(profile, dict):
        raise MemberError("start: profile is no JSON object")
    members: dict[str, object] = profile
    return Start(
        profile=Profile.from_mapping(members),
        tun_name=reader.text("tun_name", LINK, MAX_TEXT),
        ifindex=reader.whole("ifindex", 1, MAX_IFINDEX),
        instance=reader.text("instance", TOKEN, MAX_TEXT),
        servers=reader.addresses("servers", count=MAX_SERVER_ADDRESSES),
        usage=read_usage(reader),
        name_servers=reader.addresses("name_servers", count=MAX_SERVER_ADDRESSES),
    )


def _read_done(reader: MemberReader) -> Done:
    return Done(
        id=read_id(reader), warnings=reader.texts("warnings", LINE, MAX_TEXT, count=_MAX_WARNINGS)
    )


def _read_link_found(reader: MemberReader) -> LinkFound:
    ifindex = reader.whole("ifindex", 0, MAX_IFINDEX)
    source = reader.text("source", ADDRESS_OR_NONE, MAX_TEXT)
    return LinkFound(
        id=read_id(reader),
        ifindex=ifindex,
        name=reader.text("name", LINK, MAX_TEXT),
        source=parse_address(source) if source else None,
        mtu=reader.whole("mtu", 0, MAX_IFINDEX),
    )


def _read_refused(reader: MemberReader) -> Refused:
    return Refused(id=read_id(reader), reason=reader.text("reason", LINE, MAX_TEXT))


def _read_set_path(reader: MemberReader) -> SetPath:
    policy = reader.any("policy")
    if not isinstance(policy, dict):
        raise MemberError("set_path: policy is no JSON object")
    members: dict[str, object] = policy
    return SetPath(
        interface=reader.text("interface", LINK, MAX_TEXT),
        policy=PathPolicy.from_mapping(members),
    )


def _read_want_stats(reader: MemberReader) -> WantStats:
    return WantStats(interval=reader.number("interval", 0, _MAX_INTERVAL))


_HELPER_READERS: Mapping[str, Callable[[MemberReader], HelperMessage]] = MappingProxyType(
    {
        "start": _read_start,
        "done": _read_done,
        "link_found": _read_link_found,
        "refused": _read_refused,
        "set_path": _read_set_path,
        "want_stats": _read_want_stats,
        "revalidate": lambda _reader: Revalidate(),
        "disconnect": lambda _reader: Disconnect(),
    }
)
