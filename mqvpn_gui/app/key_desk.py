"""Asks the user for a key, one dialogue at a time."""

from PySide6.QtCore import QObject, Signal

from mqvpn_gui.app.tunnel_control import KeyQuestion, TunnelControl
from mqvpn_gui.user.errors import KeyringAbsentError, UserError
from mqvpn_gui.user.secret_text import SecretText
from mqvpn_gui.windows.key_dialog import KeyDialog
from mqvpn_gui.windows.main_window import MainWindow
from mqvpn_gui.words.messages import told, told_error


class KeyDesk(QObject):
    """Turns questions into dialogues, and answers into calls.

    C: `ask`.
    """

    asked = Signal(object)
    """A `KeyDialog` is open."""

    def __init__(self, control: TunnelControl, window: MainWindow) -> None:
        """Listen for questions.

        Args:
            control: asks, and takes the answers.
            window: owner of the dialogues.
        """
        super().__init__(window)
        self._control = control
        self._window = window
        self._dialog: KeyDialog | None = None
        control.key_wanted.connect(self.ask)

    def ask(self, question: KeyQuestion) -> None:
        """Open a dialogue; one that is open already gives way."""
        if self._dialog is not None:
            self._dialog.reject()
        self._window.bring_to_front()
        dialog = KeyDialog(
            question.profile,
            self._reason(question),
            can_keep=question.can_keep,
            can_unlock=question.is_locked,
            parent=self._window,
        )
        self._dialog = dialog
        dialog.given.connect(lambda text, keeps: self._take(dialog, question, text, keeps=keeps))
        # The keyring shows its own question when it is asked for the key once more.
        dialog.unlock_wanted.connect(lambda: self._control.connect_with(question.profile))
        dialog.finished.connect(lambda _result: self._forget(dialog))
        dialog.open()
        self.asked.emit(dialog)

    def _take(self, dialog: KeyDialog, question: KeyQuestion, text: str, *, keeps: bool) -> None:
        try:
            secret = SecretText(text)
        except UserError as error:
            dialog.show_problem(told_error(error))
            return
        dialog.accept()
        self._control.answer(question, secret, keeps=keeps)

    def _forget(self, dialog: KeyDialog) -> None:
        dialog.deleteLater()
        if self._dialog is dialog:
            self._dialog = None

    def _reason(self, question: KeyQuestion) -> str:
        if question.is_refused:
            return self.tr("The server does not accept the key. Is there a newer one?")
        if question.is_locked:
            return self.tr("Your keyring is locked, and the key is in it.")
        if isinstance(question.problem, KeyringAbsentError):
            return self.tr(
                "No keyring runs on this desktop, so the key is asked for each time. It is never"
                " written to a file."
            )
        if question.problem is not None:
            return self.tr("The key could not be read: {0}.").format(told(question.problem.problem))
        return self.tr("There is no key for this server in the keyring.")
