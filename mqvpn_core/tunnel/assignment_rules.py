"""Can this machine have what a proxy gave?

Pure. The helper looks at the same once more, because it does not trust a core; a client without a
helper has only this. RFC 9484 s4.7.3: what a peer routes is used "subject to local policy".
"""

from mqvpn_core.tunnel.assignment import Assignment
from mqvpn_core.tunnel.host_plan import ClientHostSettings
from mqvpn_helper.interface.network_rules import (
    MachineNetworks,
    objection_to_address,
    objection_to_route,
)


def objection(
    assignment: Assignment, settings: ClientHostSettings, machine: MachineNetworks
) -> str | None:
    """Say what is wrong with an assignment, and what cures it; None when nothing is.

    Args:
        assignment: what the proxy gave.
        settings: the user's decisions.
        machine: where the machine is, beside the tunnel.
    """
    for address in assignment.addresses:
        if address.ip == assignment.server:
            reason: str | None = f"{address} is the server's own address"
        else:
            reason = objection_to_address(address, machine)
        if reason is not None:
            return (
                f"the server assigned what this machine cannot have: {reason};"
                " the server needs another pool of addresses (subnet)"
            )
    for network in assignment.routes if _takes_routes(settings) else ():
        reason = objection_to_route(network, machine)
        if reason is not None:
            return (
                f"the server advertises what it cannot be asked for: {reason};"
                " --routes default takes none of its routes"
            )
    return None


def _takes_routes(settings: ClientHostSettings) -> bool:
    return settings.manage_routes and not (settings.everything or settings.only_included)
