"""Bubbles of the desktop (org.freedesktop.Notifications), one for each subject.

A new bubble about the same subject takes the place of the old one. Qt's own ``showMessage`` would
replace the tray icon meanwhile, so it is not used.
"""

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jeepney import DBusAddress, MatchRule, Message
from PySide6.QtCore import QObject, QTimer, Signal

from mqvpn_gui.bus.qt_bus import Call, CallError, QtBus, Reply, body_of

SERVICE = DBusAddress(
    "/org/freedesktop/Notifications",
    "org.freedesktop.Notifications",
    "org.freedesktop.Notifications",
)
"""The desktop's notification service."""

MIN_INTERVAL = 2.0
"""Seconds between two bubbles about one subject; what comes sooner waits its turn, newest wins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One bubble."""

    subject: str
    """What it is about: a newer one about the same replaces it."""
    title: str
    """First line."""
    text: str = ""
    """The rest, plain text."""
    is_urgent: bool = False
    """It stays until the user has seen it."""
    actions: Mapping[str, str] = field(default_factory=dict)
    """Buttons: name and label."""


class Notifications(QObject):
    """Shows bubbles and takes them back."""

    action_chosen = Signal(str, str)
    """Subject and name of the action that the user clicked; ``default`` is the bubble itself."""

    def __init__(self, bus: QtBus, application: str, icon: str, clock: Callable[[], float]) -> None:
        """Listen on the session bus.

        Args:
            bus: the session bus.
            application: name shown by the desktop.
            icon: name of the icon in the theme.
            clock: seconds of a clock that never jumps.
        """
        super().__init__(bus)
        self.is_available = True
        """Whether the desktop shows bubbles, as far as is known."""
        self._bus = bus
        self._application = application
        self._icon = icon
        self._clock = clock
        self._numbers: dict[str, int] = {}
        self._shown_at: dict[str, float] = {}
        self._takes_markup = True
        self._waiting: dict[str, Notification] = {}
        self._turn = QTimer(self)
        self._turn.setSingleShot(True)
        self._turn.timeout.connect(self._show_waiting)
        for member, handler in (
            ("ActionInvoked", self._on_action),
            ("NotificationClosed", self._on_closed),
        ):
            rule = MatchRule(type="signal", interface=SERVICE.interface, member=member)
            bus.listen(rule, handler)
        bus.opened.connect(self._ask_for_capabilities)

    def show(self, notification: Notification) -> None:
        """Show a bubble, or let it wait when one about the same subject was shown just now."""
        now = self._clock()
        before = self._shown_at.get(notification.subject)
        if before is not None and now - before < MIN_INTERVAL:
            self._waiting[notification.subject] = notification
            if not self._turn.isActive():
                self._turn.start(round(MIN_INTERVAL * 1000))
            return
        self._shown_at[notification.subject] = now
        self._waiting.pop(notification.subject, None)
        text = html.escape(notification.text) if self._takes_markup else notification.text
        hints = {
            "urgency": ("y", 2 if notification.is_urgent else 1),
            "category": ("s", "network"),
            "desktop-entry": ("s", self._icon),
        }
        actions = [part for pair in notification.actions.items() for part in pair]
        self._bus.call(
            Call(
                target=SERVICE,
                method="Notify",
                signature="susssasa{sv}i",
                arguments=(
                    self._application,
                    self._numbers.get(notification.subject, 0),
                    self._icon,
                    notification.title,
                    text,
                    ["default", "", *actions],
                    hints,
                    -1,
                ),
            ),
            lambda reply: self._on_shown(notification.subject, reply),
        )

    def _show_waiting(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            self.show(each)

    def take_back(self, subject: str) -> None:
        """Remove the bubble about a subject, which is not true any more."""
        self._waiting.pop(subject, None)
        number = self._numbers.pop(subject, None)
        if number is not None:
            close = Call(
                target=SERVICE, method="CloseNotification", signature="u", arguments=(number,)
            )
            self._bus.call(close, lambda _reply: None)

    def _ask_for_capabilities(self) -> None:
        def on_reply(reply: Reply) -> None:
            self.is_available = not isinstance(reply, CallError)
            if not isinstance(reply, CallError) and reply and isinstance(reply[0], list):
                self._takes_markup = "body-markup" in reply[0]

        self._bus.call(Call(target=SERVICE, method="GetCapabilities"), on_reply)

    def _on_shown(self, subject: str, reply: Reply) -> None:
        self.is_available = not isinstance(reply, CallError)
        if not isinstance(reply, CallError) and reply and isinstance(reply[0], int):
            self._numbers[subject] = reply[0]

    def _on_action(self, message: Message) -> None:
        match body_of(message):
            case (int(number), str(action)):
                for subject, known in list(self._numbers.items()):
                    if known == number:
                        self.action_chosen.emit(subject, action)
            case _:
                pass

    def _on_closed(self, message: Message) -> None:
        match body_of(message):
            case (int(number), *_):
                for subject, known in list(self._numbers.items()):
                    if known == number:
                        del self._numbers[subject]
            case _:
                pass
