"""Parts of a profile that can also be changed while the tunnel is up, each checked when it is read.

The names of members are those of the profile.
"""

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network

from mqvpn_helper.interface.host_plan import IPAddress, IPNetwork
from mqvpn_helper.interface.members import MemberError, MemberReader

MAX_NETWORKS = 256
"""Networks in one list."""
MAX_BYTES = 1 << 62
"""Largest amount."""
_MAX_NAME_SERVERS = 8
_MAX_CGROUPS = 64
_MAX_CGROUP_NAME = 255
_MAX_NAME = 253
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
# The last label of a name has a letter; everything else is to be a network.
_HOST_NAME = re.compile(rf"(?:{_LABEL}\.)*(?=[0-9_-]*[A-Za-z]){_LABEL}\.?", re.ASCII)
_DESTINATION = re.compile(r"[A-Za-z0-9._:/-]+", re.ASCII)

# A path below the cgroup2 root; nothing in it may mean something to nftables or climb out.
_CGROUP = re.compile(r"(?!.*\.\.)[A-Za-z0-9_.@:-]+(?:/[A-Za-z0-9_.@:-]+)*", re.ASCII)


class PathRole(enum.Enum):
    """What a network interface is for."""

    DEFAULT = "default"
    """What suggests itself: mobile networks are backup, all others primary."""
    PRIMARY = "primary"
    """Carries traffic whenever it can."""
    SECONDARY = "secondary"
    """Carries traffic that no primary one has room for."""
    BACKUP = "backup"
    """Carries traffic only when no other one works."""
    NEVER = "never"
    """Not used at all."""


class TunnelRoutes(enum.Enum):
    """Which destinations go into the tunnel."""

    DEFAULT = "default"
    """Everything."""
    ADVERTISED = "advertised"
    """What the server names."""
    NONE = "none"
    """Nothing by itself: the device and its addresses are made, routes are the user's business."""


class PacketScheduler(enum.Enum):
    """How packets are spread over paths."""

    WEIGHTED = "weighted"
    """Inner flows stay on one path each, shared out by rate."""
    MINRTT = "minrtt"
    """The fastest path that has room takes the next packet."""
    REDUNDANT = "redundant"
    """As weighted, and small or urgent packets go over two paths."""
    BACKUP = "backup"
    """One path as long as it is healthy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsSettings:
    """Name servers while the tunnel is up."""

    servers: tuple[IPAddress, ...] = ()
    """Name servers inside the tunnel; empty: the resolver of the machine stays as it is."""

    @classmethod
    def from_mapping(cls, members: Mapping[str, object]) -> "DnsSettings":
        """Read settings that came from somebody else.

        Raises:
            MemberError: something is wrong with them.
        """
        reader = MemberReader(members, "DNS settings")
        settings = read_dns(reader)
        reader.finish()
        return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSettings:
    """What goes beside the tunnel although, or into it although not, everything else does."""

    exclude: tuple[IPNetwork, ...] = ()
    """Networks that stay outside."""
    exclude_names: tuple[str, ...] = ()
    """Hosts that do, by name."""
    include: tuple[IPNetwork, ...] = ()
    """When these or `include_names` are not empty, nothing else goes into the tunnel."""
    include_names: tuple[str, ...] = ()
    """Hosts that do, by name."""
    cgroups: tuple[str, ...] = ()
    """Control groups (below the cgroup2 root) whose processes stay outside."""
    allow_lan: bool = False
    """Networks this machine is directly connected to stay reachable."""

    @property
    def has_include(self) -> bool:
        """Only what is named goes into the tunnel."""
        return bool(self.include or self.include_names)

    def lists(self) -> dict[str, list[str]]:
        """Return the members that are lists, with networks and names together."""
        return {
            "split_exclude": [*map(str, self.exclude), *self.exclude_names],
            "split_include": [*map(str, self.include), *self.include_names],
            "split_cgroups": list(self.cgroups),
        }

    @classmethod
    def from_mapping(cls, members: Mapping[str, object]) -> "SplitSettings":
        """Read settings that came from somebody else.

        Raises:
            MemberError: something is wrong with them.
        """
        reader = MemberReader(members, "split settings")
        settings = read_split(reader)
        reader.finish()
        return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPolicy:
    """What one interface may be used for; None leaves a thing as it is."""

    role: PathRole | None = None
    """Its role."""
    cap_bytes: int | None = None
    """Bytes it may carry in a calendar month; 0 for no limit."""
    rate_limit: int | None = None
    """Bytes a second in each direction; 0 for no limit."""

    @classmethod
    def from_mapping(cls, members: Mapping[str, object]) -> "PathPolicy":
        """Read ``role``, ``cap_bytes``, ``rate_limit`` and ``enabled`` from somebody else.

        Raises:
            MemberError: something is wrong with them, or there are none.
        """
        if not members:
            raise MemberError("path policy: it changes nothing")
        reader = MemberReader(members, "path policy")
        role = reader.choice("role", PathRole) if "role" in members else None
        cap = reader.whole("cap_bytes", 0, MAX_BYTES) if "cap_bytes" in members else None
        rate = reader.whole("rate_limit", 0, MAX_BYTES) if "rate_limit" in members else None
        if "enabled" in members:
            enabled = reader.truth("enabled", default=True)
            if role is None or not enabled:
                role = PathRole.DEFAULT if enabled else PathRole.NEVER
        reader.finish()
        return cls(role=role, cap_bytes=cap, rate_limit=rate)

    def to_mapping(self) -> dict[str, str | int]:
        """Return the members that change something; `from_mapping` reads them again."""
        members: dict[str, str | int] = {}
        if self.role is not None:
            members["role"] = self.role.value
        if self.cap_bytes is not None:
            members["cap_bytes"] = self.cap_bytes
        if self.rate_limit is not None:
            members["rate_limit"] = self.rate_limit
        return members


def read_dns(reader: MemberReader) -> DnsSettings:
    """Take DNS settings out of a larger mapping."""
    return DnsSettings(servers=reader.addresses("dns", count=_MAX_NAME_SERVERS))


def read_split(reader: MemberReader) -> SplitSettings:
    """Take split settings out of a larger mapping; networks and names stand in one list."""
    excluded = reader.texts("split_exclude", _DESTINATION, _MAX_NAME, count=MAX_NETWORKS)
    included = reader.texts("split_include", _DESTINATION, _MAX_NAME, count=MAX_NETWORKS)
    return SplitSettings(
        exclude=_networks("split_exclude", excluded),
        exclude_names=_names(excluded),
        include=_networks("split_include", included),
        include_names=_names(included),
        cgroups=reader.texts("split_cgroups", _CGROUP, _MAX_CGROUP_NAME, count=_MAX_CGROUPS),
        allow_lan=reader.truth("allow_lan", default=False),
    )


def _names(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(text for text in texts if _HOST_NAME.fullmatch(text))


def _networks(member: str, texts: Iterable[str]) -> tuple[IPNetwork, ...]:
    try:
        return tuple(ip_network(text) for text in texts if not _HOST_NAME.fullmatch(text))
    except ValueError:
        raise MemberError(
            f"{member} has something that is neither a network, without bits behind its prefix, nor"
            " the name of a host"
        ) from None
