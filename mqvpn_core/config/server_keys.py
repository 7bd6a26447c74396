"""Keys of a server."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from mqvpn_core.config import parsing
from mqvpn_core.config.secret_values import HashedKey, Secret
from mqvpn_core.config.setting import SERVER, Form, Group, Setting, last
from mqvpn_core.config.values import (
    HostPort,
    IPNetwork,
    RetryMode,
)

LISTEN: Setting[tuple[HostPort, ...]] = Setting(
    name="listen",
    roles=SERVER,
    group=Group.SERVER_ADDRESS,
    form=Form.LIST,
    allowed="ADDRESS:PORT; * or no address means all, and [::] takes IPv4 as well",
    default=("[::]:443",),
    doc="UDP addresses the server listens on.",
    parse=parsing.sequence(parsing.listen_address),
    placeholder="ADDRESS:PORT",
    ini="Interface.Listen",
)
CERT_FILE: Setting[Path] = Setting(
    name="cert_file",
    roles=SERVER,
    group=Group.TRUST,
    form=Form.TEXT,
    allowed="a file name",
    default=None,
    doc="PEM file with the server's certificate chain, its own certificate first.",
    parse=last(parsing.path),
    placeholder="FILE",
    options=("--cert",),
    ini="TLS.Cert",
    is_file=True,
)
KEY_FILE: Setting[Path] = Setting(
    name="key_file",
    roles=SERVER,
    group=Group.TRUST,
    form=Form.TEXT,
    allowed="a file name",
    default=None,
    doc="PEM file with the private key of the certificate.",
    parse=last(parsing.path),
    placeholder="FILE",
    options=("--key",),
    ini="TLS.Key",
    is_file=True,
)
USERS: Setting[tuple[tuple[str, Secret | HashedKey], ...]] = Setting(
    name="users",
    roles=SERVER,
    group=Group.ACCESS,
    form=Form.USERS,
    allowed="NAME with its own key of at least 16 characters, or the hash of one"
    " (sha256:SALT:DIGEST, printed by 'mqvpn-core genkey')",
    default=(),
    doc="Named users; the key alone tells who it is, so no two users may have the same.",
    parse=lambda texts: tuple(parsing.user(text) for text in texts),
    placeholder="NAME:KEY",
    options=("--user",),
    ini="Auth.User",
    is_secret=True,
)
USERS_FILE: Setting[Path | None] = Setting(
    name="users_file",
    roles=SERVER,
    group=Group.ACCESS,
    form=Form.TEXT,
    allowed="a file name; empty: none",
    default=("",),
    doc="More users, in a file that 'mqvpn-core user add' and 'rm' change; it need not exist yet.",
    parse=last(parsing.optional(parsing.path)),
    placeholder="FILE",
    is_file=True,
)
MAX_AUTH_FAILURES: Setting[int] = Setting(
    name="max_auth_failures",
    roles=SERVER,
    group=Group.ACCESS,
    form=Form.NUMBER,
    allowed="1 to 1000",
    default=("10",),
    doc="Wrong keys that one source, an IPv4 address or an IPv6 /64, may send a minute before it"
    " is refused unheard.",
    parse=last(parsing.integer(1, 1000)),
    placeholder="N",
)
AUTH_CHALLENGE: Setting[bool] = Setting(
    name="auth_challenge",
    roles=SERVER,
    group=Group.ACCESS,
    form=Form.BOOLEAN,
    allowed="true or false",
    default=("false",),
    doc="Answer a tunnel request without a valid key by 401 or 403; otherwise it gets what the web"
    " site says to an unknown page, so that a probe learns nothing.",
    parse=last(parsing.boolean),
)
SUBNET: Setting[IPv4Network] = Setting(
    name="subnet",
    roles=SERVER,
    group=Group.ADDRESSES,
    form=Form.TEXT,
    allowed="an IPv4 network from /8 to /30",
    default=("10.0.0.0/24",),
    doc="Pool of IPv4 addresses in the tunnel; the first is the server's own.",
    parse=last(parsing.pool_ipv4),
    placeholder="CIDR",
    ini="Interface.Subnet",
)
SUBNET6: Setting[IPv6Network | None] = Setting(
    name="subnet6",
    roles=SERVER,
    group=Group.ADDRESSES,
    form=Form.TEXT,
    allowed="an IPv6 network from /32 to /126; empty: no IPv6",
    default=("",),
    doc="Pool of IPv6 addresses in the tunnel; the first is the server's own.",
    parse=last(parsing.optional(parsing.pool_ipv6)),
    placeholder="CIDR",
    ini="Interface.Subnet6",
)
LEASE_FILE: Setting[Path | None] = Setting(
    name="lease_file",
    roles=SERVER,
    group=Group.ADDRESSES,
    form=Form.TEXT,
    allowed="a file name, or off",
    default=("/var/lib/mqvpn/leases.json",),
    doc="Where the server keeps who had which address, so that users get theirs again after its"
    " restart.",
    parse=last(parsing.optional(parsing.path, "off")),
    placeholder="FILE",
    is_file=True,
)
ADVERTISE: Setting[tuple[IPNetwork, ...]] = Setting(
    name="advertise",
    roles=SERVER,
    group=Group.ADDRESSES,
    form=Form.LIST,
    allowed="networks; empty: everything, for each family with a pool",
    default=(),
    doc="Destinations the server offers to forward to (ROUTE_ADVERTISEMENT).",
    parse=parsing.sequence(parsing.network),
    placeholder="CIDR",
)
CLIENT_TO_CLIENT: Setting[bool] = Setting(
    name="client_to_client",
    roles=SERVER,
    group=Group.ADDRESSES,
    form=Form.BOOLEAN,
    allowed="true or false",
    default=("false",),
    doc="Forward packets between clients.",
    parse=last(parsing.boolean),
)
NAT: Setting[bool] = Setting(
    name="nat",
    roles=SERVER,
    group=Group.ADDRESSES,
    form=Form.BOOLEAN,
    allowed="true or false",
    default=("true",),
    doc="Give packets of clients the server's address when they leave for other networks; with"
    " false the networks need a route back to the pools.",
    parse=last(parsing.boolean),
)
MAX_CLIENTS: Setting[int] = Setting(
    name="max_clients",
    roles=SERVER,
    group=Group.LIMITS,
    form=Form.NUMBER,
    allowed="1 to 65534, and no more than the pools hold",
    default=("64",),
    doc="Tunnels at the same time.",
    parse=last(parsing.integer(1, 65534)),
    placeholder="N",
    ini="Auth.MaxClients",
)
MAX_CLIENTS_PER_USER: Setting[int] = Setting(
    name="max_clients_per_user",
    roles=SERVER,
    group=Group.LIMITS,
    form=Form.NUMBER,
    allowed="1 to 65534",
    default=("8",),
    doc="Tunnels at the same time of one named user.",
    parse=last(parsing.integer(1, 65534)),
    placeholder="N",
)
MAX_HANDSHAKES: Setting[int] = Setting(
    name="max_handshakes",
    roles=SERVER,
    group=Group.LIMITS,
    form=Form.NUMBER,
    allowed="1 to 65535",
    default=("256",),
    doc='Unfinished handshakes at the same time; beyond it retry = "auto" makes clients prove their'
    " address first.",
    parse=last(parsing.integer(1, 65535)),
    placeholder="N",
)
WORKERS: Setting[int] = Setting(
    name="workers",
    roles=SERVER,
    group=Group.LIMITS,
    form=Form.NUMBER,
    allowed="1 to 64",
    default=("1",),
    doc="Processes that share the clients, for a machine with several processors; a client is"
    " served by one of them.",
    parse=last(parsing.integer(1, 64)),
    placeholder="N",
)
RETRY: Setting[RetryMode] = Setting(
    name="retry",
    roles=SERVER,
    group=Group.LIMITS,
    form=Form.TEXT,
    allowed="auto (under load), always or never",
    default=("auto",),
    doc="When a client must prove its address (QUIC Retry) before the server keeps any state.",
    parse=last(parsing.choice(RetryMode)),
    placeholder="WHEN",
)
SITE: Setting[Path | None] = Setting(
    name="site",
    roles=SERVER,
    group=Group.SITE,
    form=Form.TEXT,
    allowed="a directory; empty: a small neutral page",
    default=("",),
    doc="Files the server shows to ordinary HTTP/3 visitors.",
    parse=last(parsing.optional(parsing.path)),
    placeholder="DIR",
    is_file=True,
)
