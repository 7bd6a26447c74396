"""The kill switch as text: which packets may leave beside the tunnel, and a chain for each answer.

It is an output chain and not a matter of routes: any process may bind its socket to a link and
walk past the routing table, but none walks past a filter. What is refused is refused at once, so
that programs try the tunnel's other address family instead of waiting.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address

from mqvpn_helper.host.nft_text import by_family, chain, nft_set
from mqvpn_helper.interface.host_plan import (
    CORE_MARK,
    CaptivePortal,
    HostPlan,
    IPNetwork,
    KillSwitch,
)

KILL_SWITCH_CHAIN = "kill_switch"
"""Name of the chain by which a table is known to hold a kill switch."""
EXCLUDED_MARK = 0x6D72
"""Mark of packets of excluded programs."""

_PRIORITY = "filter - 10"
_NAME_SERVICE = "{ 53, 853 }"
_NEIGHBOUR_DISCOVERY = "{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert }"
_MULTICAST_REPORTS = "{ mld-listener-report, mld-listener-done, mld2-listener-report }"
_PORTAL_PORTS = "{ 53, 80, 443, 8080, 8443 }"
_LAN_IPV4 = (
    "{ 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16, 224.0.0.0/24, 239.255.255.250,"
    " 255.255.255.255 }"
)
_LAN_IPV6 = "{ fc00::/7, fe80::/10, ff02::/16, ff05::c }"


def kill_switch_parts(plan: HostPlan, switch: KillSwitch) -> Sequence[str]:
    """Return sets and chains of a kill switch, to stand in the table of the TUN device.

    Args:
        plan: desired state.
        switch: its kill switch.
    """
    return (*_sets(switch), _output_chain(plan, switch), _forward_chain(plan, switch))


def portal_element(table: str, portal: CaptivePortal, now: float) -> str:
    """Return the command that opens the hole for a captive portal; empty when its time is over.

    The kernel closes it by itself, whatever has become of us by then.

    Args:
        table: name of the table.
        portal: the exception.
        now: CLOCK_BOOTTIME.
    """
    milliseconds = int((portal.until - now) * 1000)
    if milliseconds <= 0:
        return ""
    element = f'"{portal.interface}" timeout {milliseconds}ms'
    return f"add element inet {table} portal {{ {element} }}\n"


def _sets(switch: KillSwitch) -> list[str]:
    sets = []
    for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        endpoints = [
            f"{server.address} . {server.port}"
            for server in dict.fromkeys(switch.servers)
            if server.address.version == version
        ]
        lines = [f"  set servers{version} {{", f"    type {kind} . inet_service"]
        if endpoints:
            lines.append(f"    elements = {nft_set(endpoints)}")
        sets.append("\n".join([*lines, "  }"]))
    sets.append("  set portal {\n    type ifname\n    flags timeout\n  }")
    return sets


def _output_chain(plan: HostPlan, switch: KillSwitch) -> str:
    core = f"meta mark {CORE_MARK}" if switch.core_uid is None else f"meta skuid {switch.core_uid}"
    rules = [
        'oifname "lo" accept',
        f'oifname "{plan.tun_name}" accept',
        f"{core} ip daddr . udp dport @servers4 accept",
        f"{core} ip6 daddr . udp dport @servers6 accept",
    ]
    rules += [
        f"{core} {'ip' if isinstance(server, IPv4Address) else 'ip6'} daddr {server}"
        f" meta l4proto {{ tcp, udp }} th dport 53 accept"
        for server in dict.fromkeys(switch.name_servers)
    ]
    rules += [
        # RFC 2131 s4.1, RFC 8415 s7.2. Only root may send from these ports.
        "udp sport 68 udp dport 67 accept",
        "ip6 daddr { ff02::1:2, fe80::/10 } udp sport 546 udp dport 547 accept",
        # RFC 4861 s6.1 and s7.1: from a neighbour, never through a router. Switches that follow
        # multicast memberships need the reports, or solicitations do not arrive (RFC 4862 s5.4.2).
        f"ip6 hoplimit 255 icmpv6 type {_NEIGHBOUR_DISCOVERY} accept",
        f"ip6 daddr ff02::/16 icmpv6 type {_MULTICAST_REPORTS} accept",
        f"oifname @portal meta l4proto {{ tcp, udp }} th dport {_PORTAL_PORTS} accept",
        f"meta l4proto {{ tcp, udp }} th dport {_NAME_SERVICE} goto refused",
    ]
    if switch.allow_lan:
        rules += _lan_rules()
    rules += [
        f"{family} daddr {nft_set(nets)} accept" for family, nets in by_family(_outside(plan))
    ]
    if plan.split is not None and plan.split.cgroups:
        rules.append(f"meta mark {EXCLUDED_MARK} accept")
    rules.append("goto refused")
    hook = f"type filter hook output priority {_PRIORITY}; policy drop;"
    refused = chain(
        "refused",
        "",
        [
            "counter",
            "meta l4proto tcp reject with tcp reset",
            "reject with icmpx type admin-prohibited",
        ],
    )
    return f"{refused}\n{chain(KILL_SWITCH_CHAIN, hook, rules)}"


def _forward_chain(plan: HostPlan, switch: KillSwitch) -> str:
    """Hold what containers and virtual machines send to the same rule."""
    rules = [f'oifname "{plan.tun_name}" accept', f'iifname "{plan.tun_name}" accept']
    if switch.allow_lan:
        rules += _lan_rules()
    hook = f"type filter hook forward priority {_PRIORITY}; policy drop;"
    return chain(f"{KILL_SWITCH_CHAIN}_forward", hook, rules)


def _lan_rules() -> list[str]:
    return [f"ip daddr {_LAN_IPV4} accept", f"ip6 daddr {_LAN_IPV6} accept"]


def _outside(plan: HostPlan) -> tuple[IPNetwork, ...]:
    return () if plan.split is None else plan.split.networks
