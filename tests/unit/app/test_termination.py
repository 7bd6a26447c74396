"""Signals in, exit codes out."""

import errno
import os
import signal
from collections.abc import AsyncIterator
from typing import cast

import pytest
import trio

from mqvpn_core.app.exit_codes import ExitCode
from mqvpn_core.app.termination import exit_code_of, report_errors, set_on_signal
from mqvpn_core.errors import ConfigError, HostError, HostLostError
from mqvpn_core.tunnel.lifecycle import Failure, FailureKind


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (FailureKind.CREDENTIALS, ExitCode.AUTHENTICATION_REFUSED),
        (FailureKind.NAME_NOT_FOUND, ExitCode.SERVER_UNREACHABLE),
        (FailureKind.UNREACHABLE, ExitCode.SERVER_UNREACHABLE),
        (FailureKind.CERTIFICATE, ExitCode.SERVER_UNREACHABLE),
        (FailureKind.LOST, ExitCode.SERVER_UNREACHABLE),
        (FailureKind.REFUSED, ExitCode.FAILURE),
        (FailureKind.HOST, ExitCode.PERMISSION),
    ],
)
def test_exit_code_of_a_failure(kind: FailureKind, code: ExitCode) -> None:
    assert exit_code_of(Failure(kind=kind, message="x")) is code


def test_a_stopped_run_is_a_success() -> None:
    assert exit_code_of(None) is ExitCode.OK


def host_error(number: int) -> HostError:
    error = HostError("the TUN device cannot be made: be root")
    error.__cause__ = OSError(number, "refused")
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (host_error(errno.EPERM), ExitCode.PERMISSION),
        (host_error(errno.EACCES), ExitCode.PERMISSION),
        (host_error(errno.ENODEV), ExitCode.FAILURE),
        (HostError("plain"), ExitCode.FAILURE),
        (HostLostError("the TUN device is gone"), ExitCode.PERMISSION),
        (ConfigError("cert.pem: No such file"), ExitCode.USAGE),
    ],
)
def test_errors_are_reported_from_any_depth(
    error: HostError | ConfigError, code: ExitCode, caplog: pytest.LogCaptureFixture
) -> None:
    inner = BaseExceptionGroup("inner", [error])
    # As ``except*`` hands it over: a group of these errors, however deep they are.
    nested = cast("BaseExceptionGroup[HostError | ConfigError]", BaseExceptionGroup("", [inner]))
    assert report_errors(nested) is code
    assert caplog.messages == [str(error)]


def test_the_first_signal_stops_and_the_second_forces(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mqvpn_core")
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)

    async def signals() -> AsyncIterator[int]:
        for number in (signal.SIGTERM, signal.SIGINT):
            await trio.lowlevel.checkpoint()
            yield number

    async def main() -> None:
        stop = trio.Event()
        await set_on_signal(signals(), stop)
        assert stop.is_set()

    trio.run(main)
    assert codes == [128 + signal.SIGINT]
    assert "SIGTERM: stopping" in caplog.messages
