"""What went wrong, as messages in the banner, each with the one thing that helps."""

from PySide6.QtCore import QObject, Signal

from mqvpn_gui.model.helper_state import HelperState
from mqvpn_gui.model.what_to_do import Remedy, remedy_for
from mqvpn_gui.windows.banner import Banner, Message
from mqvpn_gui.words.messages import sentences, told_failure

_CALL = "call"
_TUNNEL = "tunnel"


class Problems(QObject):
    """Shows errors of calls, and the last error of the tunnel while it stands.

    C: `show`, `show_state`.
    """

    remedy_wanted = Signal(object)
    """The user wants this `Remedy`."""

    def __init__(self, banner: Banner) -> None:
        """Say nothing yet.

        Args:
            banner: where it is said.
        """
        super().__init__(banner)
        self._banner = banner
        self._last = ("", "")

    def show(self, problem: str, advice: str) -> None:
        """Say that something the user asked for failed."""
        self._banner.show_message(Message(subject=_CALL, text=sentences(problem, advice)))

    def show_state(self, state: HelperState) -> None:
        """Say why there is no tunnel, once for each error: who dismissed it has read it."""
        if state.error == self._last:
            return
        self._last = state.error
        name, text = state.error
        if not text:
            self._banner.take_back(_TUNNEL)
            return
        remedy = remedy_for(name)
        label = {
            Remedy.NONE: "",
            Remedy.RETRY: self.tr("Try again"),
            Remedy.KEY: self.tr("Give another key…"),
            Remedy.SETTINGS: self.tr("Open the server's settings…"),
            Remedy.DIAGNOSTICS: self.tr("Open the diagnostics"),
        }[remedy]
        self._banner.show_message(
            Message(
                subject=_TUNNEL,
                text=told_failure(name, text),
                action=label,
                act=lambda: self.remedy_wanted.emit(remedy),
            )
        )
