"""Is a host plan possible at all? Asked before anything is touched."""

from ipaddress import IPv6Interface

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.tun import check_tun_name
from mqvpn_helper.interface.host_plan import HostPlan

_MIN_MTU = 68
_MAX_MTU = 65535
_MIN_IPV6_MTU = 1280  # RFC 8200 s5
_MAX_ENTRIES = 4096


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
    ):
        if len(entries) > _MAX_ENTRIES:
            raise HostChangeError(f"the plan has {len(entries)} {name}; {_MAX_ENTRIES} are allowed")
