"""Notices when a connection to the bus is gone that somebody has asked to watch."""

from collections import Counter
from collections.abc import Callable

from jeepney.bus_messages import MatchRule, message_bus
from jeepney.low_level import HeaderFields

from mqvpn_helper.service.bus_link import BusLink
from mqvpn_helper.service.message_stream import Incoming

_BUS = "org.freedesktop.DBus"
_OWNER_CHANGED = "NameOwnerChanged"


class NameWatch:
    """Watches unique names. C: `watch`, `unwatch`. B: `receive_signal`."""

    def __init__(self, bus: BusLink, gone: Callable[[str], None]) -> None:
        """Take whom to tell; it is told once for each name."""
        self._bus = bus
        self._gone = gone
        self._watched: Counter[str] = Counter()

    async def watch(self, name: str) -> None:
        """Watch a name, once more if it is watched already."""
        self._watched[name] += 1
        if self._watched[name] > 1:
            return
        await self._bus.add_match(_rule(name))
        (is_there,) = await self._bus.call(message_bus.NameHasOwner(name))
        if not is_there:
            self._lose(name)

    def unwatch(self, name: str) -> None:
        """Watch it once less."""
        if name not in self._watched:
            return
        self._watched[name] -= 1
        if not self._watched[name]:
            del self._watched[name]
            self._bus.post(message_bus.RemoveMatch(_rule(name)))

    def receive_signal(self, incoming: Incoming) -> None:
        """Look whether the bus tells that a name is gone."""
        fields = incoming.header.fields
        # The bus writes the sender itself: nobody else can be org.freedesktop.DBus.
        if fields.get(HeaderFields.sender) != _BUS:
            return
        if fields.get(HeaderFields.member) == _OWNER_CHANGED:
            name, _, new_owner = incoming.decode()
            if not new_owner and isinstance(name, str):
                self._lose(name)

    def _lose(self, name: str) -> None:
        if self._watched.pop(name, 0):
            self._bus.post(message_bus.RemoveMatch(_rule(name)))
            self._gone(name)


def _rule(name: str) -> MatchRule:
    rule = MatchRule(type="signal", sender=_BUS, interface=_BUS, member=_OWNER_CHANGED)
    rule.add_arg_condition(0, name)
    return rule
