"""Runs ``mqvpn`` in this process, in a world of its own."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from mqvpn_gui.command.context import Context
from mqvpn_gui.command.main import main
from mqvpn_gui.user.profile_store import ProfileStore
from mqvpn_gui.user.secret_store import SecretStore
from tests.command.fake_helper import FakeHelper
from tests.user.fake_keyring import FakeKeyring

PIN = "sha256/" + "C" * 42 + "I="
LINK = f"mqvpn://alice@vpn.example.org/?name=Office&pin={PIN}#the-key-of-alice"


class Terminal(io.StringIO):
    """Text that is or is not typed by somebody."""

    def __init__(self, text: str = "", *, is_tty: bool = False) -> None:
        super().__init__(text)
        self._is_tty = is_tty

    @override
    def isatty(self) -> bool:
        return self._is_tty


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What one call did."""

    code: int
    """Exit code."""
    out: str
    """Standard output."""
    err: str
    """Standard error."""

    @property
    def json(self) -> object:
        """Standard output as JSON."""
        value: object = json.loads(self.out)
        return value


class Command:
    """Calls ``main`` and catches what comes out."""

    def __init__(self, directory: Path) -> None:
        self.store = ProfileStore(directory / "profiles")
        self.keyring = FakeKeyring()
        self.helper = FakeHelper()
        self.now = 0.0
        self.asked: list[str] = []
        self.hidden_answers: list[str] = []
        self.step = 0.0
        """Seconds that pass with each look at the clock."""

    def __call__(
        self,
        *arguments: str,
        typed: str | None = None,
        piped: str = "",
        find: Callable[[], FakeKeyring] | None = None,
    ) -> Outcome:
        """Call ``mqvpn``.

        Args:
            arguments: the command line.
            typed: what somebody types at a terminal; None: nobody is there.
            piped: what comes from a file instead.
            find: opens another keyring.
        """
        out, err = io.StringIO(), io.StringIO()
        context = Context(
            out=out,
            err=err,
            input=Terminal(piped if typed is None else typed, is_tty=typed is not None),
            profiles=self.store,
            open_helper=self.helper,
            open_secrets=lambda on_wait: SecretStore(
                find or (lambda: self.keyring), timeout=5, on_wait=on_wait
            ),
            ask_hidden=self._ask,
            monotonic=self._monotonic,
            wall=lambda: 1_000_000_100.0,
        )
        code = main(arguments, context)
        return Outcome(code=code, out=out.getvalue(), err=err.getvalue())

    def kept(self, profile: str) -> str | None:
        """The key of a profile."""
        return self.keyring.kept.get(("org.mqvpn.Client", f"profile:{profile}"))

    def _ask(self, question: str) -> str:
        self.asked.append(question)
        return self.hidden_answers.pop(0)

    def _monotonic(self) -> float:
        self.now += self.step
        return self.now
