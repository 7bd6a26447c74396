"""ClientConfig and ServerConfig: everything a run needs to know, frozen and already checked.

`mqvpn_core.config.table` lists every key with its range and one sentence of documentation;
`mqvpn_core.config.build` makes these values from text. Nothing here reads a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import MappingProxyType

from mqvpn_core.config.secret_values import HashedKey, Secret
from mqvpn_core.config.values import (
    AUTO_PATHS,
    DEFAULT_IGNORED_LINKS,
    DEFAULT_TEMPLATE,
    CongestionControl,
    HostPort,
    IPAddress,
    IPNetwork,
    KillSwitchSetting,
    LinkRole,
    LogLevel,
    Pin,
    RetryMode,
    RoutesMode,
    Scheduler,
)

DEFAULT_SUBNET = IPv4Network("10.0.0.0/24")
"""Pool of inner IPv4 addresses when none is configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuicConfig:
    """Settings of the QUIC connection, the same for both roles."""

    keep_alive: float = 15.0
    """Seconds of silence after which PING is sent; 0 sends none."""
    idle_timeout: float = 30.0
    """Seconds of silence after which the connection counts as lost (max_idle_timeout)."""
    key_update_interval: float = 3600.0
    """Seconds between key updates; 0 updates only when an AEAD limit demands it."""
    scheduler: Scheduler = Scheduler.WEIGHTED
    """How packets are spread over paths."""
    congestion_control: CongestionControl = CongestionControl.CUBIC
    """How fast a path sends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """Everything ``mqvpn-core client`` needs."""

    server: HostPort
    """The server."""
    server_name: str | None = None
    """Name to send as SNI and to find in the certificate; ``None``: the host of ``server``."""
    ca_file: Path | None = None
    """PEM file of the authorities to trust instead of the system's."""
    pins: tuple[Pin, ...] = ()
    """Accept exactly a certificate with one of these keys, whoever signed it."""
    insecure: bool = False
    """Accept any certificate."""
    auth_key: Secret | None = None
    """Key sent as Bearer token; ``None`` sends no credentials."""
    template: str = DEFAULT_TEMPLATE
    """Path of the connect-ip URI template."""
    ipv4: bool = True
    """Ask for an IPv4 address."""
    ipv6: bool = True
    """Ask for an IPv6 address."""
    tun_name: str = "mqvpn0"
    """Name of the TUN device."""
    mtu: int | None = None
    """Largest MTU of the tunnel; ``None`` follows what the path carries."""
    manage_routes: bool = True
    """Set routes; without, only the device and its addresses."""
    routes: RoutesMode = RoutesMode.DEFAULT
    """Which destinations go into the tunnel."""
    dns: tuple[IPAddress, ...] = ()
    """Name servers to use while connected."""
    kill_switch: KillSwitchSetting = KillSwitchSetting.OFF
    """How long everything outside the tunnel is blocked."""
    allow_lan: bool = False
    """The kill switch lets through what goes to the local network."""
    split_exclude: tuple[IPNetwork | str, ...] = ()
    """Networks and host names that stay outside the tunnel."""
    split_include: tuple[IPNetwork | str, ...] = ()
    """The only networks and host names that go into the tunnel; none: as ``routes`` says."""
    split_cgroups: tuple[str, ...] = ()
    """Control groups whose processes stay outside the tunnel."""
    reconnect: bool = True
    """Connect again for ever after a loss."""
    reconnect_interval: float = 1.0
    """Longest pause in seconds between attempts while an outage is young."""
    paths: tuple[str, ...] = (AUTO_PATHS,)
    """Names and patterns of network interfaces to use, in order of preference, or `AUTO_PATHS`."""
    ignore_interfaces: tuple[str, ...] = DEFAULT_IGNORED_LINKS
    """Names and patterns of interfaces that `AUTO_PATHS` leaves out."""
    roles: tuple[tuple[str, LinkRole], ...] = ()
    """What interfaces are for, by name or pattern."""
    caps: tuple[tuple[str, int], ...] = ()
    """Bytes that may go over an interface in a month, by name or pattern."""
    cap_warning: int = 80
    """Percent of a cap at which to warn."""
    rate_limits: tuple[tuple[str, int], ...] = ()
    """Bytes a second that may go over an interface in each direction, by name or pattern."""
    usage_file: Path | None = Path("/var/lib/mqvpn/usage-mqvpn0.json")
    """Where usage is kept; ``None`` keeps it in memory."""
    quic: QuicConfig = field(default_factory=QuicConfig)
    """QUIC settings."""
    control_socket: Path | None = Path("/run/mqvpn/mqvpn0.sock")
    """Where the status is served; ``None`` serves none."""
    qlog: Path | None = None
    """Where to write traces of packets; ``None`` writes none."""
    log_level: LogLevel = LogLevel.INFO
    """How much is logged."""

    @property
    def tls_name(self) -> str:
        """The name to send as SNI and to verify."""
        return self.server.host if self.server_name is None else self.server_name


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Everything ``mqvpn-core server`` needs."""

    cert_file: Path
    """PEM certificate chain, leaf first."""
    key_file: Path
    """PEM private key of the leaf certificate."""
    listen: tuple[HostPort, ...] = (HostPort(host="::"),)
    """UDP sockets to open; ``::`` is dual-stack and takes IPv4 as well."""
    shared_key: HashedKey | None = None
    """Key that any client may use."""
    users: Mapping[str, HashedKey] = field(default_factory=lambda: MappingProxyType({}))
    """Key of each named user."""
    users_file: Path | None = None
    """File that some of them came from, which a program may change."""
    max_auth_failures: int = 10
    """Wrong keys one source (an IPv4 address, an IPv6 /64) may send a minute."""
    auth_challenge: bool = False
    """Answer a request without valid key by 401 or 403, not as the site answers unknown pages."""
    template: str = DEFAULT_TEMPLATE
    """Path of the connect-ip URI template."""
    subnet: IPv4Network = DEFAULT_SUBNET
    """Pool of inner IPv4 addresses; the first is the server's own."""
    subnet6: IPv6Network | None = None
    """Pool of inner IPv6 addresses; ``None`` assigns none."""
    lease_file: Path | None = Path("/var/lib/mqvpn/leases.json")
    """Where leases survive a restart; ``None`` keeps them in memory."""
    max_clients: int = 64
    """Tunnels at the same time."""
    max_clients_per_user: int = 8
    """Tunnels at the same time of one named user."""
    max_handshakes: int = 256
    """Unfinished handshakes beyond which `RetryMode.AUTO` validates addresses first."""
    workers: int = 1
    """Processes that share the clients."""
    retry: RetryMode = RetryMode.AUTO
    """When to validate a client's address before keeping state."""
    client_to_client: bool = False
    """Forward packets between clients."""
    nat: bool = True
    """Masquerade what clients send to other networks."""
    advertise: tuple[IPNetwork, ...] = ()
    """Ranges for ROUTE_ADVERTISEMENT; empty: everything of each family with a pool."""
    site: Path | None = None
    """Directory served to GET and HEAD; ``None`` serves a small neutral page."""
    tun_name: str = "mqvpn0"
    """Name of the TUN device."""
    mtu: int | None = None
    """Largest MTU of each tunnel; ``None`` follows what its path carries."""
    dns: tuple[IPAddress, ...] = ()
    """Name servers for clients."""
    quic: QuicConfig = field(default_factory=lambda: QuicConfig(keep_alive=0.0))
    """QUIC settings."""
    control_socket: Path | None = Path("/run/mqvpn/mqvpn0.sock")
    """Where the status is served; ``None`` serves none."""
    qlog: Path | None = None
    """Where to write traces of packets; ``None`` writes none."""
    log_level: LogLevel = LogLevel.INFO
    """How much is logged."""
