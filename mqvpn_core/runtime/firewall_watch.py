"""Tells when anybody has removed tables from the firewall of this machine."""

import trio

from mqvpn_core.runtime.local_host import follow_firewall


class FirewallWatch:
    """Notifications of the kernel about nftables. C: `close`. Tasks: `wait_change`."""

    def __init__(self) -> None:
        """Listen from now on.

        Raises:
            HostError: the kernel has no nftables, or the privilege is missing (CAP_NET_ADMIN).
        """
        self._news = follow_firewall()

    async def wait_change(self) -> None:
        """Wait until a table was removed; several at once count as one."""
        while True:
            await trio.lowlevel.wait_readable(self._news.fileno())
            if self._news.take():
                return

    def close(self) -> None:
        """Listen no more."""
        self._news.close()
