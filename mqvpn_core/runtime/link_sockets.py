"""Opens the sockets of paths: bound to a link and an address, counted, and ready to be limited."""

from ipaddress import IPv6Address

from mqvpn_core.ids import SocketAddress
from mqvpn_core.runtime.limited_socket import LimitedSocket
from mqvpn_core.runtime.udp_opening import UdpOptions
from mqvpn_core.runtime.udp_sockets import UdpSocket
from mqvpn_core.runtime.usage_keeper import UsageKeeper
from mqvpn_helper.interface.host_plan import IPAddress


class LinkSockets:
    """Makes sockets. C: `open`."""

    def __init__(self, usage: UsageKeeper, mark: int | None = None) -> None:
        """Prepare.

        Args:
            usage: counts what goes through the sockets.
            mark: by which a kill switch knows them (takes CAP_NET_ADMIN); None: no mark.
        """
        self._usage = usage
        self._mark = mark

    def open(self, link_name: str, source: IPAddress) -> LimitedSocket:
        """Open a socket that sends from an address over a link, and over no other.

        Raises:
            HostError: the machine refuses.
        """
        socket = UdpSocket(
            SocketAddress(str(source), 0), UdpOptions(interface=link_name, mark=self._mark)
        )
        self._usage.watch(link_name, socket, is_ipv6=isinstance(source, IPv6Address))
        return LimitedSocket(socket)
