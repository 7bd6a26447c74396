"""A parser whose refusals name the nearest option and quote no value, which may be a secret."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

from typing_extensions import override

from mqvpn_core.app.config_formats import nearest
from mqvpn_core.cli.texts import EXAMPLES, PROGRAM, SUB_COMMANDS, command_lines
from mqvpn_core.config.parsing import quote
from mqvpn_core.errors import ConfigError


class Parser(argparse.ArgumentParser):
    """Raises ConfigError where argparse would end the process."""

    def __init__(self, command: str, usage: str) -> None:
        """Prepare the parser of one command.

        Args:
            command: its name.
            usage: how to call it, without program and command.
        """
        parts = [f"examples:\n{EXAMPLES[command]}"] if command in EXAMPLES else []
        if command in SUB_COMMANDS:
            parts.insert(0, command_lines(SUB_COMMANDS[command]))
        super().__init__(
            prog=f"{PROGRAM} {command}".strip(),
            usage=f"{PROGRAM} {command} {usage}".strip(),
            description="\n".join(parts) or None,
            formatter_class=_Formatter,
            allow_abbrev=False,
            add_help=False,
        )
        self.command = command
        self.add_argument("-h", "--help", action="help", help="show this text")

    @override
    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise ConfigError(f"{message}; see {self.prog} --help")

    def parse(self, arguments: Sequence[str], others: Mapping[str, str]) -> argparse.Namespace:
        """Parse, and refuse what is left over.

        Args:
            arguments: the command line after the command.
            others: options of other commands, with the name of the command that has them.

        Raises:
            ConfigError: something is left over, missing or has the wrong form.
        """
        namespace, left = self.parse_known_args(list(arguments))
        options = [argument.partition("=")[0] for argument in left if argument.startswith("-")]
        if options:
            self._refuse_option(options[0], others)
        if left:
            # What is left may be a part of a secret that lost its quotes: not repeated here.
            self.error("one argument too many (a value with blanks needs quotes)")
        return namespace

    def _refuse_option(self, option: str, others: Mapping[str, str]) -> NoReturn:
        if option in others:
            self.error(f"{option} is an option of {PROGRAM} {others[option]}")
        # Without the dashes, which would make all of them alike.
        names = {each.lstrip("-"): each for each in (*self._known(), *others)}
        near = names.get(nearest(option.lstrip("-"), names) or "")
        if near is not None and near not in self._known():
            near += f", an option of {PROGRAM} {others[near]}"
        self.error(f"unknown option {quote(option)}" + (f"; did you mean {near}?" if near else ""))

    def _known(self) -> Iterable[str]:
        return self._option_string_actions


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Leaves room for long option names."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=100)
