"""The values of the D-Bus properties, and which of them have changed since that was last told."""

import trio

from mqvpn_helper.interface.bus_interface import PROPERTIES, Property
from mqvpn_helper.service.variants import VariantMap

_BY_NAME = {each.name: each for each in PROPERTIES}
_EMPTY: dict[str, object] = {"s": "", "u": 0, "t": 0, "as": [], "(ss)": ("", "")}
_EMPTY |= {"a{sas}": {}, "a{sa{sv}}": {}}


class PropertyBoard:
    """All properties.

    A: `value`, `find`, `visible`. C: `put`, `take_changes`. Tasks: `wait_changed`.
    """

    def __init__(self) -> None:
        """Start with empty values."""
        self._values: dict[str, object] = {each.name: _EMPTY[each.signature] for each in PROPERTIES}
        self._changed: set[str] = set()
        self._news = trio.Event()

    def put(self, property_: Property, value: object) -> None:
        """Give a property a value of its type."""
        if self._values[property_.name] != value:
            self._values[property_.name] = value
            self._changed.add(property_.name)
            self._news.set()

    def value(self, property_: Property) -> object:
        """Return the value of a property."""
        return self._values[property_.name]

    def find(self, name: str) -> Property | None:
        """Return the property of that name, if there is one."""
        return _BY_NAME.get(name)

    def visible(self, *, is_insider: bool) -> VariantMap:
        """Return all values that a caller may see.

        Args:
            is_insider: the private ones too.
        """
        return self._variants(
            {each.name for each in PROPERTIES if is_insider or not each.is_private}
        )

    def take_changes(self) -> tuple[VariantMap, VariantMap]:
        """Return what has changed since the last time, public and private."""
        changed, self._changed = self._changed, set()
        private = {name for name in changed if _BY_NAME[name].is_private}
        return self._variants(changed - private), self._variants(private)

    async def wait_changed(self) -> None:
        """Wait until something has changed since `take_changes`."""
        while not self._changed:
            self._news = trio.Event()
            await self._news.wait()

    def _variants(self, names: set[str]) -> VariantMap:
        return {
            each.name: (each.signature, self._values[each.name])
            for each in PROPERTIES
            if each.name in names
        }
