"""Messages of the core to packets and back; who reads them trusts nothing in them."""

from collections.abc import Callable, Mapping
from ipaddress import ip_interface
from types import MappingProxyType
from typing import assert_never

from mqvpn_helper.interface.bus_names import BusError, BusEventKind, TunnelState
from mqvpn_helper.interface.control_messages import (
    MAX_ADDRESSES,
    MAX_DETAILS,
    MAX_LINKS,
    MAX_NAMED,
    MAX_PATHS,
    MAX_ROUTES,
    CoreMessage,
    DetailValue,
    EventReport,
    FailureReport,
    FindLink,
    Hello,
    LeaveNetwork,
    LinkKind,
    PathReport,
    PathsReport,
    PathState,
    PathUse,
    StateReport,
    UsageReport,
    UseNetwork,
    UseServers,
)
from mqvpn_helper.interface.control_packets import (
    ADDRESS,
    LINE,
    LINK,
    MAX_COUNT,
    MAX_ID,
    MAX_TEXT,
    NAME,
    PacketValue,
    decode_packet,
    encode_packet,
    read_address,
    read_id,
    read_usage,
    usage_members,
)
from mqvpn_helper.interface.host_plan import IPInterface
from mqvpn_helper.interface.members import MemberError, MemberReader
from mqvpn_helper.interface.profile import MAX_SERVER_ADDRESSES

_MAX_MS = 1e9
_MAX_MTU = 65535
_MIN_MTU = 68
_STATES = frozenset(
    {TunnelState.CONNECTING, TunnelState.UP, TunnelState.DEGRADED, TunnelState.RECONNECTING}
)
_ERRORS = frozenset(
    {
        BusError.RESOLVER,
        BusError.UNREACHABLE,
        BusError.CERTIFICATE,
        BusError.CREDENTIALS,
        BusError.REFUSED,
        BusError.HOST,
        BusError.FAILED,
    }
)
_EVENTS = frozenset(
    {
        BusEventKind.CONNECTED,
        BusEventKind.DISCONNECTED,
        BusEventKind.RECONNECTING,
        BusEventKind.LINK_ADDED,
        BusEventKind.LINK_REMOVED,
        BusEventKind.PATH_ADDED,
        BusEventKind.PATH_UP,
        BusEventKind.PATH_DOWN,
        BusEventKind.PATH_MOVED,
        BusEventKind.RECOVERED,
        BusEventKind.FAILOVER,
        BusEventKind.ROLE_CHANGED,
        BusEventKind.AUTH_FAILED,
        BusEventKind.SERVER_CHANGED,
        BusEventKind.OTHER,
    }
)
"""What a core can know of; the rest is the helper's to say."""


def encode_core_message(message: CoreMessage) -> bytes:
    """Return the packet of a message from the core.

    Raises:
        MemberError: it is too long.
    """
    members: dict[str, PacketValue]
    match message:
        case Hello():
            kind, members = "hello", {"protocol": message.protocol}
        case UseServers():
            kind, members = "use_servers", {"id": message.id}
            members["addresses"] = [str(each) for each in message.addresses]
        case UseNetwork():
            kind, members = "use_network", _network_members(message)
        case LeaveNetwork():
            kind, members = "leave_network", {"id": message.id}
        case FindLink():
            kind, members = "find_link", {"id": message.id, "address": str(message.address)}
        case StateReport() | PathsReport() | EventReport() | UsageReport() | FailureReport():
            kind, members = _report_members(message)
        case _:
            assert_never(message)
    return encode_packet(kind, members)


def decode_core_message(packet: bytes) -> CoreMessage:
    """Read a packet from the core, which may be hostile.

    Raises:
        MemberError: it is no message.
    """
    return decode_packet(packet, _CORE_READERS)


def _report_members(
    message: StateReport | PathsReport | EventReport | UsageReport | FailureReport,
) -> tuple[str, dict[str, PacketValue]]:
    members: dict[str, PacketValue]
    match message:
        case StateReport():
            kind, members = "state", {"state": message.state.value, "reason": message.reason}
        case PathsReport():
            kind, members = "paths", {"is_periodic": message.is_periodic}
            members["paths"] = [path_members(each) for each in message.paths]
        case EventReport():
            kind, members = "event", {"event": message.kind.value, "path": message.path}
            members["detail"] = dict(message.detail)
        case UsageReport():
            kind, members = "usage", usage_members(message.usage)
        case FailureReport():
            kind, members = "failure", {"error": message.kind.value, "text": message.text}
        case _:
            assert_never(message)
    return kind, members


def _network_members(message: UseNetwork) -> dict[str, PacketValue]:
    return {
        "id": message.id,
        "mtu": message.mtu,
        "addresses": [str(each) for each in message.addresses],
        "routes": [str(each) for each in message.routes],
        "links": list(message.links),
        "excluded": [str(each) for each in message.excluded],
        "included": [str(each) for each in message.included],
    }


def _read_hello(reader: MemberReader) -> Hello:
    return Hello(protocol=reader.whole("protocol", 0, MAX_ID))


def _read_use_servers(reader: MemberReader) -> UseServers:
    return UseServers(
        id=read_id(reader), addresses=reader.addresses("addresses", count=MAX_SERVER_ADDRESSES)
    )


def _read_use_network(reader: MemberReader) -> UseNetwork:
    return UseNetwork(
        id=read_id(reader),
        mtu=reader.whole("mtu", _MIN_MTU, _MAX_MTU),
        addresses=reader.many("addresses", _interface, count=MAX_ADDRESSES),
        routes=reader.networks("routes", count=MAX_ROUTES),
        links=reader.texts("links", LINK, MAX_TEXT, count=MAX_LINKS),
        excluded=reader.addresses("excluded", count=MAX_NAMED),
        included=reader.addresses("included", count=MAX_NAMED),
    )


def _read_leave_network(reader: MemberReader) -> LeaveNetwork:
    return LeaveNetwork(id=read_id(reader))


def _read_find_link(reader: MemberReader) -> FindLink:
    return FindLink(id=read_id(reader), address=read_address(reader, "address"))


def _read_state(reader: MemberReader) -> StateReport:
    state = reader.choice("state", TunnelState)
    if state not in _STATES:
        raise MemberError("state: not for the core to say")
    return StateReport(state=state, reason=reader.text("reason", LINE, MAX_TEXT))


def _read_paths(reader: MemberReader) -> PathsReport:
    return PathsReport(
        paths=reader.many("paths", _path, count=MAX_PATHS),
        is_periodic=reader.truth("is_periodic", default=False),
    )


def _path(value: object) -> PathReport:
    if not isinstance(value, dict):
        raise MemberError("paths: an element is no JSON object")
    members: dict[str, object] = value
    reader = MemberReader(members, "paths")
    path = PathReport(
        interface=reader.text("interface", LINK, MAX_TEXT),
        kind=reader.choice("kind", LinkKind),
        state=reader.choice("state", PathState),
        role=reader.choice("role", PathUse),
        rtt_ms=reader.number("rtt_ms", 0, _MAX_MS),
        jitter_ms=reader.number("jitter_ms", 0, _MAX_MS),
        loss=reader.number("loss", 0, 1),
        rx_bps=reader.whole("rx_bps", 0, MAX_COUNT),
        tx_bps=reader.whole("tx_bps", 0, MAX_COUNT),
        share=reader.number("share", 0, 1),
        metered=reader.truth("metered", default=False),
        mtu=reader.whole("mtu", 0, _MAX_MTU),
        used_bytes=reader.whole("used_bytes", 0, MAX_COUNT),
        cap_bytes=reader.whole("cap_bytes", 0, MAX_COUNT),
    )
    reader.finish()
    return path


def path_members(path: PathReport) -> dict[str, PacketValue]:
    """Return one path as plain values, by the names that the bus has for them too."""
    return {
        "interface": path.interface,
        "kind": path.kind.value,
        "state": path.state.value,
        "role": path.role.value,
        "rtt_ms": path.rtt_ms,
        "jitter_ms": path.jitter_ms,
        "loss": path.loss,
        "rx_bps": path.rx_bps,
        "tx_bps": path.tx_bps,
        "share": path.share,
        "metered": path.metered,
        "mtu": path.mtu,
        "used_bytes": path.used_bytes,
        "cap_bytes": path.cap_bytes,
    }


def _read_event(reader: MemberReader) -> EventReport:
    kind = reader.choice("event", BusEventKind)
    if kind not in _EVENTS:
        raise MemberError("event: not for the core to say")
    return EventReport(
        kind=kind,
        path=reader.text("path", LINK, MAX_TEXT),
        detail=MappingProxyType(dict(reader.table("detail", NAME, _detail, count=MAX_DETAILS))),
    )


def _detail(reader: MemberReader, name: str) -> DetailValue:
    value = reader.any(name)
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return reader.checked(name, value, LINE, MAX_TEXT)
    if isinstance(value, int | float) and -MAX_COUNT <= value <= MAX_COUNT:
        return value
    raise MemberError(f"detail: {name} is neither a text nor a number that can be")


def _read_failure(reader: MemberReader) -> FailureReport:
    kind = reader.choice("error", BusError)
    if kind not in _ERRORS:
        raise MemberError("failure: not for the core to say")
    return FailureReport(kind=kind, text=reader.text("text", LINE, MAX_TEXT))


def _interface(value: object) -> IPInterface:
    try:
        if isinstance(value, str) and ADDRESS.fullmatch(value):
            return ip_interface(value)
    except ValueError:
        pass
    raise MemberError("not an IP address with a prefix length")


_CORE_READERS: Mapping[str, Callable[[MemberReader], CoreMessage]] = MappingProxyType(
    {
        "hello": _read_hello,
        "use_servers": _read_use_servers,
        "use_network": _read_use_network,
        "leave_network": _read_leave_network,
        "find_link": _read_find_link,
        "state": _read_state,
        "paths": _read_paths,
        "event": _read_event,
        "usage": lambda reader: UsageReport(usage=read_usage(reader)),
        "failure": _read_failure,
    }
)
