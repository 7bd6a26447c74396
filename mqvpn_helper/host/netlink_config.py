"""rtnetlink: read and change links, addresses and routes of the current network namespace.

The only module of the helper that knows pyroute2. It translates between kernel messages and
values and decides nothing.
"""

import errno
import os
import socket
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Interface,
    ip_address,
    ip_interface,
    ip_network,
)
from types import TracebackType
from typing import Self, TypeAlias

from pyroute2 import IPRoute
from pyroute2.netlink import nlmsg_base
from pyroute2.netlink.exceptions import NetlinkDumpInterrupted, NetlinkError

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.policy_rules import MAIN_TABLE, PolicyRule
from mqvpn_helper.host.routes import Route
from mqvpn_helper.interface.host_plan import IPAddress, IPInterface, IPNetwork

_IFF_UP = 0x1
_IFA_F_NODAD = 0x02
_RT_SCOPE_UNIVERSE = 0
_RT_SCOPE_LINK = 253
_RT_SCOPE_NOWHERE = 255  # in a deletion: any scope
_RTN_UNICAST = 1
_RTN_LOCAL = 2
_RTNH_F_DEAD = 0x01
_RTNH_F_ONLINK = 0x04
_RTNH_F_LINKDOWN = 0x10
_RTM_F_FIB_MATCH = 0x2000
_MAIN_TABLES = frozenset({253, 254})
_DUMP_ATTEMPTS = 5
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_NO_SUPPRESSION = 0xFFFFFFFF

_Attribute: TypeAlias = int | str | dict[str, int | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network interface."""

    ifindex: int
    """Index of the interface."""
    name: str
    """Name of the interface."""
    mtu: int
    """MTU in bytes."""
    is_up: bool
    """Administratively up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What the kernel answers to "how would you reach this address?"."""

    route: Route
    """The entry of the routing table that decided."""
    is_local: bool
    """The address is one of this machine."""


class NetlinkConfig:
    """One rtnetlink conversation, to be used as a context manager by one thread at a time."""

    def __init__(self) -> None:
        """Prepare; the socket is opened by ``with``."""
        self._netlink: IPRoute | None = None

    def __enter__(self) -> Self:
        """Open the netlink socket in the network namespace of the calling thread."""
        self._netlink = IPRoute()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the netlink socket."""
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None

    def link_named(self, name: str) -> Link | None:
        """Return the interface of that name."""
        return self._one_link({"ifname": name})

    def link_at(self, ifindex: int) -> Link | None:
        """Return the interface with that index."""
        return self._one_link({"index": ifindex})

    def set_mtu(self, ifindex: int, mtu: int) -> None:
        """Set the MTU of an interface."""
        with _explaining(f"set the MTU of interface {ifindex} to {mtu}"):
            self._socket.link("set", index=ifindex, mtu=mtu)

    def set_up(self, ifindex: int, *, up: bool) -> None:
        """Switch an interface on or off."""
        state = "up" if up else "down"
        with _explaining(f"set interface {ifindex} {state}"):
            self._socket.link("set", index=ifindex, state=state)

    def addresses(self, ifindex: int) -> tuple[IPInterface, ...]:
        """Return the addresses of an interface, without IPv6 link-local ones."""
        found = []
        for message in self._dump(lambda: self._socket.get_addr(index=ifindex)):
            text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
            address = ip_interface(f"{text}/{message['prefixlen']}")
            if message["index"] == ifindex and not _is_link_local6(address):
                found.append(address)
        return tuple(found)

    def add_address(self, ifindex: int, address: IPInterface) -> None:
        """Add an address; IPv6 ones are usable at once (no duplicate address detection)."""
        spec: dict[str, int | str] = {
            "index": ifindex,
            "family": _family(address),
            "address": str(address.ip),
            "prefixlen": address.network.prefixlen,
        }
        if isinstance(address, IPv6Interface):
            # The peer assigned the address; nobody else on a TUN device could answer a probe.
            spec["IFA_FLAGS"] = _IFA_F_NODAD
        with _explaining(f"add address {address} to interface {ifindex}"):
            self._socket.addr("add", **spec)

    def remove_address(self, ifindex: int, address: IPInterface) -> None:
        """Remove an address; one that is gone already is no error."""
        with _explaining(
            f"remove address {address} from interface {ifindex}",
            ignore=(errno.EADDRNOTAVAIL, errno.ENODEV),
        ):
            self._socket.addr(
                "del",
                index=ifindex,
                family=_family(address),
                address=str(address.ip),
                prefixlen=address.network.prefixlen,
            )

    def routes(self, table: int = MAIN_TABLE) -> tuple[Route, ...]:
        """Return the unicast routes of a table, one entry per next hop."""
        tables = _MAIN_TABLES if table == MAIN_TABLE else {table}
        found: list[Route] = []
        for family in (socket.AF_INET, socket.AF_INET6):
            for message in self._dump(partial(self._socket.get_routes, family)):
                if _table(message) in tables and message["type"] == _RTN_UNICAST:
                    found.extend(_routes_of(message))
        return tuple(found)

    def add_route(self, route: Route, *, replace: bool = False, table: int = MAIN_TABLE) -> None:
        """Add a route.

        Args:
            route: the route.
            table: where to.
            replace: take the place of the route with the same destination and metric.

        Raises:
            HostChangeError: the kernel refused; also when such a route exists.
        """
        spec = _route_spec(route, table)
        if route.gateway is None and isinstance(route.destination, IPv4Network):
            spec["scope"] = _RT_SCOPE_LINK
        else:
            spec["scope"] = _RT_SCOPE_UNIVERSE
        if route.gateway is not None and not route.gateway.is_link_local:
            # The gateway comes from a route in force, so it is reachable on that link even
            # where no connected prefix says so, as with many hosting providers.
            spec["flags"] = _RTNH_F_ONLINK
        with _explaining(f"add the route to {route.destination}"):
            self._socket.route("replace" if replace else "add", **spec)

    def remove_route(self, route: Route, *, table: int = MAIN_TABLE) -> None:
        """Remove a route; one that is gone already is no error."""
        with _explaining(
            f"remove the route to {route.destination}", ignore=(errno.ESRCH, errno.ENODEV)
        ):
            self._socket.route("del", **_route_spec(route, table), scope=_RT_SCOPE_NOWHERE)

    def rules(self, mark: int) -> tuple[PolicyRule, ...]:
        """Return the policy rules for packets with a mark."""
        found: list[PolicyRule] = []
        for version, family in _FAMILIES.items():
            messages = self._dump(partial(self._socket.get_rules, family=family))
            found += [_policy_rule(message, version) for message in messages]
        return tuple(rule for rule in found if rule.mark == mark)

    def add_rule(self, rule: PolicyRule) -> None:
        """Add a policy rule."""
        with _explaining(f"add the policy rule {rule.priority}", ignore=(errno.EEXIST,)):
            self._socket.rule("add", **_rule_spec(rule))

    def remove_rule(self, rule: PolicyRule) -> None:
        """Remove a policy rule; one that is gone already is no error."""
        with _explaining(f"remove the policy rule {rule.priority}", ignore=(errno.ENOENT,)):
            self._socket.rule("del", **_rule_spec(rule))

    def lookup(self, address: IPAddress) -> Lookup | None:
        """Ask the kernel, policy rules included, which route leads to an address."""
        message = self._get_route(
            {
                "family": _family(address),
                "dst": str(address),
                "flags": _RTM_F_FIB_MATCH,
            }
        )
        if message is None or message["type"] not in {_RTN_UNICAST, _RTN_LOCAL}:
            return None
        entries = list(_routes_of(message))
        if not entries:
            return None
        return Lookup(route=entries[0], is_local=message["type"] == _RTN_LOCAL)

    def source_towards(self, address: IPAddress, ifindex: int) -> IPAddress | None:
        """Return the source address the kernel would use to reach an address over one link."""
        message = self._get_route({"family": _family(address), "dst": str(address), "oif": ifindex})
        return None if message is None else _address(message.get_attr("RTA_PREFSRC"))

    @property
    def _socket(self) -> IPRoute:
        if self._netlink is None:
            raise RuntimeError("NetlinkConfig is used outside its with block")
        return self._netlink

    def _one_link(self, which: dict[str, int | str]) -> Link | None:
        with _explaining("read the interfaces", ignore=(errno.ENODEV,)):
            for message in self._socket.link("get", **which):
                mtu = message.get_attr("IFLA_MTU")
                return Link(
                    ifindex=message["index"],
                    name=str(message.get_attr("IFLA_IFNAME")),
                    mtu=mtu if isinstance(mtu, int) else 0,
                    is_up=bool(message["flags"] & _IFF_UP),
                )
        return None

    def _get_route(self, spec: dict[str, int | str]) -> nlmsg_base | None:
        unreachable = (
            errno.ENETUNREACH,
            errno.EHOSTUNREACH,
            errno.EACCES,
            errno.EINVAL,
            errno.ENODEV,
        )
        with _explaining(f"look up the route to {spec['dst']}", ignore=unreachable):
            for message in self._socket.route("get", **spec):
                return message
        return None

    def _dump(self, read: Callable[[], Iterator[nlmsg_base]]) -> list[nlmsg_base]:
        attempts_left = _DUMP_ATTEMPTS
        while True:
            attempts_left -= 1
            try:
                return list(read())
            except NetlinkDumpInterrupted as error:
                # Something changed while the kernel was listing: the list may have holes.
                if attempts_left == 0:
                    raise HostChangeError("the network configuration never stands still") from error
            except NetlinkError as error:
                raise HostChangeError(f"cannot list the network configuration: {error}") from error


@contextmanager
def _explaining(action: str, *, ignore: Container[int] = ()) -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code in ignore:
            return
        advice = (
            "permission denied: root or CAP_NET_ADMIN is needed"
            if error.code in {errno.EPERM, errno.EACCES}
            else os.strerror(error.code)
        )
        raise HostChangeError(f"cannot {action}: {advice}") from error


def _family(value: IPAddress | IPInterface | IPNetwork) -> int:
    is_ipv4 = isinstance(value, IPv4Address | IPv4Network)
    return socket.AF_INET if is_ipv4 else socket.AF_INET6


def _is_link_local6(address: IPInterface) -> bool:
    return isinstance(address, IPv6Interface) and address.is_link_local


def _table(message: nlmsg_base) -> int:
    table = message.get_attr("RTA_TABLE")
    return table if isinstance(table, int) else message["table"]


def _address(value: object) -> IPAddress | None:
    return ip_address(value) if isinstance(value, str) else None


def _gateway(hop: nlmsg_base) -> IPAddress | None:
    via = hop.get_attr("RTA_VIA")
    if isinstance(via, dict):
        # An IPv4 route over a neighbour that is known by its IPv6 address (RFC 5549).
        return _address(via.get("addr"))
    return _address(hop.get_attr("RTA_GATEWAY"))


def _routes_of(message: nlmsg_base) -> Iterator[Route]:
    length = message["dst_len"]
    unspecified = "0.0.0.0" if message["family"] == socket.AF_INET else "::"  # noqa: S104 - no bind
    destination = ip_network(f"{message.get_attr('RTA_DST') or unspecified}/{length}")
    metric = message.get_attr("RTA_PRIORITY")
    source = _address(message.get_attr("RTA_PREFSRC"))
    hops = message.get_attr("RTA_MULTIPATH")
    for hop in hops if isinstance(hops, list) else [message]:
        ifindex = hop["oif"] if hop is not message else hop.get_attr("RTA_OIF")
        if isinstance(ifindex, int):
            yield Route(
                destination=destination,
                ifindex=ifindex,
                gateway=_gateway(hop),
                source=source,
                protocol=message["proto"],
                metric=metric if isinstance(metric, int) else 0,
                usable=not hop["flags"] & (_RTNH_F_DEAD | _RTNH_F_LINKDOWN),
            )


def _route_spec(route: Route, table: int) -> dict[str, _Attribute]:
    spec: dict[str, _Attribute] = {
        "family": _family(route.destination),
        "dst": str(route.destination),
        "oif": route.ifindex,
        "proto": route.protocol,
        "table": table,
        "type": _RTN_UNICAST,
    }
    if route.metric:
        spec["priority"] = route.metric
    if route.gateway is not None and route.gateway.version == route.destination.version:
        spec["gateway"] = str(route.gateway)
    elif route.gateway is not None:
        spec["via"] = {"family": _family(route.gateway), "addr": str(route.gateway)}
    if route.source is not None:
        spec["prefsrc"] = str(route.source)
    return spec


def _policy_rule(message: nlmsg_base, version: int) -> PolicyRule:
    priority = message.get_attr("FRA_PRIORITY")
    mark = message.get_attr("FRA_FWMARK")
    table = message.get_attr("FRA_TABLE")
    least = message.get_attr("FRA_SUPPRESS_PREFIXLEN")
    return PolicyRule(
        version=version,
        priority=priority if isinstance(priority, int) else 0,
        mark=mark if isinstance(mark, int) else 0,
        table=table if isinstance(table, int) else message["table"],
        least_prefix=least if isinstance(least, int) and least != _NO_SUPPRESSION else None,
    )


def _rule_spec(rule: PolicyRule) -> dict[str, int]:
    spec = {
        "family": _FAMILIES[rule.version],
        "priority": rule.priority,
        "fwmark": rule.mark,
        "table": rule.table,
    }
    if rule.least_prefix is not None:
        spec["FRA_SUPPRESS_PREFIXLEN"] = rule.least_prefix
    return spec
