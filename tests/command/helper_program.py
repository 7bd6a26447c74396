"""The real service with made-up tunnels, started by a bus as the real program is.

A tunnel comes up when it gets the key ``the-key-of-alice`` and asks for another one otherwise.
"""

import logging
import os
import sys
from collections.abc import Callable
from ipaddress import ip_interface

import trio
from typing_extensions import override

from mqvpn_helper.interface.bus_names import BusEventKind, TunnelState
from mqvpn_helper.interface.control_messages import LinkKind, PathReport, PathState, PathUse
from mqvpn_helper.interface.tunnel_settings import PathPolicy, PathRole
from mqvpn_helper.service.helper import HelperParts, serve
from mqvpn_helper.session.events import (
    AddressesAssigned,
    Ended,
    EventReported,
    PathStats,
    SecretsNeeded,
    SessionEvent,
    StateChanged,
)
from mqvpn_helper.session.tunnel_memory import WantedTunnel
from tests.service.scene import FakeMachine, FakeSession

KEY = b"the-key-of-alice"
IDLE_SECONDS = 1.0


class ScriptedSession(FakeSession):
    """A tunnel over one path."""

    def __init__(self, wanted: WantedTunnel, emit: Callable[[SessionEvent], None]) -> None:
        super().__init__(wanted, emit)
        self._has_key = trio.Event()
        self._is_over = trio.Event()
        self._use = PathUse.PRIMARY

    @override
    async def run(self) -> None:
        self.emit(StateChanged(state=TunnelState.CONNECTING))
        if self.secret != KEY:
            self.emit(EventReported(kind=BusEventKind.AUTH_FAILED))
            self.emit(SecretsNeeded())
            await self._has_key.wait()
        addresses = (ip_interface("10.0.0.2/32"),)
        self.emit(AddressesAssigned(tun_name="mqvpn0", addresses=addresses, mtu=1340))
        self._tell(is_periodic=False)
        self.emit(StateChanged(state=TunnelState.UP))
        self.emit(EventReported(kind=BusEventKind.CONNECTED))
        await self._is_over.wait()
        self.emit(EventReported(kind=BusEventKind.DISCONNECTED))
        self.emit(Ended(error=None))

    @override
    def provide_secrets(self, fd: int) -> None:
        super().provide_secrets(fd)
        if self.secret == KEY:
            self._has_key.set()
        else:
            self.emit(SecretsNeeded())

    @override
    def disconnect(self, *, keep_kill_switch: bool = False) -> None:
        self.keeps_kill_switch = keep_kill_switch
        self._has_key.set()
        self._is_over.set()

    @override
    def set_path_policy(self, interface: str, policy: PathPolicy) -> None:
        if policy.role is PathRole.BACKUP:
            self._use = PathUse.BACKUP
        self._tell(is_periodic=False)
        detail = {"role": self._use.value}
        self.emit(EventReported(kind=BusEventKind.ROLE_CHANGED, path=interface, detail=detail))

    @override
    def request_stats(self, interval: float | None) -> None:
        if interval is not None:
            self._tell(is_periodic=True)

    def _tell(self, *, is_periodic: bool) -> None:
        path = PathReport(
            interface="wlan0",
            kind=LinkKind.WIRELESS,
            state=PathState.ACTIVE,
            role=self._use,
            rtt_ms=99.0 if is_periodic else 12.0,
            jitter_ms=1.0,
            loss=0.0,
            rx_bps=1000,
            tx_bps=2000,
            share=1.0,
            metered=False,
            mtu=1350,
            used_bytes=7,
        )
        self.emit(PathStats(paths=(path,), is_periodic=is_periodic))


def main() -> None:
    """Serve on the bus that started us."""
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    parts = HelperParts(
        make_session=ScriptedSession, machine=FakeMachine(), idle_seconds=IDLE_SECONDS
    )
    trio.run(serve, os.environ["DBUS_STARTER_ADDRESS"], lambda: parts)


if __name__ == "__main__":
    main()
