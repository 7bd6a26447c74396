"""What the parent of several worker processes orders them to do; values that cross as they are."""

import pickle
import socket
from dataclasses import dataclass, replace
from typing import TypeAlias, cast

from mqvpn_core.config import ServerConfig
from mqvpn_core.errors import HostLostError
from mqvpn_core.ids import SocketAddress
from mqvpn_core.quic.connection_steering import ConnectionSteering
from mqvpn_core.runtime.worker_messages import AddressMoved, LeaseLost
from mqvpn_helper.interface.host_plan import HostPlan

MAX_ORDER_BYTES = 1 << 20
"""Longest order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """The first order; numbers of descriptors are those of the worker."""

    config: ServerConfig
    """Settings, as `for_worker` leaves them."""
    steering: ConnectionSteering
    """Which packets are its own."""
    sockets: tuple[tuple[int, SocketAddress], ...]
    """UDP sockets and their addresses."""
    tun: int
    """Its queue of the TUN device."""
    plan: HostPlan
    """What the machine has."""
    inbox: int
    """Gives packets that others were given by mistake."""
    outboxes: tuple[int | None, ...]
    """Takes those for the others, by number of the worker."""
    desk: int
    """Where it asks."""
    readers: tuple[int, ...]
    """Connections over which its status and events are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """The configuration was read again."""

    config: ServerConfig
    """Settings, as `for_worker` leaves them."""
    gone: frozenset[str | None]
    """Whose tunnels are to be closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Close all tunnels in order and end."""


Order: TypeAlias = Begin | Reload | Stop | AddressMoved | LeaseLost


def for_worker(config: ServerConfig) -> ServerConfig:
    """Return the settings of one worker: without keys, which the parent keeps, and with its share.

    Args:
        config: those of the server.
    """
    return replace(
        config,
        users={},
        users_file=None,
        shared_key=None,
        lease_file=None,
        control_socket=None,
        max_handshakes=-(-config.max_handshakes // config.workers),
    )


def encode_order(order: Order) -> bytes:
    """Return the message of an order."""
    return pickle.dumps(order)


def decode_order(data: bytes) -> Order:
    """Read an order of our own parent."""
    return cast("Order", pickle.loads(data))  # noqa: S301 - from the process that started this one


def receive_begin(channel: socket.socket) -> Begin:
    """Wait for the first order.

    Raises:
        HostLostError: there is none.
    """
    data = channel.recv(MAX_ORDER_BYTES)
    order = decode_order(data) if data else None
    if not isinstance(order, Begin):
        raise HostLostError("the parent process is gone")
    return order
