"""Log lines: one a message, with priority for the journal, without secrets."""

import io
import logging
import os
import re
import tempfile
from collections.abc import Iterator

import pytest

from mqvpn_core.app.logging_setup import LineFormatter, set_up_logging
from mqvpn_core.config import LogLevel, Secret
from mqvpn_helper.interface.service_notices import is_journal

OWN_KEY = "a-very-own-secret"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Keep the logging set-up of the test runner."""
    root = logging.getLogger()
    names = ("mqvpn_core", "mqvpn_helper")
    before = root.handlers[:], root.level, [logging.getLogger(name).level for name in names]
    yield io.StringIO()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    for name, level in zip(names, before[2], strict=True):
        logging.getLogger(name).setLevel(level)


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_line_has_time_level_and_message(stream: io.StringIO) -> None:
    set_up_logging(LogLevel.INFO, stream=stream)
    logging.getLogger("mqvpn_core.x").info("path %d is up", 0)
    (line,) = lines(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} INFO path 0 is up", line)


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        (LogLevel.ERROR, ["E"]),
        (LogLevel.WARNING, ["E", "W"]),
        (LogLevel.INFO, ["E", "W", "I"]),
        (LogLevel.DEBUG, ["E", "W", "I", "D"]),
    ],
)
def test_level_chooses(stream: io.StringIO, level: LogLevel, shown: list[str]) -> None:
    set_up_logging(level, stream=stream)
    logger = logging.getLogger("mqvpn_core.x")
    logger.error("E")
    logger.warning("W")
    logger.info("I")
    logger.debug("D")
    assert [line[-1] for line in lines(stream)] == shown


def test_other_packages_are_quiet_below_warning(stream: io.StringIO) -> None:
    set_up_logging(LogLevel.DEBUG, stream=stream)
    logging.getLogger("some.other.package").info("chatter")
    logging.getLogger("some.other.package").warning("trouble")
    assert [line.rsplit(maxsplit=1)[-1] for line in lines(stream)] == ["trouble"]


def test_setting_up_again_does_not_double_lines(stream: io.StringIO) -> None:
    set_up_logging(LogLevel.INFO, stream=stream)
    set_up_logging(LogLevel.INFO, stream=stream)
    logging.getLogger("mqvpn_core.x").info("once")
    assert len(lines(stream)) == 1


def test_message_stays_one_line(stream: io.StringIO) -> None:
    set_up_logging(LogLevel.INFO, stream=stream)
    logging.getLogger("mqvpn_core.x").info("peer says: %s", "a\nERROR forged\r\x1b[31m\u2028b")
    (line,) = stream.getvalue().split("\n")[:-1]
    assert "\x1b" not in line
    assert "a ERROR forged" in line
    assert r"\u2028" in line


def test_secrets_are_cut_out(stream: io.StringIO) -> None:
    set_up_logging(LogLevel.INFO, secrets=[Secret(OWN_KEY), Secret("x")], stream=stream)
    logging.getLogger("mqvpn_core.x").info("header: Bearer %s, x", OWN_KEY)
    logging.getLogger("mqvpn_core.x").info("key: %s", Secret(OWN_KEY))
    assert OWN_KEY not in stream.getvalue()
    assert "Bearer (hidden), x" in stream.getvalue()


_PROBLEM = "invalid literal for int() with base 10: 'it broke'"


def _log_failure() -> None:
    try:
        int("it broke")
    except ValueError:
        logging.getLogger("mqvpn_core.x").exception("cannot go on")


def test_traceback_is_one_line_unless_debugging(stream: io.StringIO) -> None:
    set_up_logging(LogLevel.INFO, stream=stream)
    _log_failure()
    (line,) = lines(stream)
    assert line.endswith(f"ERROR cannot go on: ValueError: {_PROBLEM}")


def test_group_is_one_line_with_what_is_in_it(stream: io.StringIO) -> None:
    set_up_logging(LogLevel.INFO, secrets=[Secret(OWN_KEY)], stream=stream)
    inner = ExceptionGroup("inner", [OSError(9, f"line one\nline two {OWN_KEY}")])
    outer = ExceptionGroup("outer", [ValueError("first"), inner])
    logging.getLogger("mqvpn_core.x").error("cannot go on", exc_info=outer)
    (line,) = lines(stream)
    assert line.endswith(
        r"cannot go on: ValueError: first; OSError: [Errno 9] line one\nline two (hidden)"
    )


def test_traceback_is_shown_while_debugging(stream: io.StringIO) -> None:
    set_up_logging(LogLevel.DEBUG, stream=stream)
    _log_failure()
    assert lines(stream)[0].endswith("ERROR cannot go on")
    assert lines(stream)[-1] == f"ValueError: {_PROBLEM}"


@pytest.mark.parametrize(
    ("level", "prefix"),
    [
        (logging.CRITICAL, "<3>"),
        (logging.ERROR, "<3>"),
        (logging.WARNING, "<4>"),
        (logging.INFO, "<6>"),
        (logging.DEBUG, "<7>"),
    ],
)
def test_journal_gets_the_priority_instead_of_time_and_level(level: int, prefix: str) -> None:
    formatter = LineFormatter(for_journal=True, with_traceback=False, secrets=[])
    record = logging.LogRecord("mqvpn_core", level, "", 0, "hello", None, None)
    assert formatter.format(record) == f"{prefix}hello"


def test_journal_is_recognised_by_device_and_inode() -> None:
    with tempfile.TemporaryFile("w") as file:
        status = os.fstat(file.fileno())
        named = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert is_journal(file, named)
        assert not is_journal(file, {"JOURNAL_STREAM": "1:2"})
        assert not is_journal(file, {})
        assert not is_journal(io.StringIO(), named)
