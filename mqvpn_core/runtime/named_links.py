"""A link that the user named: the source address and the MTU that lead from it to the server."""

import socket

from mqvpn_core.errors import HostError
from mqvpn_core.ids import IfIndex
from mqvpn_core.runtime.host_operations import LinkInfo
from mqvpn_helper.interface.host_plan import IPAddress

_IP_MTU = 14
_IPV6_MTU = 24
_ANY_PORT = 9  # nothing is sent to it
_IPV4 = 4


def named_link(interface: str, address: IPAddress) -> LinkInfo:
    """Return the link with the source address that it would use towards ``address``.

    Raises:
        HostError: there is no such link, or it does not lead there.
    """
    is_ipv4 = address.version == _IPV4
    family = socket.AF_INET if is_ipv4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            # Connecting a UDP socket sends nothing: it only makes the kernel choose.
            probe.connect((str(address), _ANY_PORT))
            level, option = (
                (socket.IPPROTO_IP, _IP_MTU) if is_ipv4 else (socket.IPPROTO_IPV6, _IPV6_MTU)
            )
            mtu = probe.getsockopt(level, option)
            source = str(probe.getsockname()[0]).partition("%")[0]
        ifindex = IfIndex(socket.if_nametoindex(interface))
    except OSError as error:
        raise HostError(f"{interface} does not lead to {address}: {error.strerror}") from error
    return LinkInfo(ifindex=ifindex, name=interface, source=type(address)(source), mtu=mtu)
