"""The end of the program, which is not the end of the tunnel: said once."""

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QMessageBox

from mqvpn_gui.app.settings_desk import SettingsDesk
from mqvpn_gui.bus.helper_proxy import HelperProxy
from mqvpn_gui.windows.main_window import MainWindow


class Leaving(QObject):
    """Asks whether the tunnel shall stay up, where that is not known yet.

    C: `quit`.
    """

    agreed = Signal()
    """The program may end."""

    def __init__(self, helper: HelperProxy, settings: SettingsDesk, window: MainWindow) -> None:
        """Stand ready.

        Args:
            helper: has the tunnel.
            settings: remembers the answer.
            window: owner of the question.
        """
        super().__init__(window)
        self._helper = helper
        self._settings = settings
        self._window = window

    def quit(self) -> None:
        """End, and say once that the tunnel stays: it belongs to the helper."""
        if self._settings.current.knows_quit_leaves_tunnel or not self._helper.state.is_wanted:
            self.agreed.emit()
            return
        question = QMessageBox(
            QMessageBox.Icon.Question,
            self.tr("Quit mqvpn"),
            self.tr("The tunnel can stay up without this window. Leave it up?"),
            QMessageBox.StandardButton.Yes
            | QMessageBox.StandardButton.No
            | QMessageBox.StandardButton.Cancel,
            self._window,
        )
        question.finished.connect(self._on_answer)
        question.finished.connect(question.deleteLater)
        self._window.bring_to_front()
        question.open()

    def _on_answer(self, answer: int) -> None:
        if answer == QMessageBox.StandardButton.Cancel:
            return
        self._settings.remember_about_quitting()
        if answer == QMessageBox.StandardButton.No:
            self._helper.disconnect_tunnel(lambda _error: self.agreed.emit())
        else:
            self.agreed.emit()
