"""What the commands stand on: terminal, profiles, keyring and helper; each made when it is used."""

import getpass
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TextIO

from mqvpn_gui.command.authentication_agent import AuthenticationAgent
from mqvpn_gui.user.errors import SecretError
from mqvpn_gui.user.profile_store import ProfileStore
from mqvpn_helper.interface.bus_interface import Method

if TYPE_CHECKING:
    from mqvpn_gui.command.helper_client import HelperSignal
    from mqvpn_gui.user.secret_store import SecretStore

_WIDTH_OF_A_FILE = 200


class Helper(Protocol):
    """The helper, as `HelperClient` shows it."""

    @property
    def is_helper_gone(self) -> bool:
        """It has left the bus since it was found."""
        ...

    def find(self) -> None:
        """Start it again and talk to the new one."""

    def properties(self) -> Mapping[str, object]:
        """Every property that this user may see."""
        ...

    def call(self, method: Method, *arguments: object) -> tuple[object, ...]:
        """Call a method."""
        ...

    def signals(self, timeout: float) -> Iterator["HelperSignal"]:
        """Signals as they come."""
        ...


def _open_helper() -> "AbstractContextManager[Helper]":
    from mqvpn_gui.command.helper_client import HelperClient  # noqa: PLC0415 - keeps --help quick

    is_wanted = sys.stdin.isatty() and sys.stderr.isatty()
    return HelperClient.open(AuthenticationAgent(is_wanted=is_wanted))


def _open_secrets(on_wait: Callable[[], None]) -> "SecretStore":
    from mqvpn_gui.user.secret_store import SecretStore  # noqa: PLC0415 - keeps --help quick

    return SecretStore(on_wait=on_wait)


def _ask_hidden(question: str) -> str:
    try:
        return getpass.getpass(question)
    except EOFError:
        return ""


@dataclass(slots=True, kw_only=True)
class Context:
    """The world of one run; tests put another one in its place."""

    out: TextIO = field(default_factory=lambda: sys.stdout)
    """What was asked for."""
    err: TextIO = field(default_factory=lambda: sys.stderr)
    """Everything else there is to say."""
    input: TextIO = field(default_factory=lambda: sys.stdin)
    """Where answers and keys come from."""
    profiles: ProfileStore = field(default_factory=ProfileStore)
    """The user's profiles."""
    open_helper: Callable[[], "AbstractContextManager[Helper]"] = _open_helper
    """Connects to the helper."""
    open_secrets: Callable[[Callable[[], None]], "SecretStore"] = _open_secrets
    """Opens the keyring, given what to call when it makes us wait."""
    ask_hidden: Callable[[str], str] = _ask_hidden
    """Asks a question on the terminal and shows nothing of the answer."""

    monotonic: Callable[[], float] = time.monotonic  # noqa: TID251 - the one clock of the command
    """Seconds of a clock that never jumps."""
    wall: Callable[[], float] = time.time  # noqa: TID251 - as above
    """Seconds since 1970."""

    def show(self, *lines: str) -> None:
        """Print what was asked for."""
        self.out.write("".join(f"{line}\n" for line in lines))
        self.out.flush()

    def show_json(self, value: object) -> None:
        """Print a value in one line of JSON."""
        self.show(json.dumps(value, ensure_ascii=False))

    def tell(self, text: str, value: object, *, as_json: bool) -> None:
        """Print what was done, for people or for programs.

        Args:
            text: a line for people.
            value: the same for programs.
            as_json: which.
        """
        if as_json:
            self.show_json(value)
        else:
            self.show(text)

    def note(self, *lines: str) -> None:
        """Tell something beside what was asked for."""
        self.err.write("".join(f"{line}\n" for line in lines))
        self.err.flush()

    @property
    def width(self) -> int:
        """Characters in a line of output."""
        return shutil.get_terminal_size().columns if self.out.isatty() else _WIDTH_OF_A_FILE

    @property
    def is_interactive(self) -> bool:
        """Somebody can answer questions."""
        return self.input.isatty()

    def secrets(self) -> "SecretStore":
        """The keyring."""
        return self.open_secrets(
            lambda: self.note("waiting for the keyring; it may ask for its password on the screen")
        )

    def confirm(self, question: str) -> bool:
        """Ask for a yes; without a terminal the answer is no."""
        if not self.is_interactive:
            return False
        self.err.write(f"{question} [y/N] ")
        self.err.flush()
        return self.input.readline().strip().lower() in {"y", "yes"}

    def read_line(self, limit: int) -> str:
        """Read one line of input without its end.

        Raises:
            SecretError: there is none, or it is too long.
        """
        line = self.input.readline(limit + 1)
        if len(line) > limit:
            raise SecretError(f"the line is longer than {limit} characters")
        if not line:
            raise SecretError("nothing was given on the standard input")
        return line.strip()
