"""Chooses the command and turns every failure into one line and an exit code.

Commands are imported when they are chosen, so that ``--help`` answers at once.
"""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches

from mqvpn_core.app.exit_codes import ExitCode
from mqvpn_core.app.one_line import one_line
from mqvpn_core.cli.texts import COMMANDS, PROGRAM, overview
from mqvpn_core.config.parsing import quote
from mqvpn_core.errors import ConfigError, MqvpnError

_LOGGER = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``mqvpn-core`` and return its exit code.

    Args:
        arguments: the command line without the program; that of the process by default.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(given)
        sys.stdout.flush()
    except ConfigError as error:
        return _fail(error, ExitCode.USAGE)
    except BrokenPipeError:
        _give_up_output()
        return ExitCode.FAILURE  # who read our output has seen enough
    except MqvpnError as error:
        return _fail(error, ExitCode.FAILURE)
    except OSError as error:
        _LOGGER.debug("unexpected refusal of the system", exc_info=True)
        _give_up_output()
        return _fail(error, ExitCode.FAILURE)
    except KeyboardInterrupt:
        return ExitCode.FAILURE
    return code


def _give_up_output() -> None:
    """Make the interpreter's last flush harmless: what is left would only fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(error: Exception, code: ExitCode) -> int:
    sys.stderr.write(f"{PROGRAM}: {one_line(str(error))}\n")
    return code


def _run(arguments: list[str]) -> int:
    first = arguments[0] if arguments else "--help"
    if first in {"--help", "-h", "help"}:
        sys.stdout.write(overview())
        return ExitCode.OK if arguments else ExitCode.USAGE
    if first in {"--version", "-V"}:
        from mqvpn_core.app.version import (  # noqa: PLC0415 - see the module
            kernel_line,
            version_line,
        )

        sys.stdout.write(f"{version_line()}\n{kernel_line()}\n")
        return ExitCode.OK
    if first == "--genkey":
        return _command("genkey")(arguments[1:])
    if first.startswith("-"):  # options without a command, as the C program takes them
        return _command("")(arguments)
    if first not in COMMANDS:
        near = [name for name in COMMANDS if name.startswith(first)]
        near += get_close_matches(first, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are: {', '.join(COMMANDS)}"
        raise ConfigError(f"unknown command {quote(first)}; {hint} (see {PROGRAM} --help)")
    if first == "server" and arguments[1:2] in (["init"], ["check"]):
        from mqvpn_core.cli import server_setup  # noqa: PLC0415 - see the module

        setup = {"init": server_setup.init, "check": server_setup.check}[arguments[1]]
        return setup(arguments[2:])
    return _command(first)(arguments[1:])


def _command(name: str) -> Callable[[Sequence[str]], int]:
    if name in {"status", "events", "path", "scheduler", "portal"}:
        from mqvpn_core.cli import observing  # noqa: PLC0415 - see the module

        return {
            "status": observing.status,
            "events": observing.events,
            "path": observing.path,
            "scheduler": observing.scheduler,
            "portal": observing.portal,
        }[name]
    if name == "user":
        from mqvpn_core.cli import users  # noqa: PLC0415 - see the module

        return users.users
    from mqvpn_core.cli import tools, tunnels  # noqa: PLC0415 - see the module

    commands: dict[str, Callable[[Sequence[str]], int]] = {
        "": tunnels.run_any,
        "client": tunnels.run_client,
        "server": tunnels.run_server,
        "check-config": tunnels.check_config,
        "genkey": tools.genkey,
        "gencert": tools.gencert,
        "demo": tools.demo,
        "recover": tools.recover,
    }
    return commands[name]
