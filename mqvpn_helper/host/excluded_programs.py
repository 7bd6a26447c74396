"""Ways past the tunnel for marked packets: those of programs that the user keeps out of it.

The firewall marks them. Here two policy rules lead what is marked first to the main table, without
its default routes and our two halves of everything, then to a table of copies of the default
routes over physical links. The copies are brought up to date whenever a plan is applied.
"""

import logging

from mqvpn_helper.host.kill_switch_rules import EXCLUDED_MARK
from mqvpn_helper.host.netlink_config import NetlinkConfig
from mqvpn_helper.host.policy_rules import MAIN_TABLE, PolicyRule
from mqvpn_helper.host.routes import Route

_LOGGER = logging.getLogger(__name__)

_TABLE = 0x6D72
_FIRST_PRIORITY = 28001
_HALF = 1

_RULES = tuple(
    rule
    for version in (4, 6)
    for rule in (
        PolicyRule(
            version=version,
            priority=_FIRST_PRIORITY,
            mark=EXCLUDED_MARK,
            table=MAIN_TABLE,
            least_prefix=_HALF,
        ),
        PolicyRule(
            version=version,
            priority=_FIRST_PRIORITY + 1,
            mark=EXCLUDED_MARK,
            table=_TABLE,
            least_prefix=None,
        ),
    )
)


def lead_excluded_programs(netlink: NetlinkConfig) -> None:
    """Bring rules and copies to the present state of the links.

    Args:
        netlink: open conversation.
    """
    wanted = {route for route in netlink.routes() if _is_default(route)}
    present = set(netlink.routes(_TABLE))
    for route in wanted - present:
        _LOGGER.debug("copy the default route over interface %d", route.ifindex)
        netlink.add_route(route, table=_TABLE, replace=True)
    for route in present - wanted:
        _LOGGER.debug("remove the copy of the default route over interface %d", route.ifindex)
        netlink.remove_route(route, table=_TABLE)
    have = netlink.rules(EXCLUDED_MARK)
    for rule in _RULES:
        if rule not in have:
            _LOGGER.debug("add the policy rule %d", rule.priority)
            netlink.add_rule(rule)


def forget_excluded_programs(netlink: NetlinkConfig) -> bool:
    """Remove rules and copies.

    Args:
        netlink: open conversation.

    Returns:
        Whether there were any.
    """
    rules = netlink.rules(EXCLUDED_MARK)
    for rule in rules:
        _LOGGER.debug("remove the policy rule %d", rule.priority)
        netlink.remove_rule(rule)
    copies = netlink.routes(_TABLE)
    for route in copies:
        _LOGGER.debug("remove the copy of the default route over interface %d", route.ifindex)
        netlink.remove_route(route, table=_TABLE)
    return bool(rules or copies)


def _is_default(route: Route) -> bool:
    return route.destination.prefixlen == 0 and route.usable and not route.is_ours
