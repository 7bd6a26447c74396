"""Tells systemd that a client or a server is ready, what it does, and that it is alive.

A sign of life comes from the loop in which everything else runs: when that is stuck, systemd ends
the program and starts it anew.
"""

import contextlib
import os
import socket
from collections.abc import Callable

import trio

from mqvpn_helper.interface import service_notices
from mqvpn_helper.interface.service_notices import ServiceOrders, service_orders

_LOOK_SECONDS = 1.0


class ServiceManager:
    """The other end of NOTIFY_SOCKET; does nothing where there is none.

    C: `tell_ready`. Tasks: `run`.
    """

    def __init__(self, orders: ServiceOrders | None = None) -> None:
        """Prepare.

        Args:
            orders: what the service manager wants; what the environment says by default.
        """
        self._orders = service_orders(os.environ, os.getpid()) if orders is None else orders
        self._told = ""

    def tell_ready(self, status: str) -> None:
        """Say that the work has begun.

        Args:
            status: what it is.
        """
        self._told = status
        self._send(service_notices.ready(status))

    async def run(self, status: Callable[[], str]) -> None:
        """Show signs of life and what is being done until cancelled.

        Args:
            status: says what that is now.
        """
        if not self._orders.address:
            return
        beat = self._orders.beat_seconds
        next_beat = trio.current_time()
        while True:
            if beat is not None and trio.current_time() >= next_beat:
                self._send(service_notices.ALIVE)
                next_beat = trio.current_time() + beat
            text = status()
            if text != self._told:
                self._told = text
                self._send(service_notices.doing(text))
            await trio.sleep(_LOOK_SECONDS if beat is None else min(beat, _LOOK_SECONDS))

    def _send(self, notice: bytes) -> None:
        if not self._orders.address:
            return
        # Whoever does not listen is told again with the next sign of life.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender,
        ):
            sender.sendto(notice, self._orders.address)
