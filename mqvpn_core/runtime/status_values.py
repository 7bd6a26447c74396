"""The status of a running client or server as values, and as the JSON that crosses the socket.

Durations are seconds unless the name says ``_ms``; sizes are bytes. Nothing secret is in here.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType

from mqvpn_core.runtime.control_codec import JsonValue
from mqvpn_core.runtime.json_members import JsonMembers, as_text


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
    """``validating``, ``active``, ``suspect`` (silent) or ``abandoning``."""
    use: str = "primary"
    """Its role: ``primary``, ``secondary`` or ``backup``."""
    peer_is_backup: bool = False
    """The other side would rather not be sent to on it."""
    srtt_ms: float
    """Smoothed round-trip time."""
    min_rtt_ms: float
    """Lowest round-trip time seen."""
    jitter_ms: float = 0.0
    """Mean deviation of the round-trip time."""
    loss: float
    """Share of the packets sent within the last ten seconds that were lost, 0 to 1."""
    loss_total: float = 0.0
    """The same since the path exists."""
    congestion_window: int
    """Bytes that may be in flight."""
    bytes_in_flight: int = 0
    """Bytes that are."""
    cc: str = ""
    """Name of the congestion control."""
    cc_state: str = ""
    """What that is doing: ``startup``, ``cruise``, ``avoidance`` and the like."""
    capacity: float = 0.0
    """Bytes a second that the path is believed to carry our way; 0 when that is not known."""
    pacing_rate: float = 0.0
    """Bytes a second at which we send when there is enough to send."""
    tx_rate: float = 0.0
    """Bytes sent a second, over the last two seconds."""
    rx_rate: float = 0.0
    """Bytes received a second, likewise."""
    share: float = 0.0
    """Its part of what all paths of the connection carry now, both ways, 0 to 1."""
    tx_bytes: int
    """UDP payload sent."""
    rx_bytes: int
    """UDP payload received."""
    tx_packets: int
    """QUIC packets sent."""
    rx_packets: int
    """QUIC packets received."""
    lost_packets: int = 0
    """QUIC packets that were lost."""
    seconds_silent: float = 0.0
    """Time since the last packet arrived on it."""
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
    tx_rate: float = 0.0
    """Bytes sent to it a second, over the last two seconds."""
    rx_rate: float = 0.0
    """Bytes received from it a second, likewise."""
    paths: tuple[PathStatus, ...] = ()
    """Paths of its connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """One of several processes of a server."""

    number: int
    """Its number, from 0."""
    pid: int
    """Process ID; 0 while there is none."""
    state: str
    """``running``, ``starting`` or ``waiting`` (for its next start after a failure)."""
    client_count: int = 0
    """Tunnels that it serves."""
    restarts: int = 0
    """How often it had to be started again."""


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
    kernel_reason: str = ""
    """Why that data plane, and how to get the faster one."""
    scheduler: str = ""
    """How packets are spread over paths: ``weighted``, ``minrtt``, ``redundant`` or ``backup``."""
    taken_at: float = 0.0
    """When this was so, in seconds since 1970 (UTC)."""
    addresses: tuple[str, ...] = ()
    """Inner addresses of this side."""
    kill_switch: str = ""
    """Client: ``off``, ``standard`` or ``always``."""
    portal: str = ""
    """Client: the interface that is past the kill switch now; empty for none."""
    portal_seconds: float = 0.0
    """Client: for how long it still is."""
    dns_method: str = ""
    """Client: who was told about the tunnel's name servers; empty for nobody."""
    paths: tuple[PathStatus, ...] = ()
    """Client: paths of its connection."""
    client_count: int = 0
    """Server: tunnels that are up."""
    clients: tuple[ClientStatus, ...] = ()
    """Server: the clients."""
    workers: tuple[WorkerStatus, ...] = ()
    """Server: its processes, where there are several."""
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
        "scheduler": status.scheduler,
        "kernel": status.kernel,
        "kernel_reason": status.kernel_reason,
        "tun_name": status.tun_name,
        "mtu": status.mtu,
        "server": status.server,
        "taken_at": status.taken_at,
        "addresses": list(status.addresses),
        "kill_switch": status.kill_switch,
        "portal": status.portal,
        "portal_seconds": status.portal_seconds,
        "dns_method": status.dns_method,
        "paths": [asdict(path) for path in status.paths],
        "client_count": status.client_count,
        "clients": [
            {
                **asdict(client),
                "addresses": list(client.addresses),
                "paths": [asdict(path) for path in client.paths],
            }
            for client in status.clients
        ],
        "workers": [asdict(worker) for worker in status.workers],
        "counters": dict(status.counters),
    }


def decode_status_values(value: JsonValue) -> Status:
    """Read what `encode_status_values` wrote; names it does not know are ignored.

    Raises:
        DecodeError: a member is missing or has another type.
    """
    members = JsonMembers.of(value)
    return Status(
        role=members.text("role"),
        state=members.text("state"),
        seconds_in_state=members.number("seconds_in_state"),
        version=members.text("version"),
        pid=members.count("pid"),
        scheduler=members.text("scheduler"),
        kernel=members.text("kernel"),
        kernel_reason=members.text("kernel_reason"),
        tun_name=members.text("tun_name"),
        mtu=members.count("mtu"),
        server=members.text("server"),
        taken_at=members.number("taken_at"),
        addresses=members.many("addresses", as_text),
        kill_switch=members.text("kill_switch"),
        portal=members.text("portal"),
        portal_seconds=members.number("portal_seconds"),
        dns_method=members.text("dns_method"),
        paths=members.many("paths", _decode_path),
        client_count=members.count("client_count"),
        clients=members.many("clients", _decode_client),
        workers=members.many("workers", _decode_worker),
        counters=_decode_counters(members.value("counters")),
    )


def _decode_worker(value: JsonValue) -> WorkerStatus:
    members = JsonMembers.of(value)
    return WorkerStatus(
        number=members.count("number"),
        pid=members.count("pid"),
        state=members.text("state"),
        client_count=members.count("client_count"),
        restarts=members.count("restarts"),
    )


def _decode_path(value: JsonValue) -> PathStatus:
    members = JsonMembers.of(value)
    return PathStatus(
        id=members.count("id"),
        interface=members.text("interface"),
        local=members.text("local"),
        remote=members.text("remote"),
        state=members.text("state"),
        use=members.text("use"),
        peer_is_backup=members.truth("peer_is_backup"),
        srtt_ms=members.number("srtt_ms"),
        min_rtt_ms=members.number("min_rtt_ms"),
        jitter_ms=members.number("jitter_ms"),
        loss=members.number("loss"),
        loss_total=members.number("loss_total"),
        congestion_window=members.count("congestion_window"),
        bytes_in_flight=members.count("bytes_in_flight"),
        cc=members.text("cc"),
        cc_state=members.text("cc_state"),
        capacity=members.number("capacity"),
        pacing_rate=members.number("pacing_rate"),
        tx_rate=members.number("tx_rate"),
        rx_rate=members.number("rx_rate"),
        share=members.number("share"),
        tx_bytes=members.count("tx_bytes"),
        rx_bytes=members.count("rx_bytes"),
        tx_packets=members.count("tx_packets"),
        rx_packets=members.count("rx_packets"),
        lost_packets=members.count("lost_packets"),
        seconds_silent=members.number("seconds_silent"),
        mtu=members.count("mtu"),
    )


def _decode_client(value: JsonValue) -> ClientStatus:
    members = JsonMembers.of(value)
    return ClientStatus(
        user=members.text("user"),
        remote=members.text("remote"),
        addresses=members.many("addresses", as_text),
        seconds_connected=members.number("seconds_connected"),
        srtt_ms=members.number("srtt_ms"),
        tx_bytes=members.count("tx_bytes"),
        rx_bytes=members.count("rx_bytes"),
        tx_rate=members.number("tx_rate"),
        rx_rate=members.number("rx_rate"),
        paths=members.many("paths", _decode_path),
    )


def _decode_counters(value: JsonValue) -> Mapping[str, int]:
    members = JsonMembers.of(value)
    return MappingProxyType({name: members.count(name) for name in members.names()})
