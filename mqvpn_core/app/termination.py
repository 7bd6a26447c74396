"""How a run ends: signals in, exit codes out."""

import errno
import logging
import os
import signal
from collections.abc import AsyncIterator

import trio

from mqvpn_core.app.exit_codes import ExitCode
from mqvpn_core.errors import ConfigError, HostError, HostLostError
from mqvpn_core.tunnel.lifecycle import Failure, FailureKind

_log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals that ask for an orderly end; the second one forces it."""

_SIGNALLED = 128
_NOT_PERMITTED = frozenset({errno.EPERM, errno.EACCES})


async def set_on_signal(signals: AsyncIterator[int], stop: trio.Event) -> None:
    """Set ``stop`` at the first stop signal, and end the process at once at the second."""
    async for number in signals:
        name = signal.Signals(number).name
        if stop.is_set():
            _log.error("%s again: stopped without cleaning up; the next start does that", name)
            logging.shutdown()
            os._exit(_SIGNALLED + number)
        _log.info("%s: stopping", name)
        stop.set()


def report_errors(group: BaseExceptionGroup[HostError | ConfigError]) -> ExitCode:
    """Log why a run cannot go on, and return the exit code for it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    _log.error("%s", error)
    if isinstance(error, ConfigError):
        return ExitCode.USAGE
    is_machine = isinstance(error, HostLostError) or is_permission_problem(error)
    return ExitCode.PERMISSION if is_machine else ExitCode.FAILURE


def exit_code_of(failure: Failure | None) -> ExitCode:
    """Return what the caller of the program is told."""
    if failure is None:
        return ExitCode.OK
    match failure.kind:
        case FailureKind.CREDENTIALS:
            return ExitCode.AUTHENTICATION_REFUSED
        case (
            FailureKind.NAME_NOT_FOUND
            | FailureKind.UNREACHABLE
            | FailureKind.CERTIFICATE
            | FailureKind.LOST
        ):
            return ExitCode.SERVER_UNREACHABLE
        case FailureKind.HOST:
            return ExitCode.PERMISSION
        case FailureKind.REFUSED:
            return ExitCode.FAILURE


def is_permission_problem(error: BaseException | None) -> bool:
    """Tell whether an error goes back to a missing privilege."""
    while error is not None:
        number = getattr(error, "errno", None) or getattr(error, "code", None)
        if number in _NOT_PERMITTED:
            return True
        error = error.__cause__ or error.__context__
    return False
