"""``mqvpn``: chooses the command and turns every failure into one line and an exit code."""

import os
import sys
from collections.abc import Sequence

from mqvpn_gui.command.commands import COMMANDS, HIDDEN
from mqvpn_gui.command.context import Context
from mqvpn_gui.command.exit_codes import EXIT_CODES, ExitCode
from mqvpn_gui.command.findings import program_version
from mqvpn_gui.command.parsing import UsageError, choose, command_lines, overview_of
from mqvpn_gui.model.plain_text import plain
from mqvpn_gui.user.errors import (
    HelperMissingError,
    NotAuthorizedError,
    SecretError,
    UserError,
)
from mqvpn_gui.user.names import PROGRAM

_LONGEST_PROBLEM = 500


def main(arguments: Sequence[str] | None = None, context: Context | None = None) -> int:
    """Run ``mqvpn`` and return its exit code.

    Args:
        arguments: the command line without the program; that of the process by default.
        context: terminal, profiles, keyring and helper; those of the process by default.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    world = Context() if context is None else context
    try:
        code = _run(given, world)
        world.out.flush()
    except UserError as error:
        world.note(f"{PROGRAM}: {plain(error.problem, _LONGEST_PROBLEM)}")
        if error.advice:
            world.note(f"  {plain(error.advice, _LONGEST_PROBLEM)}")
        return _code_of(error)
    except BrokenPipeError:
        # Who read our output has seen enough; the interpreter's last flush would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILURE
    except KeyboardInterrupt:
        world.note("")
        return ExitCode.FAILURE
    except SystemExit as end:  # argparse after --help
        return ExitCode.OK if not end.code else ExitCode.USAGE
    return code


def _run(arguments: list[str], context: Context) -> int:
    first = arguments[0] if arguments else "--help"
    if first in {"--help", "-h", "help"}:
        context.show(_overview().rstrip())
        return ExitCode.OK if arguments else ExitCode.USAGE
    if first in {"--version", "-V"}:
        context.show(f"{PROGRAM} {program_version()}")
        return ExitCode.OK
    known = COMMANDS if first not in {each.name for each in HIDDEN} else HIDDEN
    command, path, rest = choose(known, arguments)
    if command.run is None:
        context.show(overview_of(command, path).rstrip())
        return ExitCode.OK if rest else ExitCode.USAGE
    return command.run(command.parser(path).parse_args(list(rest)), context)


def _code_of(error: UserError) -> ExitCode:
    match error:
        case UsageError():
            return ExitCode.USAGE
        case NotAuthorizedError():
            return ExitCode.NOT_AUTHORIZED
        case HelperMissingError():
            return ExitCode.HELPER_MISSING
        case SecretError():
            return ExitCode.SECRET
        case _:
            return ExitCode.FAILURE


def _overview() -> str:
    return f"""\
{PROGRAM}: a VPN that uses all your networks at once

begin with the link that whoever runs the server gave you:
  {PROGRAM} profile import        asks for it; its key goes into your keyring
  {PROGRAM} up

then:
  {PROGRAM} status --watch        every path live
  {PROGRAM} events --follow       failovers and their gaps
  {PROGRAM} down

keep other traffic from leaving when the tunnel is interrupted:
  {PROGRAM} killswitch standard

commands, each with its own --help:
{command_lines(COMMANDS)}
all commands but completions take --json. Nothing here needs root: a helper does what does,
after polkit has allowed it. If anything ever goes wrong: {PROGRAM} recover

other options:
  --help, -h   this text
  --version    the version

{EXIT_CODES}"""
