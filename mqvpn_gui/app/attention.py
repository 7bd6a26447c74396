"""What the user has to know or decide now, as messages in the banner.

A login that the network wants, an exception of the kill switch that runs out, a link that costs
money, somebody else's tunnel, a helper that died.
"""

import socket
from collections.abc import Callable

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QInputDialog

from mqvpn_gui.app.clocks import Clocks
from mqvpn_gui.bus.network_watch import NetworkStatus
from mqvpn_gui.model.helper_state import HelperState, KillSwitch, PathInfo, Role
from mqvpn_gui.windows.banner import Banner, Message
from mqvpn_gui.words.quantities import duration
from mqvpn_gui.words.states import link_name
from mqvpn_helper.interface.bus_interface import NO_OWNER
from mqvpn_helper.interface.bus_names import TunnelState

PORTAL_SECONDS = 300
"""How long the kill switch lets one interface pass for a login."""

PATIENCE = 8.0
"""Seconds without a connection after which a login page is a likely reason."""

NO_TRAY = "tray"
"""Subject of the message that no panel shows the icon."""

_PORTAL = "portal"
_LOGIN = "login"
_METERED = "metered"
_OWNER = "owner"
_DEATH = "death"
_BLOCKED = "blocked"
_TRYING = (TunnelState.CONNECTING, TunnelState.RECONNECTING, TunnelState.BLOCKED)


class Attention(QObject):
    """Decides what the banner says about the state of things.

    C: `show_state`, `show_network`, `tell_of_death`, `tell_of_tray`, `tick`.
    """

    portal_wanted = Signal(str, int)
    """Let this interface past the kill switch for so many seconds; 0 ends it."""
    page_wanted = Signal(str)
    """Open this address in a browser: the network answers with its login page."""
    role_wanted = Signal(str, object)
    """Interface and `Role`."""
    tunnel_wanted = Signal()
    """Bring the tunnel up again."""
    release_wanted = Signal()
    """Let traffic out although there is no tunnel."""

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
        self._network = NetworkStatus()
        self._trying_since: float | None = None
        self._is_offered = False
        self._has_asked_for_portal = False
        self._settled_links: set[str] = set()
        banner.dismissed.connect(self._on_dismissed)

    def show_state(self, state: HelperState) -> None:
        """Look at a new state."""
        before, self._state = self._state, state
        is_stuck = state.state in _TRYING and state.kill_switch is not KillSwitch.OFF
        if not is_stuck:
            self._trying_since = None
            self._is_offered = False
        elif self._trying_since is None:
            self._trying_since = self._clocks.steady()
        if before.state is not state.state:
            self._tell_of_block(state)
        if before.owner != state.owner or before.is_wanted != state.is_wanted:
            self._tell_of_owner(state)
        if state.is_wanted:
            self._banner.take_back(_DEATH)
        if state.portal_interface and not before.portal_interface and self._has_asked_for_portal:
            self._has_asked_for_portal = False
            self._open_page()
        self._tell_of_metered()
        self.tick()

    def show_network(self, network: NetworkStatus) -> None:
        """Look at what the machine's networks want and cost."""
        had_login, self._network = self._network.wants_login, network
        if network.wants_login and not had_login:
            self._tell_of_login()
        elif not network.wants_login:
            self._banner.take_back(_LOGIN)
        self._tell_of_metered()

    def tell_of_death(self) -> None:
        """Say that the helper is gone, and the tunnel with it."""
        self._banner.show_message(
            Message(
                subject=_DEATH,
                text=self.tr("The helper ended unexpectedly, and the tunnel with it."),
                action=self.tr("Connect again"),
                act=self.tunnel_wanted.emit,
            )
        )

    def tell_of_tray(self) -> None:
        """Say that the window is all there is."""
        self._banner.show_message(
            Message(
                subject=NO_TRAY,
                text=self.tr(
                    "No panel of this desktop shows icons: closing the window ends mqvpn. The"
                    " tunnel stays up."
                ),
            )
        )

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

    def _on_dismissed(self, subject: str) -> None:
        if subject == _METERED:
            self._settled_links |= {path.interface for path in self._costly_paths()}

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

    def _tell_of_login(self) -> None:
        is_blocked = self._state.kill_switch is not KillSwitch.OFF
        action, act = "", None
        if is_blocked:
            action, act = self.tr("Allow that for 5 minutes…"), self._choose_interface
        elif self._network.check_uri:
            action, act = self.tr("Open its page"), self._open_page
        self._banner.show_message(
            Message(
                subject=_LOGIN,
                text=self.tr("The network wants you to log in on a page before anything passes."),
                action=action,
                act=act,
            )
        )

    def _open_page(self) -> None:
        if self._network.check_uri:
            self.page_wanted.emit(self._network.check_uri)

    def _choose_interface(self) -> None:
        names = [path.interface for path in self._state.paths] or self._interfaces()
        if len(names) == 1:
            self._ask_for_portal(names[0])
        elif names:
            question = QInputDialog(self._banner.window())
            question.setWindowTitle(self.tr("Log in to the network"))
            question.setLabelText(self.tr("Which link may pass the kill switch?"))
            question.setComboBoxItems(names)
            question.textValueSelected.connect(self._ask_for_portal)
            question.finished.connect(question.deleteLater)
            question.open()

    def _ask_for_portal(self, interface: str) -> None:
        self._has_asked_for_portal = True
        self.portal_wanted.emit(interface, PORTAL_SECONDS)

    def _tell_of_owner(self, state: HelperState) -> None:
        if state.is_wanted and state.owner not in (NO_OWNER, self._own_user):
            text = self.tr(
                "Another user of this computer has a tunnel up. Its details are private."
            )
            self._banner.show_message(Message(subject=_OWNER, text=text))
        else:
            self._banner.take_back(_OWNER)

    def _tell_of_block(self, state: HelperState) -> None:
        if state.state is not TunnelState.BLOCKED:
            self._banner.take_back(_BLOCKED)
            return
        self._banner.show_message(
            Message(
                subject=_BLOCKED,
                text=self.tr("There is no tunnel, and the kill switch lets nothing out."),
                action=self.tr("Let traffic out unprotected"),
                act=self.release_wanted.emit,
            )
        )

    def _costly_paths(self) -> list[PathInfo]:
        """Paths that spend money although another one is there."""
        costly = [
            path
            for path in self._state.paths
            if path.interface in self._network.metered
            and path.role in (Role.PRIMARY, Role.SECONDARY)
        ]
        return costly if len(self._state.paths) > len(costly) else []

    def _tell_of_metered(self) -> None:
        new = [path for path in self._costly_paths() if path.interface not in self._settled_links]
        if not new:
            self._banner.take_back(_METERED)
            return
        path = new[0]
        text = self.tr("Traffic over {0} is metered: it may cost money.").format(link_name(path))

        def use_as_backup() -> None:
            self.role_wanted.emit(path.interface, Role.BACKUP)

        self._banner.show_message(
            Message(
                subject=_METERED,
                text=text,
                action=self.tr("Use it as backup only"),
                act=use_as_backup,
            )
        )


def _links_of_the_machine() -> list[str]:
    return [name for _, name in socket.if_nameindex() if name != "lo"]
