"""Name servers through systemd-resolved, for one link, over the system bus.

Everything it is told is forgotten with the link, or taken back by ``RevertLink``.
"""

import time

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.system_bus import SystemBus
from mqvpn_helper.host.tun import OpenedTun
from mqvpn_helper.interface.host_plan import IPAddress

_NAME = "org.freedesktop.resolve1"
_MANAGER = (_NAME, "/org/freedesktop/resolve1", "org.freedesktop.resolve1.Manager")
_FAMILIES = {4: 2, 6: 10}  # AF_INET, AF_INET6
_ATTEMPTS = 40
_PAUSE = 0.05
_EVERY_NAME = [(".", True)]


class Resolved:
    """systemd-resolved."""

    def is_running(self) -> bool:
        """Whether it answers; the bus starts it if it can."""
        try:
            with SystemBus() as bus:
                bus.call((_NAME, _MANAGER[1], "org.freedesktop.DBus.Peer"), "Ping")
        except HostChangeError:
            return False
        return True

    def silence(self, tun: OpenedTun) -> None:
        """Keep it from announcing this machine in the tunnel.

        It does so at once when a link comes up, so this must come first.

        Args:
            tun: the device, still switched off.

        Raises:
            HostChangeError: it does not know the device, or refuses.
        """
        with SystemBus() as bus:
            self._silence(bus, tun)

    def set_servers(self, tun: OpenedTun, servers: tuple[IPAddress, ...]) -> None:
        """Send every question to these servers through the device.

        Args:
            tun: the device.
            servers: its name servers.

        Raises:
            HostChangeError: it refuses.
        """
        addresses = [(_FAMILIES[server.version], server.packed) for server in servers]
        with SystemBus() as bus:
            # Once more: what it was told may have been taken back meanwhile.
            self._silence(bus, tun)
            # What the servers of a tunnel sign is their business: a failed check would end in no
            # answer at all.
            bus.call(_MANAGER, "SetLinkDNSSEC", "is", (tun.ifindex, "no"))
            bus.call(_MANAGER, "SetLinkDNS", "ia(iay)", (tun.ifindex, addresses))
            bus.call(_MANAGER, "SetLinkDomains", "ia(sb)", (tun.ifindex, _EVERY_NAME))
            bus.call(_MANAGER, "SetLinkDefaultRoute", "ib", (tun.ifindex, True))
            bus.call(_MANAGER, "FlushCaches")

    def revert(self, ifindex: int) -> None:
        """Take everything back for a link that still exists.

        Args:
            ifindex: its index.

        Raises:
            HostChangeError: it refuses.
        """
        with SystemBus() as bus:
            bus.call(_MANAGER, "RevertLink", "i", (ifindex,))
            bus.call(_MANAGER, "FlushCaches")

    def _silence(self, bus: SystemBus, tun: OpenedTun) -> None:
        self._wait_for_link(bus, tun)
        bus.call(_MANAGER, "SetLinkLLMNR", "is", (tun.ifindex, "no"))
        bus.call(_MANAGER, "SetLinkMulticastDNS", "is", (tun.ifindex, "no"))

    def _wait_for_link(self, bus: SystemBus, tun: OpenedTun) -> None:
        """It learns of new links a moment after they are there."""
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                bus.call(_MANAGER, "GetLink", "i", (tun.ifindex,))
            except HostChangeError:
                if attempts_left == 0:
                    raise
                time.sleep(_PAUSE)
            else:
                return
