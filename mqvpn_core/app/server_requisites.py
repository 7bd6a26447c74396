"""What a server is given by whoever starts it: a world, orders, and sockets to listen with."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import trio

from mqvpn_core.app.own_machine import own_machine
from mqvpn_core.app.server_settings import listen_addresses
from mqvpn_core.config import ServerConfig
from mqvpn_core.errors import HostError
from mqvpn_core.ids import SocketAddress
from mqvpn_core.runtime.host_operations import HostOperations
from mqvpn_core.runtime.name_resolution import NameResolver

_log = logging.getLogger(__name__)

_WILDCARDS = frozenset({"::", "0.0.0.0"})  # noqa: S104 - compared with, not bound


class ListeningPort(Protocol):
    """One or more sockets that listen on one address."""

    @property
    def local_address(self) -> SocketAddress:
        """The address."""
        ...

    def close(self) -> None:
        """Close them."""


Opened = TypeVar("Opened", bound=ListeningPort)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSurroundings:
    """What a server touches of the world; tests bring their own."""

    host: HostOperations = field(default_factory=own_machine)
    """The machine."""
    resolver: NameResolver = field(default_factory=NameResolver)
    """Name service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOrders:
    """What the operator wants of a running server."""

    stop: trio.Event
    """Set to end it in order."""
    reloads: AsyncIterator[ServerConfig]
    """Configurations to change to while running."""
    hand_over: trio.Event = field(default_factory=trio.Event)
    """Set before ``stop`` when another server takes its place at once: the firewall table and
    forwarding stay in force for that one, so that connections of clients to other hosts survive."""


def open_sockets(
    config: ServerConfig, resources: ExitStack, open_one: Callable[[SocketAddress], Opened]
) -> list[Opened]:
    """Open the sockets to listen on; a family this machine lacks is left out.

    Args:
        config: says where.
        resources: closes them.
        open_one: opens what listens on one address.

    Raises:
        HostError: an address cannot be had.
    """
    sockets: list[Opened] = []
    refusals: list[HostError] = []
    for address in listen_addresses(config.listen):
        try:
            socket = open_one(_on_the_same_port(address, sockets))
        except HostError as error:
            if address.host not in _WILDCARDS:
                raise
            refusals.append(error)
            continue
        resources.callback(socket.close)
        sockets.append(socket)
    if not sockets:
        raise refusals[0]
    for refusal in refusals:
        _log.warning("%s", refusal)
    return sockets


def _on_the_same_port(address: SocketAddress, earlier: Sequence[Opened]) -> SocketAddress:
    """Both families listen on one port, also when the kernel chose it."""
    if address.port == 0 and address.host in _WILDCARDS and earlier:
        return SocketAddress(address.host, earlier[0].local_address.port)
    return address
