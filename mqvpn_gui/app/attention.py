"""What the user has to know or decide now, as one banner.

A login that the network wants, an exception of the kill switch that runs out, somebody else's
tunnel.
"""

import socket
from collections.abc import Callable

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QInputDialog, QWidget

from mqvpn_gui.app.clocks import Clocks
from mqvpn_gui.model.helper_state import HelperState, KillSwitch
from mqvpn_gui.windows.banner import Banner, Message
from mqvpn_gui.words.quantities import duration
from mqvpn_helper.interface.bus_interface import NO_OWNER
from mqvpn_helper.interface.bus_names import TunnelState

PORTAL_SECONDS = 300
"""How long the kill switch lets one interface pass for a login."""

PATIENCE = 8.0
"""Seconds without a connection after which a login page is a likely reason."""

_PORTAL = "portal"
_OWNER = "owner"
_TRYING = (TunnelState.CONNECTING, TunnelState.RECONNECTING, TunnelState.BLOCKED)


class Attention(QObject):
    """Decides what the banner says about the state of things.

    C: `show_state`, `tick`.
    """

    portal_wanted = Signal(str, int)
    """Let this interface past the kill switch for so many seconds; 0 ends it."""

    def __init__(
        self,
        banner: Banner,
        clocks: Clocks,
        own_user: int,
        interfaces: Callable[[], list[str]] | None = None,
    ) -> None:
        """Say nothing yet.

        Args:
            banner: where it is said.
            clocks: what time it is.
            own_user: user ID of whoever runs this program.
            interfaces: returns the network interfaces to choose from; None: those of the machine.
        """
        super().__init__(banner)
        self._banner = banner
        self._clocks = clocks
        self._own_user = own_user
        self._interfaces = interfaces or _links_of_the_machine
        self._state = HelperState()
        self._trying_since: float | None = None
        self._is_offered = False

    def show_state(self, state: HelperState) -> None:
        """Look at a new state."""
        before, self._state = self._state, state
        is_stuck = state.state in _TRYING and state.kill_switch is not KillSwitch.OFF
        if not is_stuck:
            self._trying_since = None
            self._is_offered = False
        elif self._trying_since is None:
            self._trying_since = self._clocks.steady()
        if before.owner != state.owner or before.is_wanted != state.is_wanted:
            self._tell_of_owner(state)
        self.tick()

    def tick(self) -> None:
        """Look at the clock; once a second is enough."""
        state = self._state
        if state.portal_interface:
            self._count_down(state)
        elif self._is_stuck_for_long():
            if not self._is_offered:
                self._is_offered = True
                self._offer_portal()
        else:
            self._banner.take_back(_PORTAL)

    def _is_stuck_for_long(self) -> bool:
        since = self._trying_since
        return since is not None and self._clocks.steady() - since >= PATIENCE

    def _count_down(self, state: HelperState) -> None:
        left = duration(state.portal_until - self._clocks.wall())
        text = self.tr("{0} is past the kill switch for another {1}: log in to the network now.")
        self._banner.show_message(
            Message(
                subject=_PORTAL,
                text=text.format(state.portal_interface, left),
                action=self.tr("End now"),
                act=lambda: self.portal_wanted.emit(state.portal_interface, 0),
            )
        )

    def _offer_portal(self) -> None:
        self._banner.show_message(
            Message(
                subject=_PORTAL,
                text=self.tr(
                    "The server does not answer, and the kill switch blocks everything else. Does"
                    " the network want you to log in on a page first?"
                ),
                action=self.tr("Allow that for 5 minutes…"),
                act=self._choose_interface,
            )
        )

    def _choose_interface(self) -> None:
        names = [path.interface for path in self._state.paths] or self._interfaces()
        if len(names) == 1:
            self.portal_wanted.emit(names[0], PORTAL_SECONDS)
        elif names:
            owner: QWidget = self._banner.window()
            name, is_given = QInputDialog.getItem(
                owner,
                self.tr("Log in to the network"),
                self.tr("Which link may pass the kill switch?"),
                names,
                0,
                False,
            )
            if is_given:
                self.portal_wanted.emit(name, PORTAL_SECONDS)

    def _tell_of_owner(self, state: HelperState) -> None:
        if state.is_wanted and state.owner not in (NO_OWNER, self._own_user):
            text = self.tr(
                "Another user of this computer has a tunnel up. Its details are private."
            )
            self._banner.show_message(Message(subject=_OWNER, text=text))
        else:
            self._banner.take_back(_OWNER)


def _links_of_the_machine() -> list[str]:
    return [name for _, name in socket.if_nameindex() if name != "lo"]
