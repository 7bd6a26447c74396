"""Keys of a client."""

from pathlib import Path

from mqvpn_core.config import parsing
from mqvpn_core.config.setting import CLIENT, Form, Group, Setting, last
from mqvpn_core.config.values import (
    HostPort,
    Pin,
    RoutesMode,
)

SERVER_ADDRESS: Setting[HostPort] = Setting(
    name="server",
    roles=CLIENT,
    group=Group.SERVER_ADDRESS,
    form=Form.TEXT,
    allowed="HOST, HOST:PORT or [IPV6]:PORT; the port is 443 when left out",
    default=None,
    doc="The server to connect to.",
    parse=last(parsing.server_address),
    placeholder="HOST:PORT",
    ini="Server.Address",
    json="server_addr",
)
SERVER_NAME: Setting[str | None] = Setting(
    name="server_name",
    roles=CLIENT,
    group=Group.TRUST,
    form=Form.TEXT,
    allowed="a host name or an IP address; empty: the host of server",
    default=("",),
    doc="Name to send in the TLS handshake (SNI) and to find in the certificate.",
    parse=last(parsing.optional(parsing.host)),
    placeholder="NAME",
    options=("--tls-server-name",),
    ini="Server.ServerName",
    json="tls_server_name",
)
CA_FILE: Setting[Path | None] = Setting(
    name="ca_file",
    roles=CLIENT,
    group=Group.TRUST,
    form=Form.TEXT,
    allowed="a file name; empty: the authorities of the system",
    default=("",),
    doc="PEM file of the certificate authorities to trust instead of the system's.",
    parse=last(parsing.optional(parsing.path)),
    placeholder="FILE",
    is_file=True,
)
PINS: Setting[tuple[Pin, ...]] = Setting(
    name="pins",
    roles=CLIENT,
    group=Group.TRUST,
    form=Form.LIST,
    allowed="sha256/BASE64, as 'mqvpn-core gencert' prints it",
    default=(),
    doc="Trust exactly a certificate with one of these keys, whoever signed it: makes"
    " self-signed servers safe.",
    parse=parsing.sequence(parsing.pin),
    placeholder="PIN",
    options=("--pin",),
)
INSECURE: Setting[bool] = Setting(
    name="insecure",
    roles=CLIENT,
    group=Group.TRUST,
    form=Form.BOOLEAN,
    allowed="true or false",
    default=("false",),
    doc="Accept any certificate; whoever sits between you and the server can then read and change"
    " everything.",
    parse=last(parsing.boolean),
    ini="Server.Insecure",
)
IPV4: Setting[bool] = Setting(
    name="ipv4",
    roles=CLIENT,
    group=Group.ADDRESSES,
    form=Form.BOOLEAN,
    allowed="true or false",
    default=("true",),
    doc="Ask for an IPv4 address in the tunnel.",
    parse=last(parsing.boolean),
)
IPV6: Setting[bool] = Setting(
    name="ipv6",
    roles=CLIENT,
    group=Group.ADDRESSES,
    form=Form.BOOLEAN,
    allowed="true or false",
    default=("true",),
    doc="Ask for an IPv6 address in the tunnel.",
    parse=last(parsing.boolean),
)
ROUTES: Setting[RoutesMode] = Setting(
    name="routes",
    roles=CLIENT,
    group=Group.ADDRESSES,
    form=Form.TEXT,
    allowed="default (everything) or advertised (what the server names)",
    default=("default",),
    doc="Which destinations go into the tunnel; the server's own address always keeps its route.",
    parse=last(parsing.choice(RoutesMode)),
    placeholder="MODE",
)
MANAGE_ROUTES: Setting[bool] = Setting(
    name="manage_routes",
    roles=CLIENT,
    group=Group.ADDRESSES,
    form=Form.BOOLEAN,
    allowed="true or false",
    default=("true",),
    doc="Set routes; with false only the device and its addresses are made.",
    parse=last(parsing.boolean),
    ini="Interface.ManageRoutes",
)
RECONNECT: Setting[bool] = Setting(
    name="reconnect",
    roles=CLIENT,
    group=Group.CONNECTION,
    form=Form.BOOLEAN,
    allowed="true or false",
    default=("true",),
    doc="Connect again for ever after a loss, keeping device, addresses and routes; with false the"
    " program ends.",
    parse=last(parsing.boolean),
    ini="Interface.Reconnect",
)
RECONNECT_INTERVAL: Setting[float] = Setting(
    name="reconnect_interval",
    roles=CLIENT,
    group=Group.CONNECTION,
    form=Form.NUMBER,
    allowed="0.1 to 3600 seconds",
    default=("1",),
    doc="Longest pause between attempts in the first five minutes of an outage; the first attempt"
    " follows at once, later ones come up to 30 seconds apart.",
    parse=last(parsing.seconds(0.1, 3600)),
    placeholder="SECONDS",
    ini="Interface.ReconnectInterval",
)
KEEP_ALIVE: Setting[float] = Setting(
    name="keep_alive",
    roles=CLIENT,
    group=Group.CONNECTION,
    form=Form.NUMBER,
    allowed="1 to 600 seconds, or 0 for none; less than idle_timeout",
    default=("15",),
    doc="Silence after which the client sends a sign of life; keeps NAT bindings open.",
    parse=last(parsing.seconds(1, 600, zero=True)),
    placeholder="SECONDS",
)
