"""The demonstration's world with two links that behave like radio links, and can be cut.

    client  wlan0 192.0.2.2   ==== w0 192.0.2.1   |
            lte0 198.51.100.2 ==== l0 198.51.100.1| router r0 203.0.113.1 ---- eth0 203.0.113.2
                                                                                 server
    ==== goes through the emulator                                            lan0 172.20.0.1
                                                                                 |
                                                                       eth0 172.20.0.2  web

IPv6 everywhere as well, see `mqvpn_core.demo.topology`.
"""

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyroute2.netlink.exceptions import NetlinkError

from mqvpn_core.demo.namespaces import LinkCounters
from mqvpn_core.demo.topology import LTE, WLAN, Access, World, build_world
from tests.linkem.emulated_link import EmulatedLink, End, LinkOptions
from tests.linkem.impairments import MEGABIT, Impairments

WIFI_LIKE = Impairments(
    bits_per_second=80 * MEGABIT, delay=0.005, jitter=0.002, queue_bytes=200_000
)
"""A good wireless LAN in front of a fast line."""
LTE_LIKE = Impairments(
    bits_per_second=30 * MEGABIT, delay=0.040, jitter=0.012, loss=0.005, queue_bytes=300_000
)
"""A cellular link."""
EQUAL = Impairments(bits_per_second=100 * MEGABIT, delay=0.025, queue_bytes=625_000)
"""One of two lines that are alike."""

_OPTIONS = LinkOptions(tick_us=500, coalesces=True)


class EmulatedAccess:
    """One link of the client to the router, which can be lost and come back in every way."""

    def __init__(
        self, world: World, access: Access, impairments: Impairments, folder: Path
    ) -> None:
        """Describe the link; it exists from `plug` on.

        Args:
            world: the machines.
            access: names and addresses.
            impairments: how it treats packets, the same in both directions.
            folder: for the emulator's log and socket.
        """
        self.access = access
        self.impairments = impairments
        self._world = world
        self._folder = folder
        self._link: EmulatedLink | None = None

    @property
    def name(self) -> str:
        """The interface at the client."""
        return self.access.interface

    @property
    def link(self) -> EmulatedLink:
        """The running emulation."""
        assert self._link is not None, f"{self.name} is not plugged in"
        return self._link

    @property
    def is_plugged(self) -> bool:
        """Whether the interface exists."""
        return self._link is not None

    def plug(self, *, with_addresses: bool = True) -> None:
        """Let the interface appear, as with a modem that is plugged in."""
        self._link = EmulatedLink(
            End(namespace=self._world.client, interface=self.name),
            End(namespace=self._world.router, interface=self.access.router_interface),
            self._folder,
            _OPTIONS,
        )
        self._link.impair(self.impairments)
        self._address_router()
        if with_addresses:
            self.add_addresses()

    def unplug(self) -> None:
        """Let the interface vanish."""
        if self._link is not None:
            self._link.stop()
            self._link = None

    def add_addresses(self) -> None:
        """Give the client those of its addresses and default routes that it lacks, like DHCP."""
        client, access = self._world.client, self.access
        for address in (f"{access.ipv4}.2/24", f"{access.ipv6}::2/64"):
            with _allowed_to_exist():
                client.add_address(self.name, address)
        for destination, gateway in (
            ("0.0.0.0/0", f"{access.ipv4}.1"),
            ("::/0", f"{access.ipv6}::1"),
        ):
            with _allowed_to_exist():
                client.add_route(destination, gateway, metric=access.metric)

    def remove_addresses(self) -> None:
        """Take the client's addresses away; Linux takes the routes with the last one."""
        self._world.client.delete_address(self.name, f"{self.access.ipv4}.2/24")
        self._world.client.delete_address(self.name, f"{self.access.ipv6}::2/64")

    def renumber(self, access: Access) -> None:
        """Move both ends to another network: first the new addresses, then the old ones go."""
        old, client = self.access, self._world.client
        self.access = access
        self._address_router()
        self.add_addresses()
        client.delete_address(self.name, f"{old.ipv4}.2/24")
        client.delete_address(self.name, f"{old.ipv6}::2/64")

    def counters(self) -> LinkCounters:
        """What the client's interface has carried."""
        return self._world.client.counters(self.name)

    def _address_router(self) -> None:
        router, access = self._world.router, self.access
        for address in (f"{access.ipv4}.1/24", f"{access.ipv6}::1/64"):
            with _allowed_to_exist():
                router.add_address(access.router_interface, address)


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoLinks:
    """A world whose client has two emulated links."""

    world: World
    """The machines."""
    wlan: EmulatedAccess
    """The first link."""
    lte: EmulatedAccess
    """The second link."""

    @property
    def both(self) -> tuple[EmulatedAccess, EmulatedAccess]:
        """The links."""
        return self.wlan, self.lte

    def path_options(self) -> list[str]:
        """Options that let a client use both."""
        return [word for link in self.both for word in ("--path", link.name)]


@contextmanager
def build_two_links(
    folder: Path, wlan: Impairments = WIFI_LIKE, lte: Impairments = LTE_LIKE
) -> Iterator[TwoLinks]:
    """Hold the world with its two links, plugged in, for the length of a block.

    Args:
        folder: for logs and sockets of the emulator.
        wlan: how ``wlan0`` treats packets.
        lte: how ``lte0`` treats packets.
    """
    with ExitStack() as held:
        world = held.enter_context(build_world(links=()))
        made = TwoLinks(
            world=world,
            wlan=EmulatedAccess(world, WLAN, wlan, folder),
            lte=EmulatedAccess(world, LTE, lte, folder),
        )
        for link in made.both:
            held.callback(link.unplug)
            link.plug()
        yield made


@contextmanager
def _allowed_to_exist() -> Iterator[None]:
    """Take it as done when it is there already: an IPv6 route outlives the address."""
    try:
        yield
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise
