"""What a session needs to know of a core's process; how one is started is `core_launch`'s."""

from dataclasses import dataclass
from typing import Protocol


class LaunchError(Exception):
    """A core cannot be started at all; the message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreFiles:
    """Descriptors that a core inherits; they stay the caller's to close."""

    tun: int
    """The TUN device."""
    control: int
    """The core's end of the control socket."""
    secret: int
    """Where the secret can be read."""


class CoreProcess(Protocol):
    """One running core."""

    @property
    def pid(self) -> int:
        """Its process ID."""

    async def wait(self) -> int:
        """Wait for its end; return the exit code, negative for a signal."""
        ...

    def kill(self) -> None:
        """End it at once; harmless when it has ended."""


class CoreLauncher(Protocol):
    """Starts cores that have no privilege at all."""

    @property
    def uid(self) -> int:
        """The user that they run as."""

    async def launch(self, files: CoreFiles) -> CoreProcess:
        """Start a core.

        Raises:
            LaunchError: that is not possible here.
        """
        ...
