"""Asks for the key of a server, and says why it is not in the keyring. Nothing waits for it."""

from PySide6.QtCore import QCoreApplication, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from mqvpn_gui.windows.widgets import plain_label

_MAX_KEY = 512


def _tr(text: str) -> str:
    return QCoreApplication.translate("key_dialog", text)


class KeyDialog(QDialog):
    """One field; beside it what else can be done.

    C: `show_problem`.
    """

    given = Signal(str, bool)
    """The key as it was typed, and whether to keep it in the keyring."""
    unlock_wanted = Signal()
    """Have the keyring opened instead, and look there once more."""

    def __init__(
        self,
        profile: str,
        why: str,
        *,
        can_keep: bool,
        can_unlock: bool,
        parent: QWidget | None = None,
    ) -> None:
        """Ask.

        Args:
            profile: whose key.
            why: why it has to be asked for.
            can_keep: there is a keyring that takes it.
            can_unlock: there is one that is locked.
            parent: owner in Qt's sense.
        """
        super().__init__(parent)
        self.setWindowTitle(_tr("Key for {0}").format(profile))
        self.setMinimumWidth(340)
        self._key = QLineEdit()
        self._key.setEchoMode(QLineEdit.EchoMode.Password)
        self._key.setMaxLength(_MAX_KEY)
        self._key.setAccessibleName(_tr("Key"))
        self._key.setPlaceholderText(_tr("The key from the server's link"))
        self._key.textChanged.connect(self._enable)
        self._keep = QCheckBox(_tr("&Keep it in the keyring"))
        self._keep.setChecked(can_keep)
        self._keep.setVisible(can_keep)
        self._problem = plain_label(kind="bad", wraps=True)
        self._problem.hide()
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        self._ok = buttons.button(QDialogButtonBox.StandardButton.Ok)
        buttons.accepted.connect(
            lambda: self.given.emit(self._key.text().strip(), self._keep.isChecked())
        )
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(plain_label(why, wraps=True))
        if can_unlock:
            unlock = QPushButton(_tr("&Unlock the keyring"))
            unlock.clicked.connect(self._unlock)
            layout.addWidget(unlock)
            layout.addWidget(plain_label(_tr("Or type the key for this time:"), wraps=True))
        layout.addWidget(self._key)
        layout.addWidget(self._keep)
        if not can_keep:
            layout.addWidget(
                plain_label(
                    _tr("It is used for this connection and kept nowhere."), "faint", wraps=True
                )
            )
        layout.addWidget(self._problem)
        layout.addWidget(buttons)
        self._key.setFocus()
        self._enable()

    def show_problem(self, text: str) -> None:
        """Say why what was typed is no key."""
        self._problem.setText(text)
        self._problem.show()

    def _unlock(self) -> None:
        self.unlock_wanted.emit()
        self.accept()

    def _enable(self) -> None:
        self._ok.setEnabled(bool(self._key.text().strip()))
