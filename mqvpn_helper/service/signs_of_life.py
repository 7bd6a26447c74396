"""Shows systemd that the helper's loop turns; that it is ready is said by its name on the bus."""

import contextlib
import socket

import trio

from mqvpn_helper.interface.service_notices import ALIVE, ServiceOrders


async def show_signs_of_life(orders: ServiceOrders) -> None:
    """Show them until cancelled; nothing where nobody wants them.

    Args:
        orders: what the service manager wants.
    """
    while orders.beat_seconds is not None:
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender,
        ):
            sender.sendto(ALIVE, orders.address)
        await trio.sleep(orders.beat_seconds)
