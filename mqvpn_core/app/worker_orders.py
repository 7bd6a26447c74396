"""What the parent of several worker processes orders them to do, as values and as messages."""

import json
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from math import isqrt
from typing import TypeAlias, cast

from mqvpn_core.config import ServerConfig
from mqvpn_core.errors import DecodeError, HostLostError
from mqvpn_core.ids import SocketAddress
from mqvpn_core.quic.connection_steering import ConnectionSteering
from mqvpn_core.runtime.control_codec import JsonValue
from mqvpn_core.runtime.json_members import JsonMembers
from mqvpn_core.runtime.typed_json import from_json, to_json
from mqvpn_core.runtime.worker_messages import AddressMoved, LeaseLost
from mqvpn_helper.interface.host_plan import HostPlan

MAX_ORDER_BYTES = 1 << 20
"""Longest order."""
MAX_USERS_OF_ORDER = 64
"""So few that the shortest buffer of a socket takes them, however long their names are."""
_DEVIATIONS = 6


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
class UsersGone:
    """The next `Reload` closes the tunnels of these users."""

    users: frozenset[str | None]
    """Some of them: all may be more than one message holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """The configuration was read again."""

    config: ServerConfig
    """Settings, as `for_worker` leaves them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Close all tunnels in order and end."""


Order: TypeAlias = Begin | UsersGone | Reload | Stop | AddressMoved | LeaseLost

_KINDS: Mapping[str, type[Order]] = {
    "begin": Begin,
    "users_gone": UsersGone,
    "reload": Reload,
    "stop": Stop,
    "address_moved": AddressMoved,
    "lease_lost": LeaseLost,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def for_worker(config: ServerConfig) -> ServerConfig:
    """Return the settings of one worker: without keys, which the parent keeps, and with its share.

    Args:
        config: those of the server.
    """
    mean = -(-config.max_clients // config.workers)
    return replace(
        config,
        users={},
        users_file=None,
        shared_key=None,
        lease_file=None,
        control_socket=None,
        max_handshakes=-(-config.max_handshakes // config.workers),
        # Chance spreads them: this many standard deviations more are not seen in a lifetime.
        max_clients=min(config.max_clients, mean + _DEVIATIONS * (isqrt(mean) + 1)),
    )


def reload_orders(config: ServerConfig, gone: Collection[str | None]) -> list[Order]:
    """Return what makes one worker go by another configuration.

    Args:
        config: that of the server.
        gone: users whose tunnels are to be closed.
    """
    users = iter(gone)
    orders: list[Order] = []
    while some := frozenset(islice(users, MAX_USERS_OF_ORDER)):
        orders.append(UsersGone(users=some))
    return [*orders, Reload(config=for_worker(config))]


def encode_order(order: Order) -> bytes:
    """Return the message of an order."""
    message = {"order": _NAMES[type(order)], "with": to_json(order)}
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode()


def decode_order(data: bytes) -> Order:
    """Read what `encode_order` wrote.

    Raises:
        DecodeError: it is something else.
    """
    try:
        members = JsonMembers.of(cast("JsonValue", json.loads(data)))
    except (ValueError, RecursionError):
        raise DecodeError("an order that is no JSON") from None
    kind = _KINDS.get(members.text("order"))
    if kind is None:
        raise DecodeError("an unknown order")
    return from_json(kind, members.value("with"))


def receive_begin(channel: socket.socket) -> Begin:
    """Wait for the first order.

    Raises:
        HostLostError: there is none.
    """
    data = channel.recv(MAX_ORDER_BYTES)
    if not data:
        raise HostLostError("the parent process is gone")
    try:
        order = decode_order(data)
    except DecodeError as error:
        raise HostLostError(f"the parent process says what makes no sense ({error})") from error
    if not isinstance(order, Begin):
        raise HostLostError("the parent process does not begin at the beginning")
    return order
