"""Keeps the server's TUN device as small as its smallest tunnel.

The kernel splits IPv4 packets without Don't Fragment at the device's MTU, and only there: with a
larger device they would reach a tunnel they do not fit, and nobody would be told.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

import trio

from mqvpn_core.errors import HostError
from mqvpn_core.runtime.client_supervisor import PlannedHost
from mqvpn_helper.interface.host_plan import HostPlan

FIRST_MTU = 1420
"""Before any tunnel is known: what fits QUIC over IPv6 on an ordinary link."""
LEAST_MTU = 1280
"""IPv6 needs it; a tunnel with less sends packet-too-big messages."""
SETTLE_TIME = 0.3
"""Seconds in which the size of a new tunnel usually finds its value."""

_log = logging.getLogger(__name__)


class MtuFollower:
    """Applies a server's host plan with the MTU of the moment.

    A: `plan`. C: `note_change`. Tasks: `run`.
    """

    def __init__(
        self, host: PlannedHost, plan: HostPlan, smallest_mtu: Callable[[], int | None]
    ) -> None:
        """Begin with a plan that is in force.

        Args:
            host: the machine.
            plan: what it has.
            smallest_mtu: the MTU of the smallest tunnel; None without tunnels.
        """
        self.plan = plan
        """What the machine has now."""
        self._host = host
        self._smallest_mtu = smallest_mtu
        self._changed = trio.Event()

    def note_change(self) -> None:
        """Look at the tunnels soon."""
        self._changed.set()

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            await self._changed.wait()
            await trio.sleep(SETTLE_TIME)
            self._changed = trio.Event()
            smallest = self._smallest_mtu()
            if smallest is None:
                continue  # the next client most likely needs the same
            mtu = max(smallest, LEAST_MTU)
            if mtu != self.plan.mtu:
                await self._apply(mtu)

    async def _apply(self, mtu: int) -> None:
        plan = replace(self.plan, mtu=mtu)
        try:
            await self._host.apply(plan)
        except HostError as error:
            _log.warning("the MTU of %s stays %d: %s", plan.tun_name, self.plan.mtu, error)
            return
        _log.debug("the MTU of %s is %d now", plan.tun_name, mtu)
        self.plan = plan
