"""A message across the window: what is wrong, and the one thing to do about it."""

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication, Signal
from PySide6.QtWidgets import QFrame, QPushButton, QVBoxLayout

from mqvpn_gui.windows.flow_layout import FlowLayout
from mqvpn_gui.windows.widgets import plain_label

_MAX_MESSAGES = 8


def _tr(text: str) -> str:
    return QCoreApplication.translate("banner", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a banner says."""

    subject: str
    """What it is about: a newer one about the same replaces it."""
    text: str
    """What is wrong."""
    action: str = ""
    """Label of the button; empty: none."""
    act: Callable[[], None] | None = None
    """What the button does."""


class Banner(QFrame):
    """Shows one message until it is dismissed or not true any more; then the one before it.

    A: `stops`, `texts`. C: `show_message`, `take_back`.
    """

    dismissed = Signal(str)
    """The user has read the message about this subject."""

    def __init__(self) -> None:
        """Stay hidden until there is something to say."""
        super().__init__()
        self.setProperty("class", "banner")
        # The newest subject stands last; a message that only changes keeps its place.
        self._messages: dict[str, Message] = {}
        self._text = plain_label(wraps=True)
        self._more = plain_label(kind="faint")
        self._action = QPushButton()
        self._action.clicked.connect(self._act)
        self._close = QPushButton(_tr("Dismiss"))
        self._close.clicked.connect(self._dismiss)
        row = FlowLayout()
        row.addWidget(self._more)
        row.add_gap()
        row.addWidget(self._action)
        row.addWidget(self._close)
        layout = QVBoxLayout(self)
        layout.addWidget(self._text)
        layout.addLayout(row)
        self.hide()

    @property
    def stops(self) -> tuple[QPushButton, ...]:
        """What Tab comes to, in its order."""
        return self._action, self._close

    @property
    def texts(self) -> tuple[str, ...]:
        """What there is to say, the newest last."""
        return tuple(message.text for message in self._messages.values())

    def show_message(self, message: Message) -> None:
        """Say something."""
        if message.subject not in self._messages and len(self._messages) >= _MAX_MESSAGES:
            del self._messages[next(iter(self._messages))]
        self._messages[message.subject] = message
        self._write()

    def take_back(self, subject: str) -> None:
        """Forget the message about a subject that is in order again."""
        if self._messages.pop(subject, None) is not None:
            self._write()

    def _write(self) -> None:
        message = self._shown()
        if message is None:
            self.hide()
            return
        self._text.setText(message.text)
        self.setAccessibleName(message.text)
        self._action.setText(message.action)
        self._action.setVisible(bool(message.action))
        others = len(self._messages) - 1
        self._more.setVisible(others > 0)
        self._more.setText(_tr("Other messages: {0}").format(others))
        self.show()

    def _shown(self) -> Message | None:
        return next(reversed(self._messages.values()), None)

    def _act(self) -> None:
        message = self._shown()
        if message is not None and message.act is not None:
            message.act()

    def _dismiss(self) -> None:
        message = self._shown()
        if message is not None:
            self.take_back(message.subject)
            self.dismissed.emit(message.subject)
