"""nftables: one generated text, loaded in one transaction, removed as one table.

Each TUN device has a table of its own, ``inet mqvpn_<tun>``: two instances cannot disturb each
other, and ``nft delete table inet mqvpn_<tun>`` is the whole manual recovery.
"""

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.kill_switch_rules import (
    EXCLUDED_MARK,
    KILL_SWITCH_CHAIN,
    kill_switch_parts,
    portal_element,
)
from mqvpn_helper.host.nft_text import by_family, chain, nft_set
from mqvpn_helper.host.programs import SEARCH_PATH, run_program
from mqvpn_helper.interface.host_plan import HostPlan, IPNetwork, Split

_TABLE_PREFIX = "mqvpn_"
# Not $PATH: this runs as root.
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
    parts: list[str] = []
    if plan.nat_sources or plan.isolate_clients or plan.forward_ipv4 or plan.forward_ipv6:
        parts += [_forward_chain(plan), _output_chain(plan)]
    if plan.nat_sources:
        parts.append(_nat_chain(plan))
    if plan.kill_switch is not None:
        parts += kill_switch_parts(plan, plan.kill_switch)
    if plan.split is not None and plan.split.cgroups:
        parts += _excluded_program_chains(plan.tun_name, plan.split)
    if not parts:
        return None
    table = table_name(plan.tun_name)
    body = "\n".join(parts)
    # Naming the table first makes the deletion succeed when there is none yet.
    return f"table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n{body}\n}}\n"


def portal_opening(plan: HostPlan, now: float) -> str:
    """Return what opens the hole for a captive portal; empty when there is none.

    Args:
        plan: desired state.
        now: CLOCK_BOOTTIME.
    """
    portal = None if plan.kill_switch is None else plan.kill_switch.portal
    return "" if portal is None else portal_element(table_name(plan.tun_name), portal, now)


def _forward_chain(plan: HostPlan) -> str:
    tun = f'"{plan.tun_name}"'
    rules = []
    if plan.isolate_clients:
        rules.append(f"iifname {tun} oifname {tun} counter drop")
    # While the device is away (a crash, a restart), the table waits for the next process and the
    # routing table sends packets for clients to the default gateway: unencrypted, and to whoever
    # has their addresses there and answers by a reset.
    rules += [
        f"{family} daddr {nft_set(networks)} oifname != {tun} drop"
        for family, networks in by_family(_forwarded(plan))
    ]
    # NAT passes by what connection tracking cannot place: it would leave with an inner address,
    # and the far host, who knows no such connection, would answer by a reset.
    rules += [
        f"iifname {tun} {family} saddr {nft_set(networks)} ct state invalid drop"
        for family, networks in by_family(plan.nat_sources)
    ]
    # Hosts on either side often never see the packet-too-big that tells them the tunnel's MTU.
    clamp = "tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu"
    rules += [f"iifname {tun} {clamp}", f"oifname {tun} {clamp}"]
    return chain("forward", "type filter hook forward priority filter; policy accept;", rules)


def _output_chain(plan: HostPlan) -> str:
    tun = f'oifname "{plan.tun_name}"'
    rules = [
        # Between two clients a packet leaves by the link it came from; the kernel would tell the
        # sender of a shorter way, which does not exist.
        f"{tun} icmp type redirect drop",
        # A forwarding kernel joins router groups on every link and reports it.
        f"{tun} icmpv6 type {{ mld-listener-report, mld2-listener-report }} drop",
    ]
    return chain("output", "type filter hook output priority filter; policy accept;", rules)


def _nat_chain(plan: HostPlan) -> str:
    other_links = f'oifname != "{plan.tun_name}"'
    rules = [
        f"{other_links} {family} saddr {nft_set(networks)} masquerade"
        for family, networks in by_family(plan.nat_sources)
    ]
    return chain("postrouting", "type nat hook postrouting priority srcnat; policy accept;", rules)


def _excluded_program_chains(tun_name: str, split: Split) -> list[str]:
    """Mark what excluded programs send; a policy rule leads it past the tunnel.

    Their questions for names stay inside: the answer would tell the network what they do.
    """
    marking = [
        f'socket cgroupv2 level {path.count("/") + 1} "{path}" meta l4proto != {{ tcp, udp }}'
        f" meta mark set {EXCLUDED_MARK}"
        for path in split.cgroups
    ]
    marking += [
        f'socket cgroupv2 level {path.count("/") + 1} "{path}" th dport != {{ 53, 853 }}'
        f" meta mark set {EXCLUDED_MARK}"
        for path in split.cgroups
    ]
    # Their sockets chose the tunnel's address before the mark was set.
    hiding = [f'meta mark {EXCLUDED_MARK} oifname != {{ "lo", "{tun_name}" }} masquerade']
    return [
        chain("excluded", "type route hook output priority mangle; policy accept;", marking),
        chain(
            "excluded_source", "type nat hook postrouting priority srcnat; policy accept;", hiding
        ),
    ]


def _forwarded(plan: HostPlan) -> Iterable[IPNetwork]:
    wanted = {4: plan.forward_ipv4, 6: plan.forward_ipv6}
    return [address.network for address in plan.addresses if wanted[address.version]]


class Nft:
    """Runs the ``nft`` command in the calling thread's network namespace."""

    def __init__(self, search_path: str = SEARCH_PATH) -> None:
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

    def table_text(self, tun_name: str) -> str:
        """Return the table of a TUN device, which exists, as `load` takes it.

        Args:
            tun_name: the device.
        """
        return self._run(["--stateless", "list", "table", "inet", table_name(tun_name)], "")

    def has_kill_switch(self, tun_name: str) -> bool:
        """Return whether the table of a TUN device, which exists, blocks traffic outside it.

        Args:
            tun_name: the device.
        """
        return any(
            table == f"inet {table_name(tun_name)}" and name == KILL_SWITCH_CHAIN
            for table, name, _ in self._chains()
        )

    def foreign_forward_drops(self, tun_name: str) -> tuple[str, ...]:
        """Return the chains of others that drop forwarded packets unless told otherwise.

        A packet must pass every table: ours cannot accept what another one drops.

        Args:
            tun_name: the device whose table is not foreign.
        """
        own = f"inet {table_name(tun_name)}"
        return tuple(
            f"{table} {name}"
            for table, name, hook in self._chains()
            if table != own
            and hook[-2:] == ["policy", "drop;"]
            and hook[:4] == ["type", "filter", "hook", "forward"]
        )

    def _chains(self) -> Iterator[tuple[str, str, list[str]]]:
        """Yield table, name and hook of every chain; a chain without hook has no words there."""
        table = name = ""
        for line in self._run(["list", "chains"], "").splitlines():
            match line.split():
                case ["table", family, named, "{"]:
                    table = f"{family} {named}"
                case ["chain", named, "{"]:
                    name = named
                    yield table, name, []
                case ["type", *_] as hook:
                    yield table, name, hook
                case _:
                    pass

    def _run(self, arguments: Sequence[str], text: str) -> str:
        command = shutil.which("nft", path=self._search_path)
        if command is None:
            raise HostChangeError(
                "the nft command is missing; it installs the server's NAT and forwarding rules and "
                "the client's kill switch: install the package nftables"
            )
        return run_program(
            [command, *arguments],
            text,
            search_path=self._search_path,
            seconds=_DEADLINE,
            complaint="nft refused the firewall rules",
        )
