"""Connect and disconnect as the user means it: the profile from its file, the key from the keyring.

One thing at a time: a second click while a call is under way does nothing.
"""

import os
from collections.abc import Mapping

from PySide6.QtCore import QObject, Signal

from mqvpn_gui.app.background import Background
from mqvpn_gui.bus.helper_proxy import HelperProxy
from mqvpn_gui.bus.qt_bus import CallError
from mqvpn_gui.model.helper_state import KillSwitch, Role
from mqvpn_gui.user.errors import UserError
from mqvpn_gui.user.profile_store import ProfileStore
from mqvpn_gui.user.profile_text import StoredProfile
from mqvpn_gui.user.secret_pipe import secret_pipe
from mqvpn_gui.user.secret_store import SecretStore
from mqvpn_gui.user.secret_text import SecretText
from mqvpn_helper.interface.profile import MEMBER_TYPES

Variants = Mapping[str, tuple[str, object]]


class TunnelControl(QObject):
    """Does what the user asks for, and says what went wrong.

    A: `is_busy`. C: `connect_with`, `disconnect`, `set_role`, `set_kill_switch`, `answer_secret`.
    """

    busy_changed = Signal(bool)
    """Whether a call is under way."""
    failed = Signal(str, str)
    """Problem and advice."""
    secret_missing = Signal(str, str)
    """The key of this profile has to be asked for; why."""

    def __init__(
        self,
        helper: HelperProxy,
        background: Background,
        profiles: ProfileStore,
        secrets: SecretStore,
    ) -> None:
        """Stand ready.

        Args:
            helper: who does it.
            background: for keyring and files.
            profiles: the user's servers.
            secrets: their keys.
        """
        super().__init__(helper)
        self.is_busy = False
        """Whether a call is under way."""
        self._helper = helper
        self._background = background
        self._profiles = profiles
        self._secrets = secrets
        helper.secrets_needed.connect(
            lambda profile: self.secret_missing.emit(profile, self.tr("The server asks for it."))
        )

    def connect_with(self, name: str) -> None:
        """Bring the tunnel of a profile up."""
        if self.is_busy:
            return
        self._set_busy(is_busy=True)

        def read() -> tuple[StoredProfile, SecretText | None]:
            return self._profiles.read(name), self._secrets.read(name)

        def on_read(found: tuple[StoredProfile, SecretText | None]) -> None:
            profile, secret = found
            if secret is None:
                self._set_busy(is_busy=False)
                self.secret_missing.emit(name, self.tr("There is no key for it in the keyring."))
                return
            self._connect(profile, secret)

        def on_error(error: UserError) -> None:
            self._set_busy(is_busy=False)
            if name in self._profiles.names():
                self.secret_missing.emit(name, str(error))
            else:
                self.failed.emit(error.problem, error.advice)

        self._background.run(read, on_read, on_error)

    def connect_asked(self, name: str, secret: SecretText) -> None:
        """Bring the tunnel of a profile up with a key that the user typed."""
        if self.is_busy:
            return
        self._set_busy(is_busy=True)
        self._background.run(
            lambda: self._profiles.read(name),
            lambda profile: self._connect(profile, secret),
            self._fail,
        )

    def disconnect_tunnel(self) -> None:
        """Take the tunnel down, or stop connecting."""
        if not self.is_busy:
            self._set_busy(is_busy=True)
            self._helper.disconnect_tunnel(self._outcome)

    def set_role(self, interface: str, role: Role) -> None:
        """Change what an interface is used for."""
        self._helper.set_path_policy(interface, {"role": ("s", role.value)}, self._outcome)

    def set_kill_switch(self, mode: KillSwitch) -> None:
        """Change the kill switch."""
        self._helper.set_kill_switch(mode.value, self._outcome)

    def allow_portal(self, interface: str, seconds: int) -> None:
        """Let an interface past the kill switch for a login page; 0 seconds end that."""
        self._helper.allow_portal(interface, seconds, self._outcome)

    def _connect(self, profile: StoredProfile, secret: SecretText) -> None:
        members = profile.settings.to_mapping()
        variants: Variants = {name: (MEMBER_TYPES[name], each) for name, each in members.items()}
        with secret_pipe(secret) as reading:
            # The proxy closes its copy when the call has ended; ours ends with this block.
            self._helper.connect_tunnel(variants, os.dup(reading), self._outcome)

    def _outcome(self, error: CallError | None) -> None:
        self._set_busy(is_busy=False)
        if error is not None:
            self.failed.emit(error.text, "")

    def _fail(self, error: UserError) -> None:
        self._set_busy(is_busy=False)
        self.failed.emit(error.problem, error.advice)

    def _set_busy(self, *, is_busy: bool) -> None:
        if is_busy != self.is_busy:
            self.is_busy = is_busy
            self.busy_changed.emit(is_busy)
