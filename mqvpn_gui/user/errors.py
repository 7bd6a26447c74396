"""What can go wrong on the user's side: each error says the problem, and what to do about it."""

from typing_extensions import override


class UserError(Exception):
    """Base of the errors that a user sees; a front end shows both lines."""

    def __init__(self, problem: str, advice: str = "") -> None:
        """Say what is wrong.

        Args:
            problem: what, in one line that quotes no secret.
            advice: what to do, in one line; empty where nothing can be done.
        """
        super().__init__(problem)
        self.problem = problem
        self.advice = advice

    @override
    def __str__(self) -> str:
        return f"{self.problem}; {self.advice}" if self.advice else self.problem


class ProfileError(UserError):
    """A profile, a link or a file to import is not usable."""


class SecretError(UserError):
    """The key of a profile cannot be had, or cannot be kept."""


class KeyringAbsentError(SecretError):
    """Nothing on this desktop keeps secrets."""


class KeyringLockedError(SecretError):
    """The keyring is locked and nobody unlocked it."""


class KeyringTimeoutError(SecretError):
    """The keyring does not answer; a question may be waiting on the screen."""


class HelperError(UserError):
    """The helper refused or failed."""


class HelperMissingError(HelperError):
    """There is no helper on the system bus."""


class NotAuthorizedError(HelperError):
    """The user may not do that."""
