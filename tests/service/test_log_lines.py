"""Lines of the helper's log: priorities where the journal reads them, words elsewhere."""

import logging
import os
import tempfile
from collections.abc import Iterator

import pytest

from mqvpn_helper.service.log_lines import set_up_logging


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """Keep the logging set-up of the test runner."""
    root, ours = logging.getLogger(), logging.getLogger("mqvpn_helper")
    before = root.handlers[:], root.level, ours.level
    root.handlers[:] = []
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def _written(*, is_journal: bool) -> list[str]:
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        status = os.fstat(file.fileno())
        environment = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"} if is_journal else {}
        set_up_logging(file, environment, is_verbose=True)
        logger = logging.getLogger("mqvpn_helper.x")
        logger.debug("looked")
        logger.info("begun")
        logger.warning("odd")
        logger.error("broken\nin two lines")
        file.seek(0)
        return file.read().splitlines()


def test_the_journal_gets_priorities_on_every_line() -> None:
    lines = _written(is_journal=True)
    assert lines == [
        "<7>mqvpn_helper.x: looked",
        "<6>mqvpn_helper.x: begun",
        "<4>mqvpn_helper.x: odd",
        "<3>mqvpn_helper.x: broken",
        "<3>in two lines",
    ]


def test_others_get_words() -> None:
    assert _written(is_journal=False)[2] == "WARNING mqvpn_helper.x: odd"
