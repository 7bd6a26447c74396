"""Shown while the helper is missing or too old: the one command to run, and "check again"."""

from PySide6.QtCore import QCoreApplication, Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLineEdit, QPushButton, QVBoxLayout, QWidget

from mqvpn_gui.user.helper_install import install_command
from mqvpn_gui.windows.flow_layout import FlowLayout
from mqvpn_gui.windows.widgets import card, heading, plain_label


def _tr(text: str) -> str:
    return QCoreApplication.translate("first_run", text)


class FirstRunPage(QWidget):
    """Says what is missing and what to do.

    C: `show_missing`, `show_too_old`.
    """

    check_wanted = Signal()
    """Look for the helper once more."""

    def __init__(self) -> None:
        """Say that the helper is missing."""
        super().__init__()
        self._title = heading("")
        self._text = plain_label(wraps=True)
        self._detail = plain_label(kind="faint", wraps=True)
        self._command = QLineEdit(install_command())
        self._command.setReadOnly(True)
        self._command.setAccessibleName(_tr("Command that installs the helper"))
        copy = QPushButton(_tr("&Copy"))
        copy.setAccessibleDescription(_tr("Copies the command"))
        copy.clicked.connect(self._copy)
        check = QPushButton(_tr("Check &again"))
        check.setProperty("class", "main")
        check.clicked.connect(self.check_wanted)
        self._copied = plain_label(kind="good")
        row = FlowLayout()
        row.addWidget(copy)
        row.addWidget(self._copied)
        row.add_gap()
        row.addWidget(check)
        column = QVBoxLayout()
        column.addWidget(self._title)
        column.addWidget(self._text)
        column.addWidget(self._command)
        column.addLayout(row)
        column.addWidget(self._detail)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addStretch(1)
        layout.addWidget(card(column, _tr("The helper")))
        layout.addStretch(2)
        layout.setAlignment(Qt.AlignmentFlag.AlignVCenter)
        self.show_missing("")

    def show_missing(self, reason: str) -> None:
        """Say that nobody answers.

        Args:
            reason: as the bus put it.
        """
        self._say(
            _tr("One part is missing"),
            _tr(
                "This window only shows and asks. A helper of the system makes the tunnel, and it"
                " does not answer. This installs it; run it in a terminal:"
            ),
            reason,
        )

    def show_too_old(self, version: str) -> None:
        """Say that the helper does not know what this window asks."""
        self._say(
            _tr("The helper is too old"),
            _tr("This window needs a newer helper than {0}. Run this in a terminal:").format(
                version
            ),
            "",
        )

    def _say(self, title: str, text: str, detail: str) -> None:
        self._title.setText(title)
        self._text.setText(text)
        self._detail.setText(detail)
        self._detail.setVisible(bool(detail))
        self._copied.setText("")

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self._command.text())
        self._copied.setText(_tr("Copied"))
