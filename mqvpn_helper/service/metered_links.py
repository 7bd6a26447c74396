"""Which links cost money, as NetworkManager knows it; where it does not run, nobody knows more.

The core tells what it sees by itself: a mobile network. A hotspot of a telephone, or a network that
its user has marked, is known to NetworkManager alone. It is asked while a tunnel is up, when a link
is new and again every now and then, and never started for that.
"""

import logging
from collections.abc import Callable, Iterable

import trio
from jeepney import DBusAddress, new_method_call
from jeepney.low_level import Message, MessageFlag

from mqvpn_helper.service.bus_link import BusLink, BusReplyError

_log = logging.getLogger(__name__)

_NAME = "org.freedesktop.NetworkManager"
_MANAGER = DBusAddress("/org/freedesktop/NetworkManager", bus_name=_NAME, interface=_NAME)
_PROPERTIES = "org.freedesktop.DBus.Properties"
_METERED = (1, 3)  # NMMetered: yes, guessed yes
_ASK_AGAIN = 30.0
_MAX_LINKS = 64


class MeteredLinks:
    """The links that cost money. A: `has`. B: `note`. Tasks: `run`, as long as a tunnel is up."""

    def __init__(self, bus: BusLink) -> None:
        """Take the bus; nobody is asked before `run`."""
        self._bus = bus
        self._links: frozenset[str] = frozenset()
        self._metered: frozenset[str] = frozenset()
        self._news = trio.Event()

    def has(self, link: str) -> bool:
        """Return whether traffic over a link costs money, as far as it is known."""
        return link in self._metered

    def note(self, links: Iterable[str]) -> None:
        """Note which links the tunnel uses now."""
        now = frozenset(list(links)[:_MAX_LINKS])
        is_new = not now <= self._links
        self._links = now
        if is_new:
            self._news.set()

    async def run(self, changed: Callable[[], None]) -> None:
        """Ask until cancelled.

        Args:
            changed: called when `has` answers otherwise than before.
        """
        try:
            while True:
                self._news = trio.Event()
                found = frozenset([link for link in self._links if await self._ask(link)])
                if found != self._metered:
                    self._metered = found
                    changed()
                with trio.move_on_after(_ASK_AGAIN):
                    await self._news.wait()
        finally:
            self._links = self._metered = frozenset()

    async def _ask(self, link: str) -> bool:
        try:
            (device,) = await self._call(_MANAGER, "GetDeviceByIpIface", "s", (link,))
            about = DBusAddress(str(device), bus_name=_NAME, interface=_PROPERTIES)
            (value,) = await self._call(about, "Get", "ss", (f"{_NAME}.Device", "Metered"))
        except (BusReplyError, ValueError) as error:
            _log.debug("NetworkManager does not know %s: %s", link, error)
            return False
        match value:
            case ("u", int(kind)):
                return kind in _METERED
            case _:
                return False

    async def _call(
        self, whom: DBusAddress, member: str, signature: str, body: tuple[str, ...]
    ) -> tuple[object, ...]:
        message: Message = new_method_call(whom, member, signature, body)
        message.header.flags = MessageFlag.no_auto_start
        return await self._bus.call(message)
