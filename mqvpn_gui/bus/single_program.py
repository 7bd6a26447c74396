"""One program for each session: a second one hands over what it was started with, and ends.

By the D-Bus interface that desktops use themselves (org.freedesktop.Application), so that opening
a link wakes up the program that is running.
"""

from collections.abc import Sequence

from jeepney import DBusAddress
from PySide6.QtCore import QObject, Signal

from mqvpn_gui.bus.qt_bus import BUS, Call, CallError, QtBus, Reply

APPLICATION = "org.freedesktop.Application"
"""Interface that starts and wakes programs up."""

_DO_NOT_QUEUE = 4
_PRIMARY_OWNER = 1
_ALREADY_OWNER = 4
_MAX_LINKS = 8
_INVALID = "org.freedesktop.DBus.Error.InvalidArgs"


class SingleProgram(QObject):
    """Takes the program's name on the session bus, or wakes up who has it."""

    woken = Signal(list)
    """Somebody opened these links, or the program once more when there are none."""
    is_second = Signal()
    """Another one runs and was woken up: end."""

    def __init__(self, bus: QtBus, name: str, links: Sequence[str]) -> None:
        """Ask for the name as soon as the bus is open.

        Args:
            bus: the session bus.
            name: the application's identifier.
            links: what this program was started with.
        """
        super().__init__(bus)
        self._bus = bus
        self._name = name
        self._links = list(links)
        self._has_asked = False
        self._path = "/" + name.replace(".", "/")
        bus.serve(self._path, APPLICATION, self._on_call)
        bus.opened.connect(self._ask_for_name)

    def _ask_for_name(self) -> None:
        ask = Call(
            target=BUS,
            method="RequestName",
            signature="su",
            arguments=(self._name, _DO_NOT_QUEUE),
        )
        self._bus.call(ask, self._on_answer)

    def _on_answer(self, reply: Reply) -> None:
        if isinstance(reply, CallError) or self._has_asked:
            return  # a session without names: then there may be two
        self._has_asked = True
        if reply[0] not in (_PRIMARY_OWNER, _ALREADY_OWNER):
            self._wake_other()

    def _wake_other(self) -> None:
        other = DBusAddress(self._path, self._name, APPLICATION)
        if self._links:
            call = Call(
                target=other,
                method="Open",
                signature="asa{sv}",
                arguments=(self._links, {}),
            )
        else:
            call = Call(target=other, method="Activate", signature="a{sv}", arguments=({},))
        self._bus.call(call, lambda _reply: self.is_second.emit())

    def _on_call(self, method: str, arguments: tuple[object, ...]) -> CallError | None:
        match method, arguments:
            case "Activate", (dict(),):
                self.woken.emit([])
            case "Open", (list(links), dict()):
                self.woken.emit([str(link) for link in links[:_MAX_LINKS]])
            case "ActivateAction", _:
                pass  # no actions but those of the window
            case _:
                return CallError(name=_INVALID, text=f"{method} does not take that")
        return None
