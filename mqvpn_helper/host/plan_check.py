"""Is a host plan possible at all? Asked before anything is touched."""

import re
from ipaddress import IPv6Interface

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.firewall import seconds_since_boot
from mqvpn_helper.host.tun import check_tun_name
from mqvpn_helper.interface.host_plan import HostPlan, KillSwitch, KillSwitchMode, Split

_MIN_MTU = 68
_MAX_MTU = 65535
_MIN_IPV6_MTU = 1280  # RFC 8200 s5
_MAX_ENTRIES = 4096
_MAX_SERVERS = 64
_MAX_CGROUPS = 64
_MAX_CGROUP_PATH = 1024
_MAX_PORT = 65535
_NO_UID = 0xFFFFFFFF
_LONGEST_PORTAL = 3600.0
_CGROUP_PART = re.compile(r"[A-Za-z0-9_.@:\\-]+")
_LINK_NAME = re.compile(r"[A-Za-z0-9_.@+~#=,-]{1,15}")
_RESERVED_LINK_NAMES = frozenset({"all", "default", "lo", ".", ".."})


def check_plan(plan: HostPlan) -> None:
    """Refuse a plan that no machine can fulfil.

    Args:
        plan: desired state.

    Raises:
        HostChangeError: the plan is impossible; the message says where.
    """
    check_tun_name(plan.tun_name)
    has_ipv6 = any(isinstance(address, IPv6Interface) for address in plan.addresses)
    least = _MIN_IPV6_MTU if has_ipv6 else _MIN_MTU
    if not least <= plan.mtu <= _MAX_MTU:
        reason = "IPv6 needs at least 1280" if has_ipv6 else f"{_MIN_MTU} to {_MAX_MTU}"
        raise HostChangeError(f"{plan.mtu} cannot be the MTU of {plan.tun_name}: {reason}")
    for address in plan.addresses:
        if address.ip.is_multicast or address.ip.is_unspecified or address.ip.is_loopback:
            raise HostChangeError(f"{address.ip} cannot be the address of {plan.tun_name}")
    for name, entries in (
        ("addresses", plan.addresses),
        ("routes", plan.routes),
        ("bypass", plan.bypass),
        ("nat_sources", plan.nat_sources),
        ("dns", plan.dns),
        ("links", plan.links),
    ):
        if len(entries) > _MAX_ENTRIES:
            raise HostChangeError(f"the plan has {len(entries)} {name}; {_MAX_ENTRIES} are allowed")
    for name in plan.links:
        _check_link_name(name)
    if plan.split is not None:
        _check_split(plan.split)
    if plan.kill_switch is not None:
        _check_kill_switch(plan, plan.kill_switch)


def _check_split(split: Split) -> None:
    if len(split.networks) > _MAX_ENTRIES or len(split.cgroups) > _MAX_CGROUPS:
        raise HostChangeError("the plan excludes too many networks or control groups")
    for path in split.cgroups:
        parts = path.split("/")
        if (
            len(path) > _MAX_CGROUP_PATH
            or _CGROUP_PART.fullmatch("".join(parts)) is None
            or not all(part.strip(".") for part in parts)
        ):
            raise HostChangeError(f"{path!r} is not the path of a control group")


def _check_kill_switch(plan: HostPlan, switch: KillSwitch) -> None:
    if switch.mode is KillSwitchMode.OFF:
        raise HostChangeError("a plan without kill switch has none, not one that is off")
    if plan.forward_ipv4 or plan.forward_ipv6 or plan.nat_sources:
        raise HostChangeError(
            "a server cannot have a kill switch: its clients reach other networks"
        )
    if len(switch.servers) > _MAX_SERVERS or len(switch.name_servers) > _MAX_SERVERS:
        raise HostChangeError(f"the kill switch has more than {_MAX_SERVERS} servers")
    if any(not 0 < server.port <= _MAX_PORT for server in switch.servers):
        raise HostChangeError("a server has no UDP port")
    if switch.core_uid is not None and not 0 < switch.core_uid < _NO_UID:
        raise HostChangeError(f"{switch.core_uid} cannot be the user of the core")
    if switch.portal is not None:
        _check_link_name(switch.portal.interface)
        if switch.portal.until > seconds_since_boot() + _LONGEST_PORTAL:
            raise HostChangeError("a captive portal is let through for an hour at most")


def _check_link_name(name: str) -> None:
    # Safe in sysctl paths and in nftables text.
    if _LINK_NAME.fullmatch(name) is None or name in _RESERVED_LINK_NAMES:
        raise HostChangeError(f"{name!r} is not the name of a physical link")
