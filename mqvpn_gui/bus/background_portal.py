"""The desktop's consent to start with the session, for a program in a sandbox.

Such a program has a folder for configuration of its own, which nobody reads for things to start.
"""

import uuid
from collections.abc import Callable

from jeepney import DBusAddress, HeaderFields, MatchRule, Message
from PySide6.QtCore import QObject

from mqvpn_gui.bus.qt_bus import Call, CallError, QtBus, Reply, body_of

PORTAL = DBusAddress(
    "/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.Desktop",
    "org.freedesktop.portal.Background",
)
"""The portal."""
REQUEST_INTERFACE = "org.freedesktop.portal.Request"
"""Interface of what answers, some time after the call."""

COMMAND = ("mqvpn-gui", "--hidden")
"""What is started with the session."""

_GRANTED = 0


class BackgroundPortal(QObject):
    """Asks, one wish at a time.

    C: `ask`.
    """

    def __init__(self, session_bus: QtBus) -> None:
        """Listen for answers.

        Args:
            session_bus: where portals are.
        """
        super().__init__(session_bus)
        self._bus = session_bus
        self._request = ""
        self._on_answer: Callable[[bool], None] = lambda _is_on: None
        answers = MatchRule(type="signal", interface=REQUEST_INTERFACE, member="Response")
        session_bus.listen(answers, self._on_response)

    def ask(self, reason: str, on_answer: Callable[[bool], None], *, on: bool) -> None:
        """Ask to be started with the session, or not to be any more.

        Args:
            reason: shown to the user.
            on_answer: takes whether the program starts with the session from now on.
            on: what is wanted.
        """
        token = f"mqvpn_{uuid.uuid4().hex}"  # nobody else can answer what nobody can guess
        sender = self._bus.unique_name.removeprefix(":").replace(".", "_")
        self._request = f"{PORTAL.object_path}/request/{sender}/{token}"
        self._on_answer = on_answer
        options = {
            "handle_token": ("s", token),
            "reason": ("s", reason),
            "autostart": ("b", on),
            "commandline": ("as", list(COMMAND)),
        }
        call = Call(
            target=PORTAL,
            method="RequestBackground",
            signature="sa{sv}",
            arguments=("", options),
        )
        self._bus.call(call, self._on_called)

    def _on_called(self, reply: Reply) -> None:
        if isinstance(reply, CallError):
            self._finish(is_on=False)

    def _on_response(self, message: Message) -> None:
        if not self._request or _path_of(message) != self._request:
            return
        match body_of(message):
            case (int(code), dict(results), *_) if code == _GRANTED:
                self._finish(is_on=results.get("autostart") is True)
            case _:
                self._finish(is_on=False)

    def _finish(self, *, is_on: bool) -> None:
        if self._request:
            self._request = ""
            self._on_answer(is_on)


def _path_of(message: Message) -> str:
    return str(message.header.fields.get(HeaderFields.path, ""))
