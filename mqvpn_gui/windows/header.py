"""The top of the window: what the tunnel does, and the one big button."""

from PySide6.QtCore import QCoreApplication, QSize, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from typing_extensions import override

from mqvpn_gui.look.state_icon import IconBook, IconState, icon_state
from mqvpn_gui.look.theme import Colours
from mqvpn_gui.model.helper_state import HelperState, KillSwitch
from mqvpn_gui.windows.flow_layout import FlowLayout
from mqvpn_gui.windows.widgets import ElidedLabel, plain_label, set_kind
from mqvpn_gui.words import quantities, states
from mqvpn_helper.interface.bus_names import TunnelState

_ICON_PIXELS = 40
_NARROW = 420


def _tr(text: str) -> str:
    return QCoreApplication.translate("header", text)


class Header(QFrame):
    """State, server, duration, rates, and the toggle.

    A: `stops`. C: `show_state`, `show_profiles`, `set_busy`, `tick`.
    """

    toggle_wanted = Signal()
    """Connect, cancel or disconnect."""
    profile_chosen = Signal(str)
    """Use this profile from now on."""

    def __init__(self, chosen: Colours) -> None:
        """Show that nothing is known.

        Args:
            chosen: colours of the theme.
        """
        super().__init__()
        self.setProperty("class", "card")
        self._colours = chosen
        self._book = IconBook()
        self._state = HelperState()
        self._has_profiles = False
        self._is_busy = False
        self._is_narrow: bool | None = None
        self._icon = QLabel()
        self._icon.setFixedSize(_ICON_PIXELS, _ICON_PIXELS)
        self._word = plain_label(wraps=True)
        font = self._word.font()
        font.setPointSizeF(font.pointSizeF() * 1.5)
        font.setBold(True)
        self._word.setFont(font)
        self._server = QComboBox()
        self._server.setAccessibleName(_tr("Server"))
        self._server.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self._server.setMinimumContentsLength(12)
        self._server.activated.connect(self._on_server)
        self._address = ElidedLabel()
        self._time = plain_label(kind="faint")
        self._rates = plain_label(kind="faint")
        self._kill_switch = plain_label(kind="faint", wraps=True)
        self._step = plain_label(wraps=True)
        self._progress = QProgressBar()
        self._progress.setRange(0, 0)
        self._progress.setTextVisible(False)
        self._progress.setMaximumHeight(6)
        self._progress.setAccessibleName(_tr("Connecting"))
        self._button = QPushButton()
        self._button.setProperty("class", "main")
        self._button.setMinimumWidth(110)
        self._button.clicked.connect(self.toggle_wanted)
        self._lay_out()
        self.show_state(self._state)

    def _lay_out(self) -> None:
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(self._word)
        words.addWidget(self._address)
        top = QHBoxLayout()
        top.addWidget(self._icon)
        top.addLayout(words, 1)
        self._top = top
        numbers = FlowLayout(spacing=10)
        numbers.addWidget(self._server)
        numbers.add_gap()
        numbers.addWidget(self._rates)
        numbers.addWidget(self._time)
        grid = QGridLayout(self)
        grid.setContentsMargins(14, 12, 14, 12)
        grid.addLayout(top, 0, 0)
        grid.addWidget(self._progress, 2, 0)
        grid.addWidget(self._step, 3, 0)
        grid.addLayout(numbers, 4, 0)
        grid.addWidget(self._kill_switch, 5, 0)
        self._grid = grid
        self._place_button(is_narrow=False)

    @property
    def stops(self) -> tuple[QWidget, ...]:
        """What Tab comes to, in its order."""
        return self._button, self._server

    @override
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place_button(is_narrow=self.width() < _NARROW)

    def _place_button(self, *, is_narrow: bool) -> None:
        """Beside the state where there is room, below it where there is none."""
        if is_narrow is self._is_narrow:
            return
        self._is_narrow = is_narrow
        if is_narrow:
            self._top.removeWidget(self._button)
            self._grid.addWidget(self._button, 1, 0)
        else:
            self._grid.removeWidget(self._button)
            self._top.addWidget(self._button)

    def show_state(self, state: HelperState) -> None:
        """Write everything anew."""
        self._state = state
        self._word.setText(states.tunnel_state(state))
        set_kind(self._word, _kind_of(state))
        self._paint_icon()
        where = state.server if state.is_wanted else ""
        addresses = "  ".join(part for part in (where, *state.addresses) if part)
        self._address.setText(addresses)
        self._address.setVisible(bool(addresses))
        rates = (
            sum(path.rx_bps for path in state.paths),
            sum(path.tx_bps for path in state.paths),
        )
        self._rates.setText(
            _tr("\N{DOWNWARDS ARROW} {0}   \N{UPWARDS ARROW} {1}").format(
                quantities.rate(rates[0]), quantities.rate(rates[1])
            )
            if state.carries_traffic
            else ""
        )
        self._rates.setAccessibleName(
            _tr("{0} down, {1} up").format(
                quantities.spoken_rate(rates[0]), quantities.spoken_rate(rates[1])
            )
        )
        protection = _protection(state)
        self._kill_switch.setText(protection)
        self._kill_switch.setVisible(bool(protection))
        is_trying = state.state in (TunnelState.CONNECTING, TunnelState.RECONNECTING)
        self._progress.setVisible(is_trying)
        self._step.setVisible(is_trying)
        self._step.setText(_step(state))
        self._show_button()

    def show_profiles(self, profiles: tuple[str, ...], chosen: str) -> None:
        """Offer these servers."""
        self._has_profiles = bool(profiles)
        self._server.clear()
        self._server.addItems(list(profiles))
        self._server.setCurrentText(chosen)
        self._server.setVisible(bool(profiles))
        self._show_button()

    def set_busy(self, is_busy: bool) -> None:
        """Keep the button from being clicked twice while a call is under way."""
        self._is_busy = is_busy
        self._show_button()

    def set_colours(self, chosen: Colours) -> None:
        """Change the colours."""
        self._colours = chosen
        self._paint_icon()

    def tick(self, now: float) -> None:
        """Write the duration.

        Args:
            now: seconds since 1970.
        """
        lasts = self._state.carries_traffic and self._state.since > 0
        self._time.setText(quantities.duration(now - self._state.since) if lasts else "")

    def _paint_icon(self) -> None:
        what = icon_state(self._state)
        icon = self._book.icon(what, len(self._state.working_paths), self._colours, is_mono=False)
        self._icon.setPixmap(
            icon.pixmap(QSize(_ICON_PIXELS, _ICON_PIXELS), self.devicePixelRatio())
        )

    def _show_button(self) -> None:
        state = self._state
        if state.state is TunnelState.CONNECTING and state.is_present:
            text, says = _tr("&Cancel"), _tr("Stops connecting")
        elif state.is_wanted:
            text, says = _tr("&Disconnect"), _tr("Turns the VPN tunnel off")
        else:
            text, says = _tr("&Connect"), _tr("Turns the VPN tunnel on")
        self._button.setText(text)
        self._button.setAccessibleDescription(says)
        can_start = self._has_profiles or state.is_wanted
        self._button.setEnabled(state.is_present and can_start and not self._is_busy)

    def _on_server(self) -> None:
        self.profile_chosen.emit(self._server.currentText())


def _kind_of(state: HelperState) -> str:
    return {
        IconState.OFF: "",
        IconState.CONNECTING: "",
        IconState.UP: "good",
        IconState.DEGRADED: "warning",
        IconState.BLOCKED: "bad",
        IconState.ERROR: "bad",
    }[icon_state(state)]


def _protection(state: HelperState) -> str:
    if not state.is_present:
        return ""
    parts = [_tr("Kill switch: {0}").format(states.kill_switch(state.kill_switch))]
    if state.dns_method and state.carries_traffic:
        parts.append(_tr("DNS: {0}").format(state.dns_method))
    if state.kill_switch is KillSwitch.OFF and not state.carries_traffic and state.is_wanted:
        parts.append(_tr("traffic goes outside the tunnel meanwhile"))
    return "   ".join(parts)


def _step(state: HelperState) -> str:
    if state.state is TunnelState.RECONNECTING:
        return _tr("The connection is lost. Addresses and routes stay while it is made anew.")
    if not state.paths:
        return _tr("Looking for links and the server…")
    trying = ", ".join(states.link_name(path) for path in state.paths)
    return _tr("Asking the server over {0}…").format(trying)
