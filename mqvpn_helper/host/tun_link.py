"""What belongs to the TUN device itself: MTU, addresses and routes into it.

Nothing here is journalled: it all vanishes with the device.
"""

import logging
from collections.abc import Iterable
from ipaddress import IPv6Interface

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.netlink_config import NetlinkConfig
from mqvpn_helper.host.routes import INTO_TUNNEL_PROTOCOL, Route, our_metric
from mqvpn_helper.host.sysctls import Sysctls
from mqvpn_helper.host.tun import OpenedTun
from mqvpn_helper.interface.host_plan import IPInterface, IPNetwork

_LOGGER = logging.getLogger(__name__)
_DEFAULT_MTU = 1500

_SETTINGS = (
    # Replacing an address must not take the others of its subnet, and their routes, with it.
    ("net/ipv4/conf/{}/promote_secondaries", "1"),
    ("net/ipv4/conf/{}/send_redirects", "0"),
    # The device speaks to a tunnel: no link-local address, no solicitations, no autoconfiguration
    # by whoever is at the other end.
    ("net/ipv6/conf/{}/disable_ipv6", "0"),
    ("net/ipv6/conf/{}/addr_gen_mode", "1"),
    ("net/ipv6/conf/{}/accept_ra", "0"),
    ("net/ipv6/conf/{}/autoconf", "0"),
    ("net/ipv6/conf/{}/accept_redirects", "0"),
)


class TunLink:
    """Brings one TUN device to the wanted state, changing only what differs."""

    def __init__(self, netlink: NetlinkConfig, sysctls: Sysctls, tun: OpenedTun) -> None:
        """Take the tools.

        Args:
            netlink: open conversation.
            sysctls: kernel settings.
            tun: the device.
        """
        self._netlink = netlink
        self._sysctls = sysctls
        self._tun = tun

    @property
    def ifindex(self) -> int:
        """Index of the device."""
        return self._tun.ifindex

    def prepare(self, mtu: int) -> None:
        """Set the MTU and the device's own settings.

        Args:
            mtu: wanted MTU.

        Raises:
            HostChangeError: the device is gone, or the kernel refused.
        """
        link = self._netlink.link_at(self._tun.ifindex)
        if link is None or link.name != self._tun.name:
            raise HostChangeError(f"the TUN device {self._tun.name} is gone")
        if link.mtu != mtu:
            _LOGGER.debug("set the MTU of %s to %d", self._tun.name, mtu)
            self._netlink.set_mtu(self._tun.ifindex, mtu)
        for key, value in _SETTINGS:
            try:
                self._sysctls.write(key.format(self._tun.name), value)
            except HostChangeError as error:
                # Containers often have /proc/sys read-only. The tunnel works without these.
                _LOGGER.debug("%s", error)

    @property
    def is_up(self) -> bool:
        """Whether the device is switched on."""
        link = self._netlink.link_at(self._tun.ifindex)
        return link is not None and link.is_up

    def switch_on(self) -> None:
        """Switch the device on."""
        _LOGGER.debug("switch %s on", self._tun.name)
        self._netlink.set_up(self._tun.ifindex, up=True)

    @property
    def has_ipv6(self) -> bool:
        """Whether the device takes IPv6 addresses; asked when it is prepared."""
        return self._sysctls.read(f"net/ipv6/conf/{self._tun.name}/disable_ipv6") == "0"

    def set_addresses(self, wanted: Iterable[IPInterface]) -> None:
        """Give the device exactly these addresses.

        Args:
            wanted: addresses with their prefixes.
        """
        present = set(self._netlink.addresses(self._tun.ifindex))
        missing = [address for address in dict.fromkeys(wanted) if address not in present]
        surplus = present - set(wanted)
        # IPv6 refuses the same address with another prefix length, so that one goes first.
        # All others go last: without any address the kernel drops the routes as well.
        rivals = {address for address in surplus if address.ip in {new.ip for new in missing}}
        first = {address for address in rivals if isinstance(address, IPv6Interface)}
        for rival in first:
            self._remove_address(rival)
        self._add_addresses(missing)
        for address in surplus - first:
            self._remove_address(address)
        if surplus:
            # Without promote_secondaries some of the new ones went with the old.
            present = set(self._netlink.addresses(self._tun.ifindex))
            self._add_addresses(address for address in missing if address not in present)

    def set_routes(self, wanted: Iterable[IPNetwork]) -> tuple[str, ...]:
        """Route exactly these destinations into the device.

        Args:
            wanted: destinations; defaults are already split.

        Returns:
            Warnings about destinations that others have a route to already, which stays.
        """
        routes = self._netlink.routes()
        through_tun = [route for route in routes if route.ifindex == self._tun.ifindex]
        # The kernel's own route to the device's subnet serves as well as ours would.
        present = {route.destination for route in through_tun}
        taken = {
            (route.destination, route.metric): route
            for route in routes
            if route.ifindex != self._tun.ifindex
        }
        warnings = []
        wanted = dict.fromkeys(wanted)
        for destination in wanted:
            if destination in present:
                continue
            rival = taken.get((destination, our_metric(destination)))
            if rival is not None:
                warnings.append(self._explain_rival(rival))
                continue
            _LOGGER.debug("route %s into %s", destination, self._tun.name)
            self._netlink.add_route(self._route(destination))
        for route in through_tun:
            if route.is_ours and route.destination not in wanted:
                _LOGGER.debug("no longer route %s into %s", route.destination, self._tun.name)
                self._netlink.remove_route(route)
        return tuple(warnings)

    def clear(self) -> None:
        """Leave the device as it was made: no route, no address, switched off."""
        if self._netlink.link_at(self._tun.ifindex) is None:
            return
        self.set_routes(())
        self.set_addresses(())
        self._netlink.set_up(self._tun.ifindex, up=False)
        self._netlink.set_mtu(self._tun.ifindex, _DEFAULT_MTU)

    def _add_addresses(self, addresses: Iterable[IPInterface]) -> None:
        for address in addresses:
            _LOGGER.debug("add address %s to %s", address, self._tun.name)
            self._netlink.add_address(self._tun.ifindex, address)

    def _remove_address(self, address: IPInterface) -> None:
        _LOGGER.debug("remove address %s from %s", address, self._tun.name)
        self._netlink.remove_address(self._tun.ifindex, address)

    def _route(self, destination: IPNetwork) -> Route:
        return Route(
            destination=destination,
            ifindex=self._tun.ifindex,
            protocol=INTO_TUNNEL_PROTOCOL,
            metric=our_metric(destination),
        )

    def _explain_rival(self, rival: Route) -> str:
        link = self._netlink.link_at(rival.ifindex)
        name = link.name if link else f"interface {rival.ifindex}"
        return (
            f"{rival.destination} stays outside the tunnel: there is a route to it over {name} "
            "already (a local network, or another VPN)"
        )
