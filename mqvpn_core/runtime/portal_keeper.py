"""An exception from the kill switch for signing in to a network; it ends in time, come what may."""

import logging
import time

import trio

from mqvpn_core.errors import ConfigError
from mqvpn_core.runtime.plan_keeper import PlanKeeper
from mqvpn_helper.interface.bus_names import MAX_PORTAL_SECONDS
from mqvpn_helper.interface.host_plan import CaptivePortal

_log = logging.getLogger(__name__)


class PortalKeeper:
    """The exception of one client. A: `interface`, `seconds_left`. C: `allow`. Tasks: `run`."""

    def __init__(self, keeper: PlanKeeper) -> None:
        """Begin without one.

        Args:
            keeper: brings it into force.
        """
        self._keeper = keeper
        self._portal: CaptivePortal | None = None
        self._changed = trio.Event()

    @property
    def interface(self) -> str:
        """The interface that is past the kill switch; empty for none."""
        return "" if self._portal is None else self._portal.interface

    @property
    def seconds_left(self) -> float:
        """How long it still is."""
        return 0.0 if self._portal is None else max(self._portal.until - _now(), 0.0)

    def allow(self, interface: str, seconds: int) -> None:
        """Let one link past the kill switch for a while.

        Args:
            interface: the link.
            seconds: how long; 0 ends it now.

        Raises:
            ConfigError: it would be too long, or there is no kill switch to pass.
        """
        if not self._keeper.has_kill_switch:
            raise ConfigError("there is no kill switch to pass")
        if seconds > MAX_PORTAL_SECONDS:
            raise ConfigError(f"at most {MAX_PORTAL_SECONDS} seconds")
        until = _now() + seconds
        self._portal = CaptivePortal(interface=interface, until=until) if seconds else None
        self._changed.set()

    async def run(self) -> None:
        """Open and close the way, until cancelled.

        The kernel closes it by itself as well; that the tunnel gets routes and names back is ours.
        """
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            portal = self._portal
            await self._keeper.set_portal(portal)
            if portal is None:
                _log.info("the kill switch is whole again")
                continue
            _log.warning(
                "%s is past the kill switch for %.0f s, by name service and web alone; nothing goes"
                " into the tunnel meanwhile",
                portal.interface,
                portal.until - _now(),
            )
            with trio.move_on_after(max(portal.until - _now(), 0)) as waiting:
                await self._changed.wait()
            if waiting.cancelled_caught:
                self._portal = None
                self._changed.set()


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
