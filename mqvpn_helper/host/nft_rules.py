"""nftables: one generated text, loaded in one transaction, removed as one table.

Each TUN device has a table of its own, ``inet mqvpn_<tun>``: two instances cannot disturb each
other, and ``nft delete table inet mqvpn_<tun>`` is the whole manual recovery.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.interface.host_plan import HostPlan, IPNetwork

_TABLE_PREFIX = "mqvpn_"
# Not $PATH: this runs as root.
_SEARCH_PATH = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/run/current-system/sw/bin"
_OUR_TABLE = re.compile(rf"^table inet {_TABLE_PREFIX}(\S+)$", re.MULTILINE)
_DEADLINE = 15.0


def table_name(tun_name: str) -> str:
    """Return the name of the table that belongs to a TUN device."""
    return f"{_TABLE_PREFIX}{tun_name}"


def ruleset(plan: HostPlan) -> str | None:
    """Return the text that replaces our table by what the plan wants; None for no table.

    Args:
        plan: desired state.
    """
    if not (plan.nat_sources or plan.isolate_clients or plan.forward_ipv4 or plan.forward_ipv6):
        return None
    table = table_name(plan.tun_name)
    chains = [_forward_chain(plan), _output_chain(plan)]
    if plan.nat_sources:
        chains.append(_nat_chain(plan))
    body = "\n".join(chains)
    # Naming the table first makes the deletion succeed when there is none yet.
    return f"table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n{body}\n}}\n"


def _forward_chain(plan: HostPlan) -> str:
    tun = f'"{plan.tun_name}"'
    rules = []
    if plan.isolate_clients:
        rules.append(f"iifname {tun} oifname {tun} counter drop")
    # While the device is away (a crash, a restart), the table waits for the next process and the
    # routing table sends packets for clients to the default gateway: unencrypted, and to whoever
    # has their addresses there and answers by a reset.
    rules += [
        f"{family} daddr {_set(networks)} oifname != {tun} drop"
        for family, networks in _by_family(_forwarded(plan))
    ]
    # NAT passes by what connection tracking cannot place: it would leave with an inner address,
    # and the far host, who knows no such connection, would answer by a reset.
    rules += [
        f"iifname {tun} {family} saddr {_set(networks)} ct state invalid drop"
        for family, networks in _by_family(plan.nat_sources)
    ]
    # Hosts on either side often never see the packet-too-big that tells them the tunnel's MTU.
    clamp = "tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu"
    rules += [f"iifname {tun} {clamp}", f"oifname {tun} {clamp}"]
    return _chain("forward", "type filter hook forward priority filter; policy accept;", rules)


def _output_chain(plan: HostPlan) -> str:
    tun = f'oifname "{plan.tun_name}"'
    rules = [
        # Between two clients a packet leaves by the link it came from; the kernel would tell the
        # sender of a shorter way, which does not exist.
        f"{tun} icmp type redirect drop",
        # A forwarding kernel joins router groups on every link and reports it.
        f"{tun} icmpv6 type {{ mld-listener-report, mld2-listener-report }} drop",
    ]
    return _chain("output", "type filter hook output priority filter; policy accept;", rules)


def _nat_chain(plan: HostPlan) -> str:
    other_links = f'oifname != "{plan.tun_name}"'
    rules = [
        f"{other_links} {family} saddr {_set(networks)} masquerade"
        for family, networks in _by_family(plan.nat_sources)
    ]
    return _chain("postrouting", "type nat hook postrouting priority srcnat; policy accept;", rules)


def _forwarded(plan: HostPlan) -> Iterable[IPNetwork]:
    wanted = {4: plan.forward_ipv4, 6: plan.forward_ipv6}
    return [address.network for address in plan.addresses if wanted[address.version]]


def _by_family(networks: Iterable[IPNetwork]) -> Iterator[tuple[str, Iterable[IPNetwork]]]:
    """Group networks by the word that nft has for their family, without overlaps."""
    networks = tuple(networks)
    ipv4 = [network for network in networks if isinstance(network, IPv4Network)]
    ipv6 = [network for network in networks if isinstance(network, IPv6Network)]
    # A set refuses overlapping networks.
    if ipv4:
        yield "ip", collapse_addresses(ipv4)
    if ipv6:
        yield "ip6", collapse_addresses(ipv6)


def _set(networks: Iterable[IPNetwork]) -> str:
    return "{ " + ", ".join(str(network) for network in networks) + " }"


def _chain(name: str, hook: str, rules: Sequence[str]) -> str:
    # One rule a line: nft 1.0.6 does not parse some of them otherwise.
    lines = [f"    {line}" for line in (hook, *rules)]
    return "\n".join([f"  chain {name} {{", *lines, "  }"])


class Nft:
    """Runs the ``nft`` command in the calling thread's network namespace."""

    def __init__(self, search_path: str = _SEARCH_PATH) -> None:
        """Say where to look.

        Args:
            search_path: directories that may hold the command, separated by colons.
        """
        self._search_path = search_path

    @property
    def is_installed(self) -> bool:
        """Whether the command exists."""
        return shutil.which("nft", path=self._search_path) is not None

    def check(self, text: str) -> None:
        """Refuse a ruleset the kernel would refuse, changing nothing.

        Args:
            text: ruleset.

        Raises:
            HostChangeError: the ruleset, or nftables itself, cannot be used here.
        """
        self._run(["-c", "-f", "-"], text)

    def load(self, text: str) -> None:
        """Load a ruleset in one transaction.

        Args:
            text: ruleset.

        Raises:
            HostChangeError: nothing was changed.
        """
        self._run(["-f", "-"], text)

    def delete_table(self, tun_name: str) -> None:
        """Remove the table of a TUN device; one that is gone already is no error.

        Args:
            tun_name: the device.
        """
        table = table_name(tun_name)
        self._run(["-f", "-"], f"table inet {table}\ndelete table inet {table}\n")

    def tun_names_with_table(self) -> tuple[str, ...]:
        """Return the TUN devices that have a table of ours, whether they still exist or not."""
        return tuple(_OUR_TABLE.findall(self._run(["list", "tables"], "")))

    def foreign_forward_drops(self, tun_name: str) -> tuple[str, ...]:
        """Return the chains of others that drop forwarded packets unless told otherwise.

        A packet must pass every table: ours cannot accept what another one drops.

        Args:
            tun_name: the device whose table is not foreign.
        """
        found = []
        table = chain = ""
        for line in self._run(["list", "chains"], "").splitlines():
            match line.split():
                case ["table", family, name, "{"]:
                    table = f"{family} {name}"
                case ["chain", name, "{"]:
                    chain = name
                case words:
                    is_dropping = words[-2:] == ["policy", "drop;"]
                    if is_dropping and words[:4] == ["type", "filter", "hook", "forward"]:
                        found.append(f"{table} {chain}")
        return tuple(one for one in found if not one.startswith(f"inet {table_name(tun_name)} "))

    def _run(self, arguments: Sequence[str], text: str) -> str:
        command = shutil.which("nft", path=self._search_path)
        if command is None:
            raise HostChangeError(
                "the nft command is missing; it installs the server's NAT and forwarding rules: "
                "install the package nftables"
            )
        try:
            done = subprocess.run(  # noqa: S603 - absolute path, fixed arguments, text on stdin
                [command, *arguments],
                input=text,
                capture_output=True,
                text=True,
                timeout=_DEADLINE,
                check=False,
                env={"LC_ALL": "C", "PATH": self._search_path},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HostChangeError(f"cannot run {command}: {error}") from error
        if done.returncode != 0:
            reason = " ".join(done.stderr.split())[:500]
            raise HostChangeError(f"nft refused the firewall rules: {reason}")
        return done.stdout
