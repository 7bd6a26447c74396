"""Profile: what a user asks of one tunnel, checked field by field before anybody acts on it.

The names of members are those of the configuration file wherever the same thing is meant. No secret
is in here, and no name of a file: the helper would have to open it with its own rights.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from types import MappingProxyType
from typing import TypeAlias

from mqvpn_helper.interface.host_plan import IPAddress, IPNetwork, KillSwitchMode
from mqvpn_helper.interface.members import MemberError, MemberReader
from mqvpn_helper.interface.tunnel_settings import (
    MAX_BYTES,
    MAX_NETWORKS,
    DnsSettings,
    PacketScheduler,
    PathRole,
    SplitSettings,
    TunnelRoutes,
    read_dns,
    read_split,
)

ProfileValue: TypeAlias = bool | int | float | str | list[str] | dict[str, str] | dict[str, int]
"""What a member of a profile may be outside: in JSON, TOML or a D-Bus variant."""

MEMBER_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "name": "s",
        "server": "s",
        "server_name": "s",
        "server_addresses": "as",
        "pins": "as",
        "ca_certificates": "s",
        "insecure": "b",
        "template": "s",
        "ipv4": "b",
        "ipv6": "b",
        "inner_networks": "as",
        "tun_name": "s",
        "mtu": "u",
        "routes": "s",
        "dns": "as",
        "kill_switch": "s",
        "split_exclude": "as",
        "split_include": "as",
        "split_cgroups": "as",
        "allow_lan": "b",
        "paths": "as",
        "ignore_interfaces": "as",
        "roles": "a{ss}",
        "caps": "a{st}",
        "rate_limits": "a{st}",
        "scheduler": "s",
        "keep_alive": "d",
        "idle_timeout": "d",
        "reconnect": "b",
        "tied": "b",
    }
)
"""Every member of a profile with its D-Bus type."""

MAX_CA_CHARACTERS = 16384
MAX_SERVER_ADDRESSES = 16
_MAX_LINKS = 64
_MAX_PINS = 16
_MIN_RATE = 1000
_DEFAULT_PORT = 443
_MAX_PORT = 65535
_MIN_MTU = 576
_MIN_IPV6_MTU = 1280  # RFC 8200 s5
_DEFAULT_TEMPLATE = "/.well-known/masque/ip/{target}/{ipproto}/"
_IGNORED_LINKS = ("docker*", "br-*", "virbr*", "tun*", "tap*", "wg*", "lo")

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?", re.ASCII)
_SERVER_NAME = re.compile(rf"|{_LABEL}(?:\.{_LABEL})*\.?|[0-9a-fA-F:.]+", re.ASCII)
_SERVER = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:\s]+))(?::(?P<port>\d{1,5}))?"
)
_PIN = re.compile(r"sha256//?[A-Za-z0-9+/]{43}=", re.ASCII)
_PEM = re.compile(r"[\t\n\r -~]*", re.ASCII)
_TEMPLATE = re.compile(r"/[!-~]*", re.ASCII)
_TITLE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]*")
_LINK = re.compile(r"[!-$&-.0-9;-~]{1,15}", re.ASCII)  # visible, no slash, colon or percent
_TUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}", re.ASCII)
_MAX_HOST_NAME = 253
_MAX_LINK_NAME = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Everything a user decides about a tunnel; made by `from_mapping`, which checks it."""

    name: str = ""
    """What the user calls it."""
    host: str
    """DNS name or IP address of the server."""
    port: int = _DEFAULT_PORT
    """Its UDP port."""
    server_name: str = ""
    """Name to find in the certificate; empty: the host."""
    server_addresses: tuple[IPAddress, ...] = ()
    """When not empty, the only addresses the server may have: no name is resolved."""
    pins: tuple[str, ...] = ()
    """Keys of the server, ``sha256/BASE64``; one of them must be in its certificate."""
    ca_certificates: str = ""
    """Authorities to trust in place of the system's, PEM."""
    insecure: bool = False
    """Trust any certificate."""
    template: str = _DEFAULT_TEMPLATE
    """Path of the connect-ip URI template."""
    ipv4: bool = True
    """Ask for an IPv4 address."""
    ipv6: bool = True
    """Ask for an IPv6 address."""
    inner_networks: tuple[IPNetwork, ...] = ()
    """When not empty, the tunnel's addresses must come from these."""
    tun_name: str = "mqvpn0"
    """Name of the TUN device."""
    mtu: int = 0
    """Largest MTU of the tunnel; 0 follows the network."""
    routes: TunnelRoutes = TunnelRoutes.DEFAULT
    """Which destinations go into the tunnel."""
    dns: DnsSettings = field(default_factory=DnsSettings)
    """Name servers."""
    kill_switch: KillSwitchMode = KillSwitchMode.OFF
    """When traffic outside the tunnel is blocked."""
    split: SplitSettings = field(default_factory=SplitSettings)
    """What goes beside the tunnel."""
    paths: tuple[str, ...] = ("auto",)
    """Interfaces to use, in order of preference, by name or pattern."""
    ignore_interfaces: tuple[str, ...] = _IGNORED_LINKS
    """Interfaces that ``auto`` leaves out."""
    roles: tuple[tuple[str, PathRole], ...] = ()
    """What interfaces are for, by name or pattern."""
    caps: tuple[tuple[str, int], ...] = ()
    """Bytes an interface may carry in a calendar month, by name or pattern."""
    rate_limits: tuple[tuple[str, int], ...] = ()
    """Bytes a second over an interface in each direction, by name or pattern."""
    scheduler: PacketScheduler = PacketScheduler.WEIGHTED
    """How packets are spread over paths."""
    keep_alive: float = 15.0
    """Seconds of silence after which a sign of life is sent; 0 for none."""
    idle_timeout: float = 30.0
    """Seconds of silence after which the connection counts as lost."""
    reconnect: bool = True
    """Connect again after a loss."""
    tied: bool = False
    """The tunnel ends when the program that asked for it is gone."""

    @classmethod
    def from_mapping(cls, members: Mapping[str, object]) -> "Profile":
        """Read a profile that came from somebody else.

        Raises:
            MemberError: something is wrong with it.
        """
        reader = MemberReader(members, "profile")
        host, port = _read_server(reader)
        profile = cls(
            name=reader.text("name", _TITLE, 64, default=""),
            host=host,
            port=port,
            server_name=reader.text("server_name", _SERVER_NAME, _MAX_HOST_NAME, default=""),
            server_addresses=reader.addresses("server_addresses", count=MAX_SERVER_ADDRESSES),
            pins=reader.texts("pins", _PIN, 64, count=_MAX_PINS),
            ca_certificates=reader.text("ca_certificates", _PEM, MAX_CA_CHARACTERS, default=""),
            insecure=reader.truth("insecure", default=False),
            template=reader.text("template", _TEMPLATE, 512, default=_DEFAULT_TEMPLATE),
            ipv4=reader.truth("ipv4", default=True),
            ipv6=reader.truth("ipv6", default=True),
            inner_networks=reader.networks("inner_networks", count=MAX_NETWORKS),
            tun_name=reader.text("tun_name", _TUN, _MAX_LINK_NAME, default="mqvpn0"),
            mtu=reader.whole("mtu", 0, 65535, default=0),
            routes=reader.choice("routes", TunnelRoutes, default=TunnelRoutes.DEFAULT),
            dns=read_dns(reader),
            kill_switch=reader.choice("kill_switch", KillSwitchMode, default=KillSwitchMode.OFF),
            split=read_split(reader),
            paths=reader.texts("paths", _LINK, _MAX_LINK_NAME, count=_MAX_LINKS) or ("auto",),
            ignore_interfaces=reader.texts(
                "ignore_interfaces", _LINK, _MAX_LINK_NAME, count=_MAX_LINKS
            )
            if "ignore_interfaces" in members
            else _IGNORED_LINKS,
            roles=reader.table("roles", _LINK, _read_role, count=_MAX_LINKS),
            caps=reader.table("caps", _LINK, _read_cap, count=_MAX_LINKS),
            rate_limits=reader.table("rate_limits", _LINK, _read_rate, count=_MAX_LINKS),
            scheduler=reader.choice("scheduler", PacketScheduler, default=PacketScheduler.WEIGHTED),
            keep_alive=reader.number("keep_alive", 0, 600, default=15.0),
            idle_timeout=reader.number("idle_timeout", 5, 600, default=30.0),
            reconnect=reader.truth("reconnect", default=True),
            tied=reader.truth("tied", default=False),
        )
        reader.finish()
        _check_together(profile)
        return profile

    @property
    def server(self) -> str:
        """The server as ``HOST:PORT``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def known_addresses(self) -> tuple[IPAddress, ...]:
        """The only addresses the server may have; empty when its name has to be resolved."""
        if self.server_addresses:
            return self.server_addresses
        try:
            return (ip_address(self.host),)
        except ValueError:
            return ()

    def to_mapping(self) -> dict[str, ProfileValue]:
        """Return every member, of the types in `MEMBER_TYPES`; `from_mapping` reads it again."""
        return {
            "name": self.name,
            "server": self.server,
            "server_name": self.server_name,
            "server_addresses": [str(each) for each in self.server_addresses],
            "pins": list(self.pins),
            "ca_certificates": self.ca_certificates,
            "insecure": self.insecure,
            "template": self.template,
            "ipv4": self.ipv4,
            "ipv6": self.ipv6,
            "inner_networks": [str(each) for each in self.inner_networks],
            "tun_name": self.tun_name,
            "mtu": self.mtu,
            "routes": self.routes.value,
            "dns": [str(each) for each in self.dns.servers],
            "kill_switch": self.kill_switch.value,
            **self.split.lists(),
            "allow_lan": self.split.allow_lan,
            "paths": list(self.paths),
            "ignore_interfaces": list(self.ignore_interfaces),
            "roles": {name: role.value for name, role in self.roles},
            "caps": dict(self.caps),
            "rate_limits": dict(self.rate_limits),
            "scheduler": self.scheduler.value,
            "keep_alive": self.keep_alive,
            "idle_timeout": self.idle_timeout,
            "reconnect": self.reconnect,
            "tied": self.tied,
        }


def _read_server(reader: MemberReader) -> tuple[str, int]:
    text = reader.text("server", _SERVER, _MAX_HOST_NAME + 8)
    found = _SERVER.fullmatch(text)
    assert found is not None  # the reader has matched it
    port = int(found["port"] or _DEFAULT_PORT)
    host = found["six"] or found["host"]
    if not 1 <= port <= _MAX_PORT:
        raise MemberError("profile: server has a port that is not from 1 to 65535")
    if found["six"] or re.fullmatch(r"[0-9.]+", host, re.ASCII):
        try:
            return str(ip_address(host)), port
        except ValueError:
            raise MemberError("profile: server has an impossible IP address") from None
    if len(host) > _MAX_HOST_NAME or _HOST_NAME.fullmatch(host) is None:
        raise MemberError("profile: server is not HOST, HOST:PORT or [IPV6]:PORT")
    return host, port


def _read_role(reader: MemberReader, name: str) -> PathRole:
    return reader.choice(name, PathRole)


def _read_cap(reader: MemberReader, name: str) -> int:
    return reader.whole(name, 1, MAX_BYTES)


def _read_rate(reader: MemberReader, name: str) -> int:
    return reader.whole(name, _MIN_RATE, MAX_BYTES)


def _check_together(profile: Profile) -> None:
    if not (profile.ipv4 or profile.ipv6):
        raise MemberError("profile: neither ipv4 nor ipv6 is wanted")
    least = _MIN_IPV6_MTU if profile.ipv6 else _MIN_MTU
    if profile.mtu and profile.mtu < least:
        raise MemberError(f"profile: mtu is below {least}")
    if 0 < profile.idle_timeout <= profile.keep_alive:
        raise MemberError("profile: keep_alive is not less than idle_timeout")
