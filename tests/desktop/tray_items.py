"""What a panel knows of the icons in it: read from the bus, not from pixels."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from jeepney import DBusAddress, MessageType, new_method_call
from jeepney.io.blocking import DBusConnection, open_dbus_connection

_WATCHER = DBusAddress(
    "/StatusNotifierWatcher", "org.kde.StatusNotifierWatcher", "org.kde.StatusNotifierWatcher"
)
_ITEM = "org.kde.StatusNotifierItem"
_MENU = "com.canonical.dbusmenu"
_PROPERTIES = "org.freedesktop.DBus.Properties"


@dataclass(frozen=True, slots=True)
class TrayItem:
    """One icon."""

    id: str
    status: str
    tooltip: str
    picture: bytes
    menu: tuple[str, ...]


class TrayWatch:
    """Looks into the panel of a session."""

    def __init__(self, connection: DBusConnection) -> None:
        self._connection = connection

    def items(self) -> list[TrayItem]:
        """The icons there are; none while there is no panel."""
        try:
            names = self._get(_WATCHER, "RegisteredStatusNotifierItems")
        except LookupError:
            return []
        assert isinstance(names, list)
        found = []
        for name in names:
            owner, _, path = str(name).partition("/")
            try:
                found.append(self._item(DBusAddress(f"/{path}", owner, _ITEM)))
            except LookupError:
                continue  # it has gone meanwhile
        return found

    def _item(self, where: DBusAddress) -> TrayItem:
        tooltip = self._get(where, "ToolTip")
        pictures = self._get(where, "IconPixmap")
        menu = DBusAddress(str(self._get(where, "Menu")), where.bus_name, _MENU)
        assert isinstance(tooltip, tuple)
        assert isinstance(pictures, list)
        self._call(menu, "AboutToShow", "i", (0,))
        layout = self._call(menu, "GetLayout", "iias", (0, -1, []))[1]
        return TrayItem(
            id=str(self._get(where, "Id")),
            status=str(self._get(where, "Status")),
            tooltip=f"{tooltip[2]}{tooltip[3]}",
            picture=max((bytes(each[2]) for each in pictures), key=len, default=b""),
            menu=tuple(_labels(layout)),
        )

    def _get(self, where: DBusAddress, name: str) -> object:
        body = self._call(where.with_interface(_PROPERTIES), "Get", "ss", (where.interface, name))
        variant = body[0]
        assert isinstance(variant, tuple)
        return variant[1]

    def _call(
        self, where: DBusAddress, method: str, signature: str, body: tuple[object, ...]
    ) -> tuple[object, ...]:
        reply = self._connection.send_and_get_reply(
            new_method_call(where, method, signature, body), timeout=5
        )
        if reply.header.message_type is MessageType.error:
            raise LookupError(reply.body)
        return tuple(reply.body)


def _labels(node: object) -> Iterator[str]:
    assert isinstance(node, tuple)
    _, properties, children = node
    label = properties.get("label")
    if label is not None:
        yield str(label[1]).replace("_", "")
    for _, child in children:
        yield from _labels(child)


@contextmanager
def tray_watch(session_bus: str) -> Iterator[TrayWatch]:
    """Look into the panel of a session for the length of a block.

    Args:
        session_bus: address of the session bus.
    """
    with open_dbus_connection(session_bus) as connection:
        yield TrayWatch(connection)
