"""Network namespaces without a name: they live as long as this process holds them open.

Owns making them, joining them by veth pairs and running things inside. Each namespace has one
thread that has entered it; work and child processes start from there, so that they belong to it.
Nothing is visible to the rest of the machine, and nothing can be left behind: when the holder is
gone, by whatever way, the kernel removes namespace, links and routes, and children get SIGKILL.
"""

import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Interface, IPv6Network, ip_interface, ip_network
from pathlib import Path
from socket import AF_INET, AF_INET6
from typing import TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink import nlmsg_base
from pyroute2.netlink.exceptions import NetlinkError

from mqvpn_core.demo.processes import Process, start_process, stop_process
from mqvpn_core.errors import HostError

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_IFA_F_NODAD = 0x02
_TC_H_ROOT = 0xFFFF0000
_RT_TABLE_LOCAL = 255
_ADDRESS_TRIES = 500
_ADDRESS_PAUSE = 0.01
_FORWARDING = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")
_ROUTE_PARTS = (
    ("to", "RTA_DST"),
    ("via", "RTA_GATEWAY"),
    ("metric", "RTA_PRIORITY"),
    ("table", "RTA_TABLE"),
)
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCounters:
    """What one link has carried, in bytes."""

    received_bytes: int
    """Bytes that came in."""
    sent_bytes: int
    """Bytes that went out."""


class NetworkNamespace:
    """One namespace: its links, addresses, routes, and the processes started in it."""

    def __init__(self, label: str) -> None:
        """Make the namespace and bring its loopback up.

        Args:
            label: what messages call it.
        """
        self.label = label
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"netns-{label}")
        try:
            self._netlink = self.call(_enter_new_namespace)
        except OSError:
            self._thread.shutdown()
            raise
        self._processes: list[Process] = []
        # Nobody else is on these links: waiting two seconds for a duplicate address shows nothing.
        self.write_sysctl("ipv6/conf/default/accept_dad", "0")
        self.set_link("lo", up=True)

    def call(self, work: Callable[[], T]) -> T:
        """Run ``work`` in the namespace's thread and return its result."""
        return self._thread.submit(work).result()

    def close(self) -> None:
        """End the processes in the namespace, then let go of it."""
        for process in reversed(self._processes):
            stop_process(process)
        self.call(self._netlink.close)
        self._thread.shutdown()

    @property
    def path(self) -> str:
        """Where the kernel shows the namespace while it is held, for ``nsenter --net=PATH``."""
        return f"/proc/{os.getpid()}/task/{self.call(threading.get_native_id)}/ns/net"

    # Processes

    def start(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start a program in the namespace; it ends with the namespace at the latest.

        Args:
            command: program and arguments.
            log: file that collects what it writes.
            environment: variables to add.
        """
        process = self.call(lambda: start_process(command, log, environment or {}))
        self._processes.append(process)
        return process

    # Network

    def set_link(self, interface: str, *, up: bool) -> None:
        """Bring a link up or take it down."""
        state = "up" if up else "down"
        self.call(lambda: self._netlink.link("set", index=self._index(interface), state=state))

    def set_mtu(self, interface: str, mtu: int) -> None:
        """Change the MTU of a link."""
        self.call(lambda: self._netlink.link("set", index=self._index(interface), mtu=mtu))

    def add_address(self, interface: str, address: str) -> None:
        """Give a link an address with its prefix; IPv6 is usable at once (no DAD)."""
        value = ip_interface(address)
        flags = {"flags": _IFA_F_NODAD} if isinstance(value, IPv6Interface) else {}
        self.call(
            lambda: self._netlink.addr(
                "add",
                index=self._index(interface),
                address=str(value.ip),
                prefixlen=value.network.prefixlen,
                **flags,
            )
        )

    def wait_for_addresses(self) -> None:
        """Wait until the kernel uses all IPv6 addresses, which it does a moment after links are up.

        Raises:
            HostError: it takes longer than some seconds.
        """
        for _ in range(_ADDRESS_TRIES):
            if not self.call(self._unused_addresses):
                return
            time.sleep(_ADDRESS_PAUSE)
        raise HostError(f"{self.label}: some addresses are not in use")

    def delete_address(self, interface: str, address: str) -> None:
        """Take an address away from a link."""
        value = ip_interface(address)
        self.call(
            lambda: self._netlink.addr(
                "del",
                index=self._index(interface),
                address=str(value.ip),
                prefixlen=value.network.prefixlen,
            )
        )

    def add_route(self, destination: str, gateway: str, *, metric: int = 100) -> None:
        """Route a network to a neighbour; ``0.0.0.0/0`` and ``::/0`` are the default routes."""
        network = ip_network(destination)
        self.call(
            lambda: self._netlink.route(
                "add",
                dst=str(network),
                gateway=gateway,
                priority=metric,
                family=AF_INET6 if isinstance(network, IPv6Network) else AF_INET,
            )
        )

    def forward_packets(self) -> None:
        """Make this namespace a router of both families."""
        for key in _FORWARDING:
            self.write_sysctl(key, "1")

    def write_sysctl(self, key: str, value: str) -> None:
        """Set a value below /proc/sys/net of this namespace."""
        self.call(lambda: Path("/proc/sys/net", key).write_text(value, encoding="ascii"))

    def read_sysctl(self, key: str) -> str:
        """Read a value below /proc/sys/net of this namespace."""
        return self.call(lambda: _sysctl(key))

    def limit_rate(self, interface: str, bits_per_second: int) -> bool:
        """Let a link send no faster than this; False where the kernel has no token bucket."""

        def add_token_bucket() -> bool:
            try:
                self._netlink.tc(
                    "add",
                    "tbf",
                    self._index(interface),
                    _TC_H_ROOT,
                    rate=f"{bits_per_second}bit",
                    burst=max(16_384, bits_per_second // 800),
                    latency="40ms",
                )
            except NetlinkError:
                return False
            return True

        return self.call(add_token_bucket)

    def counters(self, interface: str) -> LinkCounters:
        """What a link has carried so far.

        Raises:
            HostError: there is no such link.
        """
        columns = self.call(_link_table).get(interface)
        if columns is None:
            raise HostError(f"{self.label}: there is no link {interface}")
        return LinkCounters(received_bytes=columns[0], sent_bytes=columns[8])

    def links(self) -> list[str]:
        """Names of all links."""
        return sorted(self.call(_link_table))

    def host_state(self) -> tuple[str, ...]:
        """Addresses, routes, rules, forwarding and nftables as text, to compare."""
        return self.call(self._describe)

    def _describe(self) -> tuple[str, ...]:
        netlink = self._netlink
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in netlink.get_links()}
        addresses = [
            f"address {names[each['index']]} {each.get_attr('IFA_ADDRESS')}/{each['prefixlen']}"
            for each in netlink.get_addr()
        ]
        routes = [_describe_route(each, names) for each in netlink.get_routes()]
        rules = [
            f"rule family={family} priority={each.get_attr('FRA_PRIORITY')} table={each['table']}"
            for family in (AF_INET, AF_INET6)
            for each in netlink.get_rules(family=family)
        ]
        forwarding = [f"{key} {_sysctl(key)}" for key in _FORWARDING]
        listing = ["nft", "list", "ruleset"]
        tables = subprocess.run(listing, capture_output=True, text=True, check=True)
        # Link-local addresses come and go with the state of a link, by the kernel's own hand.
        lines = [*addresses, *routes, *rules, *forwarding, *tables.stdout.splitlines()]
        return tuple(sorted(line for line in lines if "fe80:" not in line and "ff00:" not in line))

    def _unused_addresses(self) -> set[str]:
        """Those that packets are not delivered to yet."""
        netlink = self._netlink
        given = {str(each.get_attr("IFA_ADDRESS")) for each in netlink.get_addr(family=AF_INET6)}
        local = netlink.get_routes(family=AF_INET6, table=_RT_TABLE_LOCAL)
        used = {str(each.get_attr("RTA_DST")) for each in local}
        # The kernel's own link-local ones may take their time.
        return {each for each in given - used if not each.startswith("fe80:")}

    def _index(self, interface: str) -> int:
        found = self._netlink.link_lookup(ifname=interface)
        if not found:
            raise HostError(f"{self.label}: there is no link {interface}")
        return int(found[0])


@contextmanager
def namespaces(*labels: str) -> Iterator[tuple[NetworkNamespace, ...]]:
    """Hold a set of namespaces open for the length of a block."""
    with ExitStack() as held:
        made = []
        for label in labels:
            namespace = NetworkNamespace(label)
            held.callback(namespace.close)
            made.append(namespace)
        yield tuple(made)


def join(left: NetworkNamespace, left_name: str, right: NetworkNamespace, right_name: str) -> None:
    """Join two namespaces by a veth pair and bring both ends up."""
    left.call(lambda: _add_veth(left_name, right.path, right_name))
    left.set_link(left_name, up=True)
    right.set_link(right_name, up=True)


def _add_veth(name: str, peer_namespace: str, peer_name: str) -> None:
    descriptor = os.open(peer_namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with IPRoute() as netlink:
            netlink.link(
                "add",
                ifname=name,
                kind="veth",
                peer={"ifname": peer_name, "net_ns_fd": descriptor},
            )
    finally:
        os.close(descriptor)


def _describe_route(route: nlmsg_base, names: Mapping[int, object]) -> str:
    index = route.get_attr("RTA_OIF")
    device = names.get(index) if isinstance(index, int) else None
    parts = [f"{short}={route.get_attr(name)}" for short, name in _ROUTE_PARTS]
    return f"route {' '.join(parts)} length={route['dst_len']} dev={device}"


def _sysctl(key: str) -> str:
    return Path("/proc/sys/net", key).read_text(encoding="ascii").strip()


def _link_table() -> dict[str, list[int]]:
    """Columns of /proc/net/dev by link: 0 is bytes received, 8 is bytes sent."""
    lines = Path("/proc/thread-self/net/dev").read_text(encoding="ascii").splitlines()[2:]
    rows = (line.partition(":") for line in lines)
    return {name.strip(): [int(each) for each in numbers.split()] for name, _, numbers in rows}


def _enter_new_namespace() -> IPRoute:
    if _libc.unshare(_CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot make a network namespace: {os.strerror(code)}")
    return IPRoute()
