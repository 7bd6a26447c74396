"""Which links a connection is started over: those the rules choose, or what the machine would take.

A server that no chosen link leads to may still be reachable: on this machine itself, or through
somebody's tunnel. That is tried as a detour, unless the user named his links.
"""

from collections.abc import Sequence
from ipaddress import ip_address

from mqvpn_core.config import AUTO_PATHS, LinkRole
from mqvpn_core.errors import HostError
from mqvpn_core.ids import SocketAddress
from mqvpn_core.runtime.dialing import Candidate
from mqvpn_core.runtime.host_operations import HostOperations, LinkInfo
from mqvpn_core.runtime.link_sockets import LinkSockets
from mqvpn_core.runtime.link_watch import Links
from mqvpn_core.runtime.named_links import named_link
from mqvpn_core.runtime.rule_board import RuleBoard
from mqvpn_core.tunnel.link_rules import DialTarget, asked_role, dial_targets, role_of
from mqvpn_core.tunnel.link_table import LinkMedium
from mqvpn_helper.interface.host_plan import IPAddress

_PATTERN_SIGNS = frozenset("*?[")
_NO_HARDWARE = frozenset({LinkMedium.TUNNEL, LinkMedium.LOOPBACK})
_USABLE = frozenset(LinkRole) - {LinkRole.NEVER}


class ClientLinks:
    """The links of a client as the start of a connection needs them.

    A: `links`, `board`, `sockets`, `find_candidates`.
    """

    def __init__(
        self, links: Links, board: RuleBoard, host: HostOperations, sockets: LinkSockets
    ) -> None:
        """Prepare.

        Args:
            links: the links of this machine.
            board: the user's rules.
            host: says which way the machine itself would take.
            sockets: makes sockets on links.
        """
        self.links = links
        """The links of this machine."""
        self.board = board
        """The user's rules."""
        self.sockets = sockets
        """Makes sockets on links."""
        self._host = host

    async def find_candidates(self, addresses: Sequence[SocketAddress]) -> list[Candidate]:
        """Return the ways to a server, best first.

        Raises:
            HostError: there are none; the message says why.
        """
        by_host = {ip_address(address.host): address for address in addresses}
        table = await self.links.find_ways(by_host)
        targets = dial_targets(table, self.board.rules, by_host)
        if targets:
            return [
                Candidate(remote=by_host[target.way.server], link=_info(target))
                for target in targets
            ]
        refusals: list[str] = []
        detours: list[Candidate] = []
        for address, remote in by_host.items():
            found = await self._detours(address, refusals)
            detours += [Candidate(remote=remote, link=link, is_detour=True) for link in found]
        if not detours:
            known = "; ".join(dict.fromkeys(refusals))
            raise HostError(known or "no link leads to the server: is the network up?")
        return detours

    async def _detours(self, address: IPAddress, refusals: list[str]) -> list[LinkInfo]:
        found: list[LinkInfo] = []
        for name in self.board.rules.paths:
            if name != AUTO_PATHS and not _PATTERN_SIGNS & set(name):
                try:
                    found.append(named_link(name, address))
                except HostError as error:
                    refusals.append(str(error))
        if AUTO_PATHS in self.board.rules.paths:
            link = await self._host.link_towards(address)
            found += [link] if link is not None else []
        return [link for link in found if self._may_use(link, refusals)]

    def _may_use(self, detour: LinkInfo, refusals: list[str]) -> bool:
        """Tell whether nothing the user said forbids a link; that it was not chosen does not."""
        rules = self.board.rules
        if detour.name in rules.used_up:
            refusals.append(f"the data cap of {detour.name} is reached")
            return False
        if asked_role(rules, detour.name) is LinkRole.NEVER:
            refusals.append(f"{detour.name} is not to be used: its role is never")
            return False
        link = self.links.table.links.get(detour.ifindex)
        if link is None or link.medium in _NO_HARDWARE or role_of(rules, link) in _USABLE:
            return True
        refusals.append(f"{detour.name} is among the links to be ignored")
        return False


def _info(target: DialTarget) -> LinkInfo:
    link = target.link
    return LinkInfo(ifindex=link.ifindex, name=link.name, source=target.way.source, mtu=link.mtu)
