"""The secret of one session: what a user gave last, and the copy that cores get."""

import os

import trio

from mqvpn_helper.session.secret_copy import SecretCopy, SecretError


class SessionSecret:
    """The secret. A: ``copy``, `is_given`. C: `provide`, `ask`, `take`, `close`."""

    def __init__(self, fd: int | None) -> None:
        """Own a descriptor that leads to it; None: nobody has one yet."""
        self.copy: SecretCopy | None = None
        """What cores get; None before `take`."""
        self.arrived = trio.Event()
        """Somebody has given another one since `ask`."""
        self._fd = fd

    @property
    def is_given(self) -> bool:
        """`take` has something to take."""
        return self._fd is not None

    def provide(self, fd: int) -> None:
        """Note where another one can be read, for the next `take`; the descriptor is ours."""
        if self._fd is not None:
            os.close(self._fd)
        self._fd = fd
        self.arrived.set()

    def ask(self) -> trio.Event:
        """Return what is set when somebody gives another one from now on."""
        if self._fd is None:
            self.arrived = trio.Event()
        return self.arrived

    async def take(self) -> SecretCopy:
        """Put what was given last in place of the copy.

        Raises:
            SecretError: nothing was given, or it is no secret.
        """
        fd, self._fd = self._fd, None
        if fd is None:
            raise SecretError("there is no secret")
        new = await SecretCopy.take(fd)
        if self.copy is not None:
            self.copy.close()
        self.copy = new
        return new

    def close(self) -> None:
        """Forget everything."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        if self.copy is not None:
            self.copy.close()
