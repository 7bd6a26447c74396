"""The tree of commands, and parsers that know their own options, for help and completion alike."""

import argparse
import enum
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NoReturn

from typing_extensions import override

from mqvpn_gui.command.context import Context
from mqvpn_gui.user.errors import UserError
from mqvpn_gui.user.names import PROGRAM

_LINK = re.compile(r"mqvpn:\S+", re.IGNORECASE)
_SHOWN = 40


class UsageError(UserError):
    """The command line is wrong; nothing was done."""


class Takes(enum.Enum):
    """What completion offers for a value that is no fixed word."""

    ANYTHING = ""
    """Nothing to offer."""
    PROFILE = "profiles"
    """Names of profiles."""
    INTERFACE = "interfaces"
    """Names of network interfaces."""
    FILE = "files"
    """Names of files."""


class Parser(argparse.ArgumentParser):
    """Raises UsageError where argparse would end the process."""

    def __init__(self, path: str, summary: str, examples: str) -> None:
        """Prepare the parser of one command.

        Args:
            path: its name with those of the groups above it.
            summary: one line about it.
            examples: lines that show its use.
        """
        super().__init__(
            prog=f"{PROGRAM} {path}",
            description=f"{summary}\n\nexamples:\n{examples.rstrip()}",
            formatter_class=_Formatter,
            allow_abbrev=False,
            add_help=False,
        )
        self.known: list[tuple[argparse.Action, Takes]] = []
        """Every option and argument that `know` was told of."""
        self.know(self.add_argument("-h", "--help", action="help", help="show this text"))

    def know(self, action: argparse.Action, takes: Takes = Takes.ANYTHING) -> None:
        """Note an option or argument for completion.

        Args:
            action: what ``add_argument`` returned.
            takes: what its value is.
        """
        self.known.append((action, takes))

    @override
    def error(self, message: str) -> NoReturn:
        """Refuse the command line; a link in it may hold a key, so it is not repeated."""
        unknown = message.removeprefix("unrecognized arguments: ")
        missing = message.removeprefix("the following arguments are required: ")
        if unknown != message:
            message = f"{self.prog} does not know {unknown}"
        elif missing != message:
            message = f"{self.prog} needs more: {missing}"
        raise UsageError(_LINK.sub("mqvpn:...", message), f"see {self.prog} --help")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command, or a group of them."""

    name: str
    """Its name."""
    summary: str
    """One line about it."""
    examples: str = ""
    """Lines that show its use; of a command, not of a group."""
    build: Callable[[Parser], None] = lambda _parser: None
    """Gives the parser its options."""
    run: Callable[[argparse.Namespace, Context], int] | None = None
    """Does it and returns the exit code; None: a group."""
    children: tuple["Command", ...] = field(default=())
    """Commands of a group."""

    def parser(self, path: str) -> Parser:
        """Return the parser of this command.

        Args:
            path: names of the groups above it, and its own.
        """
        parser = Parser(path, self.summary, self.examples)
        self.build(parser)
        return parser


def choose(
    commands: Sequence[Command], arguments: Sequence[str]
) -> tuple[Command, str, Sequence[str]]:
    """Return the command that a command line means, its whole name, and what is left for it.

    Raises:
        UsageError: there is no such command.
    """
    path: list[str] = []
    rest = list(arguments)
    while True:
        name = rest.pop(0)
        found = next((each for each in commands if each.name == name), None)
        if found is None:
            raise _unknown(commands, name, path)
        path.append(name)
        if found.run is not None or not rest or rest[0] in {"-h", "--help"}:
            return found, " ".join(path), rest
        commands = found.children


def overview_of(group: Command, path: str) -> str:
    """Return the help of a group."""
    return (
        f"usage: {PROGRAM} {path} COMMAND ...\n\n{group.summary}\n\ncommands, each with its own"
        f" --help:\n{command_lines(group.children)}"
    )


def command_lines(commands: Sequence[Command]) -> str:
    """Return commands with their summaries, a line each."""
    width = max(len(each.name) for each in commands)
    return "".join(f"  {each.name:<{width}}  {each.summary}\n" for each in commands)


def _unknown(commands: Sequence[Command], name: str, path: Sequence[str]) -> UsageError:
    whole = " ".join([PROGRAM, *path])
    shown = _LINK.sub("mqvpn:...", name)[:_SHOWN]
    if name.startswith("-"):
        advice = f"options stand behind a command, as in mqvpn status --json (see {whole} --help)"
        return UsageError(f"there is no option {shown}", advice)
    names = [each.name for each in commands]
    near = [each for each in names if each.startswith(name)]
    near += get_close_matches(name[:_SHOWN], names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are: {', '.join(names)}"
    return UsageError(f"there is no command {whole} {shown}", f"{hint} (see {whole} --help)")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Leaves room for long option names."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=100)
