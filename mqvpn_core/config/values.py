"""Small values that settings are made of; each is valid once it exists in a built configuration."""

import enum
from base64 import b64encode
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

from typing_extensions import override

IPAddress: TypeAlias = IPv4Address | IPv6Address
IPNetwork: TypeAlias = IPv4Network | IPv6Network

DEFAULT_PORT = 443
"""UDP port of HTTP/3."""

DEFAULT_TEMPLATE = "/.well-known/masque/ip/{target}/{ipproto}/"
"""Path of the default URI template (RFC 9484 s3)."""


AUTO_PATHS = "auto"
"""Among the interfaces to use: all that are made of hardware, as far as one can tell."""

DEFAULT_IGNORED_LINKS = ("docker*", "br-*", "virbr*", "tun*", "tap*", "wg*", "lo")
"""Interfaces that `AUTO_PATHS` leaves out unless told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPort:
    """A host name or address with a UDP port."""

    host: str
    """DNS name, or IPv4 or IPv6 address without brackets."""
    port: int = DEFAULT_PORT
    """UDP port, 0 to 65535; 0 (listen only) lets the kernel choose."""

    @override
    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """SHA-256 of a certificate's SubjectPublicKeyInfo (the form of RFC 7469 s2.4)."""

    sha256: bytes
    """The 32-byte digest."""

    @override
    def __str__(self) -> str:
        return f"sha256/{b64encode(self.sha256).decode()}"


class RoutesMode(enum.Enum):
    """Which destinations a client sends into the tunnel."""

    DEFAULT = "default"
    """Everything, by two half-size routes per family that leave the default route alone."""
    ADVERTISED = "advertised"
    """Only what the server's ROUTE_ADVERTISEMENT names."""


class KillSwitchSetting(enum.Enum):
    """How long a client blocks traffic outside the tunnel."""

    OFF = "off"
    """Never."""
    STANDARD = "standard"
    """While the tunnel is wanted, through reconnections and crashes."""
    ALWAYS = "always"
    """From boot to shutdown."""


class RetryMode(enum.Enum):
    """When a server validates an address by Retry before it keeps state (RFC 9000 s8.1.2)."""

    AUTO = "auto"
    """Only while many handshakes are unfinished."""
    ALWAYS = "always"
    """For every new connection; costs one round trip."""
    NEVER = "never"
    """Never."""


class LogLevel(enum.Enum):
    """How much is logged."""

    ERROR = "error"
    """What stopped."""
    WARNING = "warning"
    """What is wrong but goes on."""
    INFO = "info"
    """What a user wants to know: connected, lost, reconnected."""
    DEBUG = "debug"
    """Every state change."""


class LinkRole(enum.Enum):
    """What a network interface is for."""

    PRIMARY = "primary"
    """Carries traffic whenever it can."""
    SECONDARY = "secondary"
    """Carries traffic that no primary one has room for."""
    BACKUP = "backup"
    """Carries traffic only when no other one works; kept alive meanwhile."""
    NEVER = "never"
    """Not used at all."""


class Scheduler(enum.Enum):
    """How packets are spread over paths."""

    WEIGHTED = "weighted"
    """Inner flows stay on one path each; paths get flows in proportion to their rate."""
    MINRTT = "minrtt"
    """The path with the lowest round-trip time that has room takes the next packet."""
    REDUNDANT = "redundant"
    """As weighted, and small or urgent packets go over two paths."""
    BACKUP = "backup"
    """One path as long as it is healthy, the next when it is not."""


class CongestionControl(enum.Enum):
    """How fast a path sends."""

    BBR = "bbr"
    """Follows the rate that a path delivers; loss alone does not slow it down."""
    CUBIC = "cubic"
    """RFC 9438: slows down at every loss, fills the queues of the way."""
    NEWRENO = "newreno"
    """RFC 9002 s7: as that, and slower to come back."""
