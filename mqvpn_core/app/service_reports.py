"""What ``systemctl status`` says of a client or a server, and when either counts as started."""

from collections.abc import Mapping
from types import MappingProxyType

import trio
from typing_extensions import override

from mqvpn_core.app.client_parts import ClientParts
from mqvpn_core.ids import SocketAddress
from mqvpn_core.runtime.service_manager import ServiceManager
from mqvpn_core.tunnel.lifecycle import (
    Blocked,
    Connected,
    Connecting,
    Disconnected,
    Disconnecting,
    Reconnecting,
    State,
)

_WORDS: Mapping[type[State], str] = MappingProxyType(
    {
        Connecting: "connecting to",
        Connected: "connected to",
        Reconnecting: "reconnecting to",
        Disconnecting: "disconnecting from",
        Disconnected: "not connected to",
        Blocked: "stopped, it takes the user; not connected to",
    }
)


async def report_client(manager: ServiceManager, server: str, parts: ClientParts) -> None:
    """Report on a client until cancelled.

    It has started when it guards its machine and begins to dial: a network that comes later must
    not hold up the start of the machine.

    Args:
        manager: who is told.
        server: what the user calls the server.
        parts: the client.
    """

    def status() -> str:
        return f"{_WORDS[type(parts.supervisor.state)]} {server}"

    manager.tell_ready(status())
    await manager.run(status)


class ServerReports(trio.TaskStatus[tuple[SocketAddress, ...]]):
    """Takes the place of whoever waits for a server to start. Tasks: `run`."""

    def __init__(self, manager: ServiceManager) -> None:
        """Report to this manager."""
        self._manager = manager
        self._status = ""

    @override
    def started(self, value: tuple[SocketAddress, ...] = ()) -> None:
        """Take note of the addresses that are listened on."""
        self._status = f"listening on {', '.join(map(str, value))} (UDP)"
        self._manager.tell_ready(self._status)

    async def run(self) -> None:
        """Report until cancelled."""
        await self._manager.run(lambda: self._status)
