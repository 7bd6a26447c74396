"""The parts of a running client, for whoever accompanies it: status, reports, commands."""

from dataclasses import dataclass

from mqvpn_core.config import ClientConfig
from mqvpn_core.runtime.client_supervisor import ClientSupervisor
from mqvpn_core.runtime.event_log import EventLog
from mqvpn_core.runtime.link_watch import Links
from mqvpn_core.runtime.plan_keeper import PlanKeeper
from mqvpn_core.runtime.portal_keeper import PortalKeeper
from mqvpn_core.runtime.rule_board import RuleBoard
from mqvpn_core.runtime.tunnel_attempt import TunnelAttempts
from mqvpn_core.runtime.usage_keeper import UsageKeeper


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientParts:
    """One client."""

    config: ClientConfig
    """Its settings."""
    tun_name: str
    """Its TUN device."""
    keeper: PlanKeeper
    """What is in force on the machine."""
    portal: PortalKeeper
    """The exception from its kill switch."""
    supervisor: ClientSupervisor
    """Its lifecycle."""
    attempts: TunnelAttempts
    """Its connections."""
    links: Links
    """The links of the machine."""
    board: RuleBoard
    """The user's rules for them."""
    usage: UsageKeeper
    """What they have carried, and may."""
    events: EventLog
    """What has happened."""
