"""A message across the window: what is wrong, and the one thing to do about it."""

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton

from mqvpn_gui.windows.widgets import plain_label


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
    """Shows one message until it is dismissed or not true any more."""

    dismissed = Signal(str)
    """The user has read the message about this subject."""

    def __init__(self) -> None:
        """Stay hidden until there is something to say."""
        super().__init__()
        self.setProperty("class", "banner")
        self._message: Message | None = None
        self._text = plain_label(wraps=True)
        self._action = QPushButton()
        self._action.clicked.connect(self._act)
        self._close = QPushButton(QCoreApplication.translate("banner", "Dismiss"))
        self._close.clicked.connect(self._dismiss)
        layout = QHBoxLayout(self)
        layout.addWidget(self._text, 1)
        layout.addWidget(self._action)
        layout.addWidget(self._close)
        self.hide()

    def show_message(self, message: Message) -> None:
        """Say something."""
        self._message = message
        self._text.setText(message.text)
        self.setAccessibleName(message.text)
        self._action.setText(message.action)
        self._action.setVisible(bool(message.action))
        self.show()

    def take_back(self, subject: str) -> None:
        """Hide the message about a subject that is in order again."""
        if self._message is not None and self._message.subject == subject:
            self._message = None
            self.hide()

    def _act(self) -> None:
        if self._message is not None and self._message.act is not None:
            self._message.act()

    def _dismiss(self) -> None:
        if self._message is not None:
            subject = self._message.subject
            self.take_back(subject)
            self.dismissed.emit(subject)
