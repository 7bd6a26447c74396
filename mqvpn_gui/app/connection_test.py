"""Tries a server: connects beside the machine's routes, looks which links work, disconnects.

Neither routes nor name servers nor the kill switch change, so whatever else runs is not touched.
"""

import os
from dataclasses import dataclass, replace

from PySide6.QtCore import QObject, QTimer, Signal

from mqvpn_gui.app.tunnel_control import variants_of
from mqvpn_gui.bus.helper_proxy import HelperProxy
from mqvpn_gui.bus.qt_bus import CallError
from mqvpn_gui.model.helper_state import HelperState, PathState
from mqvpn_gui.user.secret_pipe import secret_pipe
from mqvpn_gui.user.secret_text import SecretText
from mqvpn_gui.words import states
from mqvpn_gui.words.messages import told_failure
from mqvpn_gui.words.quantities import milliseconds
from mqvpn_helper.interface.host_plan import KillSwitchMode
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.interface.tunnel_settings import DnsSettings, SplitSettings, TunnelRoutes

LIMIT_MS = 30_000
"""How long a test may take."""
LINGER_MS = 1_500
"""How long other links have to come up after the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """How a test ended."""

    is_good: bool
    """The server let us in."""
    text: str
    """In words."""


def harmless(profile: Profile, kill_switch: KillSwitchMode) -> Profile:
    """Return a profile that makes a tunnel and sends nothing into it.

    Args:
        profile: the server.
        kill_switch: what is in force, and stays.
    """
    return replace(
        profile,
        routes=TunnelRoutes.NONE,
        dns=DnsSettings(),
        split=SplitSettings(),
        kill_switch=kill_switch,
        reconnect=False,
        tied=True,  # it ends with this program at the latest
    )


class ConnectionTest(QObject):
    """Makes one test at a time.

    A: `is_running`. C: `start`, `refuse_key`, `cancel`.
    """

    ended = Signal(object)
    """A `TrialResult`."""

    def __init__(self, helper: HelperProxy) -> None:
        """Stand ready.

        Args:
            helper: makes the tunnel.
        """
        super().__init__(helper)
        self.is_running = False
        """A test is under way."""
        self._helper = helper
        self._has_begun = False
        self._is_ending = False
        self._limit = QTimer(self)
        self._limit.setSingleShot(True)
        self._limit.setInterval(LIMIT_MS)
        self._limit.timeout.connect(lambda: self._end(self.tr("The server does not answer.")))
        self._linger = QTimer(self)
        self._linger.setSingleShot(True)
        self._linger.setInterval(LINGER_MS)
        self._linger.timeout.connect(self._succeed)
        self._waiting: tuple[Profile, SecretText] | None = None
        helper.state_changed.connect(self._on_state)
        helper.reached.connect(self._on_reached)

    def start(self, profile: Profile, secret: SecretText) -> None:
        """Try a server with a key."""
        if self.is_running:
            return
        self.is_running, self._has_begun, self._is_ending = True, False, False
        if self._helper.state.is_present:
            self._begin(profile, secret)
        else:  # it may be about to start, as just after the window itself
            self._waiting = (profile, secret)
            self._helper.look_again()

    def _on_reached(self, obstacle: CallError | None) -> None:
        if self._waiting is None:
            return
        (profile, secret), self._waiting = self._waiting, None
        if obstacle is None:
            self._begin(profile, secret)
        else:
            text = states.tunnel_state(self._helper.state)
            self._finish(TrialResult(is_good=False, text=text))

    def _begin(self, profile: Profile, secret: SecretText) -> None:
        state = self._helper.state
        if state.is_wanted:
            text = self.tr("There is a tunnel up: end it first.")
            self._finish(TrialResult(is_good=False, text=text))
            return
        self._limit.start()
        wanted = harmless(profile, KillSwitchMode(state.kill_switch.value))
        with secret_pipe(secret) as reading:
            self._helper.connect_tunnel(variants_of(wanted), os.dup(reading), self._on_called)

    def refuse_key(self) -> None:
        """The server wants another key."""
        self._end(self.tr("The server does not accept the key."))

    def cancel(self) -> None:
        """Stop a test."""
        self._end(self.tr("The test was stopped."))

    def _on_called(self, error: CallError | None) -> None:
        if error is not None and self.is_running and not self._is_ending:
            self._finish(TrialResult(is_good=False, text=told_failure(error.name, error.text)))

    def _on_state(self, state: HelperState) -> None:
        if not self.is_running or self._is_ending or self._waiting is not None:
            return
        if state.carries_traffic:
            if not self._linger.isActive():
                self._linger.start()
        elif state.is_wanted:
            self._has_begun = True
        elif state.error[1]:
            self._end(told_failure(*state.error))
        elif self._has_begun:
            self._end(self.tr("The tunnel ended by itself."))

    def _succeed(self) -> None:
        working = [
            f"{states.link_name(path)} {milliseconds(path.rtt_ms)}"
            for path in self._helper.state.paths
            if path.state is PathState.ACTIVE
        ]
        text = self.tr("It works.")
        if working:
            text = self.tr("It works over {0}.").format(", ".join(working))
        self._take_down(TrialResult(is_good=True, text=text))

    def _end(self, text: str) -> None:
        if self._waiting is not None:
            self._waiting = None
            self._finish(TrialResult(is_good=False, text=text))
        elif self.is_running and not self._is_ending:
            self._take_down(TrialResult(is_good=False, text=text))

    def _take_down(self, result: TrialResult) -> None:
        """End the tunnel; the result is told when it is gone, so that the next can begin."""
        self._is_ending = True
        self._limit.stop()
        self._linger.stop()
        # That it is down already is no news.
        self._helper.disconnect_tunnel(lambda _error: self._finish(result))

    def _finish(self, result: TrialResult) -> None:
        self.is_running = False
        self._limit.stop()
        self.ended.emit(result)
