"""Make an interface compute checksums and cut segments itself, as ``ethtool -K`` does.

Between the two ends of a veth pair Linux leaves both out, so whoever looks at the packets in
between sees wrong checksums and packets of 64 kB.
"""

import ctypes
import fcntl
import socket
import struct

from mqvpn_core.demo.namespaces import NetworkNamespace

_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x17
_ETHTOOL_STSO = 0x1F
_ETHTOOL_SGSO = 0x24


def switch_offloads_off(namespace: NetworkNamespace, interface: str) -> None:
    """Switch the offloads of one interface off."""
    namespace.call(lambda: _switch_off(interface))


def _switch_off(interface: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for command in (_ETHTOOL_SGSO, _ETHTOOL_STSO, _ETHTOOL_STXCSUM):
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(value))
            fcntl.ioctl(asked, _SIOCETHTOOL, request)
