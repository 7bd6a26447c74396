"""What a path is for: one of a few words side by side, each of them a button."""

from functools import partial

from PySide6.QtCore import QCoreApplication, Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QWidget

from mqvpn_gui.model.helper_state import PathInfo, Role
from mqvpn_gui.words import states


def _tr(text: str) -> str:
    return QCoreApplication.translate("role_choice", text)


class RoleChoice(QWidget):
    """Shows a role and asks for another one.

    Buttons, and not a list that unfolds: who uses a screen reader chooses by their names alone, and
    a wheel that turns over them changes nothing.
    """

    role_chosen = Signal(object)
    """A `Role`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Show no role yet.

        Args:
            parent: owner in Qt's sense.
        """
        super().__init__(parent)
        self._shown: Role | None = None
        self._buttons: dict[Role, QPushButton] = {}
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        for role in Role:
            button = QPushButton(states.role(role))
            button.setCheckable(True)
            button.setAutoExclusive(True)  # a screen reader calls it one of several
            button.setProperty("class", "small-choice")
            # Screen readers toggle: that is no click, and the button that goes off tells it too.
            button.toggled.connect(partial(self._on_toggled, role))
            row.addWidget(button)
            self._buttons[role] = button

    @property
    def stops(self) -> tuple[QPushButton, ...]:
        """What Tab comes to, in its order."""
        return tuple(self._buttons.values())

    def show_role(self, path: PathInfo) -> None:
        """Say what a path is for."""
        self._shown = path.role
        self._buttons[path.role].setChecked(True)
        link = states.link_name(path)
        for role, button in self._buttons.items():
            button.setAccessibleName(_tr("Role of {0}: {1}").format(link, states.role(role)))

    def _on_toggled(self, role: Role, is_on: bool) -> None:
        if is_on and role is not self._shown:
            self.role_chosen.emit(role)
