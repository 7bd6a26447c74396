"""The status of a running client or server as values, and as the JSON that crosses the socket.

Durations are seconds unless the name says ``_ms``; sizes are bytes. Nothing secret is in here.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import TypeVar

from mqvpn_core.errors import DecodeError
from mqvpn_core.runtime.control_codec import JsonValue

_T = TypeVar("_T")
_COUNT_LIMIT = 1 << 63


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStatus:
    """One path of a connection."""

    id: int
    """Path ID."""
    interface: str
    """Network interface the path is bound to; empty: as the kernel routes."""
    local: str
    """Local UDP address, ``HOST:PORT``."""
    remote: str
    """Remote UDP address, ``HOST:PORT``."""
    state: str
    """State of the path."""
    srtt_ms: float
    """Smoothed round-trip time."""
    min_rtt_ms: float
    """Lowest round-trip time seen."""
    loss: float
    """Share of sent packets that were lost, 0 to 1."""
    congestion_window: int
    """Bytes that may be in flight."""
    tx_bytes: int
    """UDP payload sent."""
    rx_bytes: int
    """UDP payload received."""
    tx_packets: int
    """QUIC packets sent."""
    rx_packets: int
    """QUIC packets received."""
    mtu: int
    """Largest UDP payload the path carries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatus:
    """One client of a server."""

    user: str
    """The named user; empty for the shared key."""
    remote: str
    """UDP address of the client, ``HOST:PORT``."""
    addresses: tuple[str, ...]
    """Assigned addresses."""
    seconds_connected: float
    """Age of the tunnel."""
    srtt_ms: float
    """Smoothed round-trip time of its best path."""
    tx_bytes: int
    """UDP payload sent to it."""
    rx_bytes: int
    """UDP payload received from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything ``mqvpn-core status`` shows."""

    role: str
    """``client`` or ``server``."""
    state: str
    """State of the tunnel, or of the server."""
    seconds_in_state: float
    """How long it has been in that state."""
    version: str
    """Version of mqvpn."""
    pid: int
    """Process ID."""
    kernel: str
    """Data plane in use: ``reference`` or ``native``."""
    tun_name: str
    """Name of the TUN device."""
    mtu: int
    """MTU of the TUN device; 0 while there is none."""
    server: str
    """Client: the server; server: the addresses it listens on, separated by a blank."""
    addresses: tuple[str, ...] = ()
    """Inner addresses of this side."""
    paths: tuple[PathStatus, ...] = ()
    """Client: paths of its connection."""
    client_count: int = 0
    """Server: tunnels that are up."""
    clients: tuple[ClientStatus, ...] = ()
    """Server: the clients."""
    counters: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Counts by name, such as dropped packets by reason."""


def encode_status_values(status: Status) -> JsonValue:
    """Return ``status`` as JSON values."""
    return {
        "role": status.role,
        "state": status.state,
        "seconds_in_state": status.seconds_in_state,
        "version": status.version,
        "pid": status.pid,
        "kernel": status.kernel,
        "tun_name": status.tun_name,
        "mtu": status.mtu,
        "server": status.server,
        "addresses": list(status.addresses),
        "paths": [asdict(path) for path in status.paths],
        "client_count": status.client_count,
        "clients": [
            {**asdict(client), "addresses": list(client.addresses)} for client in status.clients
        ],
        "counters": dict(status.counters),
    }


def decode_status_values(value: JsonValue) -> Status:
    """Read what `encode_status_values` wrote; names it does not know are ignored.

    Raises:
        DecodeError: a member is missing or has another type.
    """
    members = _Members.of(value)
    return Status(
        role=members.text("role"),
        state=members.text("state"),
        seconds_in_state=members.number("seconds_in_state"),
        version=members.text("version"),
        pid=members.count("pid"),
        kernel=members.text("kernel"),
        tun_name=members.text("tun_name"),
        mtu=members.count("mtu"),
        server=members.text("server"),
        addresses=members.many("addresses", _as_text),
        paths=members.many("paths", _decode_path),
        client_count=members.count("client_count"),
        clients=members.many("clients", _decode_client),
        counters=_decode_counters(members.value("counters")),
    )


def _decode_path(value: JsonValue) -> PathStatus:
    members = _Members.of(value)
    return PathStatus(
        id=members.count("id"),
        interface=members.text("interface"),
        local=members.text("local"),
        remote=members.text("remote"),
        state=members.text("state"),
        srtt_ms=members.number("srtt_ms"),
        min_rtt_ms=members.number("min_rtt_ms"),
        loss=members.number("loss"),
        congestion_window=members.count("congestion_window"),
        tx_bytes=members.count("tx_bytes"),
        rx_bytes=members.count("rx_bytes"),
        tx_packets=members.count("tx_packets"),
        rx_packets=members.count("rx_packets"),
        mtu=members.count("mtu"),
    )


def _decode_client(value: JsonValue) -> ClientStatus:
    members = _Members.of(value)
    return ClientStatus(
        user=members.text("user"),
        remote=members.text("remote"),
        addresses=members.many("addresses", _as_text),
        seconds_connected=members.number("seconds_connected"),
        srtt_ms=members.number("srtt_ms"),
        tx_bytes=members.count("tx_bytes"),
        rx_bytes=members.count("rx_bytes"),
    )


def _decode_counters(value: JsonValue) -> Mapping[str, int]:
    members = _Members.of(value)
    return MappingProxyType({name: members.count(name) for name in members.names()})


def _as_text(value: JsonValue) -> str:
    if not isinstance(value, str):
        raise DecodeError("a member of a list is no text")
    return value


class _Members:
    """Typed access to the members of a JSON object."""

    def __init__(self, members: dict[str, JsonValue]) -> None:
        self._members = members

    @classmethod
    def of(cls, value: JsonValue) -> "_Members":
        if not isinstance(value, dict):
            raise DecodeError("expected a JSON object")
        return cls(value)

    def names(self) -> list[str]:
        return list(self._members)

    def value(self, name: str) -> JsonValue:
        if name not in self._members:
            raise DecodeError(f"{name} is missing")
        return self._members[name]

    def text(self, name: str) -> str:
        value = self.value(name)
        if not isinstance(value, str):
            raise DecodeError(f"{name} is no text")
        return value

    def count(self, name: str) -> int:
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise DecodeError(f"{name} is no whole number")
        if abs(value) >= _COUNT_LIMIT:
            raise DecodeError(f"{name} is too large")
        return value

    def number(self, name: str) -> float:
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DecodeError(f"{name} is no number")
        try:
            return float(value)
        except OverflowError:
            raise DecodeError(f"{name} is too large") from None

    def many(self, name: str, decode: Callable[[JsonValue], _T]) -> tuple[_T, ...]:
        value = self.value(name)
        if not isinstance(value, list):
            raise DecodeError(f"{name} is no list")
        return tuple(decode(member) for member in value)
