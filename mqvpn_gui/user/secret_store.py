"""Keys in the keyring of the desktop, one for each profile.

The keyring is asked in a thread with a time limit: it may show a question on the screen and wait
for the answer. What keeps secrets in plain text is treated as no keyring at all.
"""

import queue
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

import keyring
from keyring.errors import KeyringError, KeyringLocked, NoKeyringError, PasswordDeleteError

from mqvpn_gui.user.errors import (
    KeyringAbsentError,
    KeyringLockedError,
    KeyringTimeoutError,
    SecretError,
)
from mqvpn_gui.user.names import APPLICATION_ID
from mqvpn_gui.user.secret_text import SecretText

_T = TypeVar("_T")

DEFAULT_TIMEOUT = 120.0
"""Seconds for somebody to type the password of the keyring."""
_PATIENCE = 1.5
_NOT_KEYRINGS = ("keyring.backends.fail", "keyring.backends.null", "keyrings.alt")
_ASK_INSTEAD = "give the key each time: --ask asks for it, --key-stdin reads it"


class SecretKeeper(Protocol):
    """The part of a keyring that is used; `keyring.backend.KeyringBackend` has it."""

    def get_password(self, service: str, username: str) -> str | None:
        """Return what is kept."""
        ...

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep something."""
        ...

    def delete_password(self, service: str, username: str) -> None:
        """Forget something."""
        ...


def open_keyring() -> SecretKeeper:
    """Return the keyring of this desktop.

    Raises:
        KeyringAbsentError: there is none, or none that keeps anything secret.
    """
    found = keyring.get_keyring()
    module = type(found).__module__
    if module.startswith(_NOT_KEYRINGS):
        raise _absent()
    return found


class SecretStore:
    """Keys by profile."""

    def __init__(
        self,
        find_keyring: Callable[[], SecretKeeper] = open_keyring,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        """Use a keyring.

        Args:
            find_keyring: returns it; called in a thread.
            timeout: seconds to wait for an answer.
            on_wait: called once when an answer takes longer than usual: a question is probably
                waiting on the screen.
        """
        self._find = find_keyring
        self._timeout = timeout
        self._on_wait = on_wait

    def read(self, profile: str) -> SecretText | None:
        """Return the key of a profile, None when there is none.

        Raises:
            SecretError: the keyring is absent, locked, silent or broken.
        """
        text = self._ask(lambda: self._find().get_password(APPLICATION_ID, _account(profile)))
        return None if text is None else SecretText(text)

    def write(self, profile: str, secret: SecretText) -> None:
        """Keep the key of a profile, in place of an earlier one.

        Raises:
            SecretError: as `read`.
        """
        self._ask(
            lambda: self._find().set_password(APPLICATION_ID, _account(profile), secret.reveal())
        )

    def forget(self, profile: str) -> None:
        """Remove the key of a profile; that there is none is no error.

        Raises:
            SecretError: as `read`.
        """

        def remove() -> None:
            found = self._find()
            if found.get_password(APPLICATION_ID, _account(profile)) is not None:
                found.delete_password(APPLICATION_ID, _account(profile))

        self._ask(remove)

    def _ask(self, question: Callable[[], _T]) -> _T:
        answers: queue.SimpleQueue[tuple[_T] | Exception] = queue.SimpleQueue()

        def run() -> None:
            try:
                answers.put((question(),))
            except Exception as error:  # noqa: BLE001 - back ends let out whatever they meet
                answers.put(error)

        # A daemon: one that waits for a dialogue for ever must not keep the program alive.
        threading.Thread(target=run, name="keyring", daemon=True).start()
        answer = self._wait(answers)
        if isinstance(answer, Exception):
            raise _explained(answer) from None
        return answer[0]

    def _wait(self, answers: "queue.SimpleQueue[tuple[_T] | Exception]") -> tuple[_T] | Exception:
        first = min(_PATIENCE, self._timeout)
        try:
            return answers.get(timeout=first)
        except queue.Empty:
            self._on_wait()
        try:
            return answers.get(timeout=max(0.0, self._timeout - first))
        except queue.Empty:
            raise KeyringTimeoutError(
                f"the keyring gave no answer within {self._timeout:g} seconds",
                f"look for a window that asks for its password, or {_ASK_INSTEAD}",
            ) from None


def _account(profile: str) -> str:
    return f"profile:{profile}"


def _absent() -> KeyringAbsentError:
    return KeyringAbsentError(
        "there is no keyring on this desktop, and keys are not kept in plain text",
        f"start one (GNOME Keyring, KWallet, KeePassXC), or {_ASK_INSTEAD}",
    )


def _explained(error: Exception) -> SecretError:
    """Put into our words what a back end raised; it is not quoted beyond its kind."""
    match error:
        case SecretError():
            return error
        case KeyringLocked():
            return KeyringLockedError(
                "the keyring is locked", f"unlock it (logging in does), or {_ASK_INSTEAD}"
            )
        case NoKeyringError():
            return _absent()
        case PasswordDeleteError():
            return SecretError("the keyring does not give the key up", "remove it by hand")
        case KeyringError():
            return SecretError("the keyring refused", _ASK_INSTEAD)
        case _:
            return SecretError(f"the keyring failed ({type(error).__name__})", _ASK_INSTEAD)
