"""What is left of a plan on this machine, at this moment."""

from dataclasses import replace
from ipaddress import IPv6Interface, IPv6Network

from mqvpn_helper.host.firewall import seconds_since_boot
from mqvpn_helper.host.sysctls import ForwardingGroup
from mqvpn_helper.interface.host_plan import HostPlan


def wanted_groups(plan: HostPlan) -> tuple[ForwardingGroup, ...]:
    """Return the IP versions to be forwarded."""
    wanted = {ForwardingGroup.IPV4: plan.forward_ipv4, ForwardingGroup.IPV6: plan.forward_ipv6}
    return tuple(group for group, is_wanted in wanted.items() if is_wanted)


def as_of_now(plan: HostPlan) -> HostPlan:
    """Leave out what a captive portal would never answer through the tunnel, while it lasts."""
    portal = None if plan.kill_switch is None else plan.kill_switch.portal
    if portal is None or portal.until <= seconds_since_boot():
        return plan
    return replace(plan, routes=(), dns=())


def needs_ipv6(plan: HostPlan) -> bool:
    """Return whether anything in the plan takes a machine with IPv6."""
    return plan != without_ipv6(plan)


def without_ipv6(plan: HostPlan) -> HostPlan:
    """Return the plan for a machine that has no IPv6."""
    return replace(
        plan,
        addresses=tuple(one for one in plan.addresses if not isinstance(one, IPv6Interface)),
        routes=tuple(one for one in plan.routes if not isinstance(one, IPv6Network)),
        nat_sources=tuple(one for one in plan.nat_sources if not isinstance(one, IPv6Network)),
        forward_ipv6=False,
    )
