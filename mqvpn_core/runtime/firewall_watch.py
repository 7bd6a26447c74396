"""Tells when anybody changes the firewall of this machine.

Reloading a firewall usually empties every table first, those of others included. Whoever has a
kill switch there wants to know at once, and not when something else happens to change.
"""

import errno
import socket

import trio

from mqvpn_core.errors import HostError

_AF_NETLINK = 16
_NETLINK_NETFILTER = 12
_SOL_NETLINK = 270
_NETLINK_ADD_MEMBERSHIP = 1
_NFTABLES_GROUP = 7
_MAX_MESSAGE = 65536


class FirewallWatch:
    """Notifications of the kernel about nftables. C: `close`. Tasks: `wait_change`."""

    def __init__(self) -> None:
        """Listen from now on.

        Raises:
            HostError: the kernel has no nftables, or the privilege is missing (CAP_NET_ADMIN).
        """
        try:
            opened = socket.socket(
                _AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_NETFILTER
            )
            opened.bind((0, 0))  # without an address of its own it would hear nothing
            opened.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _NFTABLES_GROUP)
        except OSError as error:
            raise HostError(f"changes of the firewall cannot be followed: {error}") from error
        self._socket = trio.socket.from_stdlib_socket(opened)

    async def wait_change(self) -> None:
        """Wait for a change; several at once count as one."""
        await self._take()
        with trio.move_on_after(0):
            while True:
                await self._take()

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()

    async def _take(self) -> None:
        try:
            await self._socket.recv(_MAX_MESSAGE)
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # so much has changed that some of it was left out
                raise
