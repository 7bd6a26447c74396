"""Connect and disconnect as the user means it: the profile from its file, the key from the keyring.

One thing at a time: a second click while a call is under way does nothing.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal

from mqvpn_gui.app.background import Background
from mqvpn_gui.bus.helper_proxy import HelperProxy
from mqvpn_gui.bus.qt_bus import CallError
from mqvpn_gui.model.helper_state import KillSwitch, Role
from mqvpn_gui.model.link_roles import with_default_roles
from mqvpn_gui.model.preferences import Preferences
from mqvpn_gui.user.errors import (
    KeyringLockedError,
    KeyringTimeoutError,
    SecretError,
    UserError,
)
from mqvpn_gui.user.profile_store import ProfileStore
from mqvpn_gui.user.secret_pipe import secret_pipe
from mqvpn_gui.user.secret_store import SecretStore
from mqvpn_gui.user.secret_text import SecretText
from mqvpn_gui.words.messages import told, told_failure
from mqvpn_helper.interface.bus_interface import NO_OWNER
from mqvpn_helper.interface.profile import MEMBER_TYPES, Profile

Variants = Mapping[str, tuple[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyQuestion:
    """The key of a server has to come from the user."""

    profile: str
    """Whose key."""
    problem: SecretError | None = None
    """Why the keyring has it not; None: it works, and there is none in it."""
    is_refused: bool = False
    """The server refused the one that it got; the tunnel waits for another."""

    @property
    def is_locked(self) -> bool:
        """The keyring could be opened."""
        return isinstance(self.problem, KeyringLockedError | KeyringTimeoutError)

    @property
    def can_keep(self) -> bool:
        """There is a keyring that would take the answer."""
        return self.problem is None


def variants_of(profile: Profile) -> Variants:
    """Return the members of a profile with their D-Bus types."""
    return {name: (MEMBER_TYPES[name], each) for name, each in profile.to_mapping().items()}


class TunnelControl(QObject):
    """Does what the user asks for, and says what went wrong.

    A: `is_busy`. C: `connect_with`, `disconnect_tunnel`, `answer`, `ask_again`, `set_role`,
    `set_kill_switch`, `allow_portal`.
    """

    busy_changed = Signal(bool)
    """Whether a call is under way."""
    failed = Signal(str, str)
    """Problem and advice."""
    key_wanted = Signal(object)
    """A `KeyQuestion`."""

    def __init__(
        self,
        helper: HelperProxy,
        background: Background,
        profiles: ProfileStore,
        secrets: SecretStore,
        preferences: Callable[[], Preferences],
    ) -> None:
        """Stand ready.

        Args:
            helper: who does it.
            background: for keyring and files.
            profiles: the user's servers.
            secrets: their keys.
            preferences: returns what the user wants of links.
        """
        super().__init__(helper)
        self.is_busy = False
        """Whether a call is under way."""
        self._helper = helper
        self._background = background
        self._profiles = profiles
        self._secrets = secrets
        self._preferences = preferences
        self._last = ""

    def connect_with(self, name: str) -> None:
        """Bring the tunnel of a profile up."""
        if self.is_busy:
            return
        self._set_busy(is_busy=True)

        def read() -> tuple[Profile, SecretText | SecretError | None]:
            profile = self._profiles.read(name).settings
            try:
                return profile, self._secrets.read(name)
            except SecretError as error:
                return profile, error

        def on_read(found: tuple[Profile, SecretText | SecretError | None]) -> None:
            profile, secret = found
            if isinstance(secret, SecretText):
                self._connect(name, profile, secret)
            else:
                self._set_busy(is_busy=False)
                self.key_wanted.emit(KeyQuestion(profile=name, problem=secret))

        self._background.run(read, on_read, self._fail)

    def ask_again(self, profile: str) -> None:
        """The server wants another key for the tunnel that is being made.

        Args:
            profile: as the helper calls it; used where the tunnel was not begun here.
        """
        self.key_wanted.emit(KeyQuestion(profile=self._last or profile, is_refused=True))

    def answer(self, question: KeyQuestion, secret: SecretText, *, keeps: bool) -> None:
        """Use a key that the user typed.

        Args:
            question: what was asked.
            secret: the key.
            keeps: put it into the keyring as well.
        """
        if self.is_busy:
            return
        if keeps:
            self._keep(question.profile, secret)
        self._set_busy(is_busy=True)
        if question.is_refused and self._helper.state.owner != NO_OWNER:
            with secret_pipe(secret) as reading:
                self._helper.provide_secrets(os.dup(reading), self._outcome)
            return
        self._background.run(
            lambda: self._profiles.read(question.profile),
            lambda stored: self._connect(question.profile, stored.settings, secret),
            self._fail,
        )

    def disconnect_tunnel(self) -> None:
        """Take the tunnel down, or stop connecting."""
        if not self.is_busy:
            self._set_busy(is_busy=True)
            self._helper.disconnect_tunnel(self._outcome)

    def set_role(self, interface: str, role: Role) -> None:
        """Change what an interface is used for."""
        self._helper.set_path_policy(interface, {"role": ("s", role.value)}, self._report)

    def set_kill_switch(self, mode: KillSwitch) -> None:
        """Change the kill switch."""
        self._helper.set_kill_switch(mode.value, self._report)

    def allow_portal(self, interface: str, seconds: int) -> None:
        """Let an interface past the kill switch for a login page; 0 seconds end that."""
        self._helper.allow_portal(interface, seconds, self._report)

    def _connect(self, name: str, profile: Profile, secret: SecretText) -> None:
        self._last = name
        wanted = with_default_roles(profile, self._preferences())
        with secret_pipe(secret) as reading:
            # The proxy closes its copy when the call has ended; ours ends with this block.
            self._helper.connect_tunnel(variants_of(wanted), os.dup(reading), self._outcome)

    def _keep(self, name: str, secret: SecretText) -> None:
        def on_error(error: UserError) -> None:
            self.failed.emit(
                self.tr("The key is used, but could not be kept: {0}").format(told(error.problem)),
                error.advice,
            )

        self._background.run(lambda: self._secrets.write(name, secret), lambda _: None, on_error)

    def _outcome(self, error: CallError | None) -> None:
        self._set_busy(is_busy=False)
        self._report(error)

    def _report(self, error: CallError | None) -> None:
        if error is not None:
            self.failed.emit(told_failure(error.name, error.text), "")

    def _fail(self, error: UserError) -> None:
        self._set_busy(is_busy=False)
        self.failed.emit(error.problem, error.advice)

    def _set_busy(self, *, is_busy: bool) -> None:
        if is_busy != self.is_busy:
            self.is_busy = is_busy
            self.busy_changed.emit(is_busy)
