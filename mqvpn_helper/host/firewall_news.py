"""What the kernel tells of the firewall: whether somebody has removed tables.

Reloading a firewall usually empties every table first, those of others included. Whoever has a
kill switch there wants to know at once, and not when something else happens to change.
"""

import errno
import socket
import struct

from mqvpn_helper.host.failures import HostChangeError

_AF_NETLINK = 16
_NETLINK_NETFILTER = 12
_SOL_NETLINK = 270
_NETLINK_ADD_MEMBERSHIP = 1
_NFTABLES_GROUP = 7
_DELETED_TABLE = 10 << 8 | 2  # NFNL_SUBSYS_NFTABLES, NFT_MSG_DELTABLE
_HEADER = struct.Struct("=IHHII")
_ALIGNMENT = 4
_MAX_MESSAGE = 65536


class FirewallNews:
    """Notifications of the kernel about nftables. A: `fileno`. B: `take`. C: `close`."""

    def __init__(self) -> None:
        """Listen from now on, in the network namespace of this thread.

        Raises:
            HostChangeError: the kernel has no nftables, or the privilege is missing.
        """
        try:
            self._socket = socket.socket(
                _AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_NETFILTER
            )
            self._socket.bind((0, 0))  # without an address of its own it would hear nothing
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _NFTABLES_GROUP)
        except OSError as error:
            raise HostChangeError(f"changes of the firewall cannot be followed: {error}") from error

    def fileno(self) -> int:
        """Return what becomes readable when there is news."""
        return self._socket.fileno()

    def take(self) -> bool:
        """Read what is there; whether a table may have been removed, ours or another."""
        has_removed = False
        while True:
            try:
                data = self._socket.recv(_MAX_MESSAGE)
            except BlockingIOError:
                return has_removed
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                has_removed = True  # so much has changed that some of it was left out
            else:
                has_removed |= names_removed_table(data)

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()


def names_removed_table(data: bytes) -> bool:
    """Return whether netlink messages say that a table was removed.

    Args:
        data: messages, one behind the other.
    """
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        if kind == _DELETED_TABLE:
            return True
        data = data[max(-(-length // _ALIGNMENT) * _ALIGNMENT, _HEADER.size) :]
    return False
