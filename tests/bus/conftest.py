"""Private buses for tests; skipped where they cannot be, required where they must."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bus.system_bus import SystemBus, bus_obstacle, system_bus


@pytest.fixture
def bus() -> Iterator[SystemBus]:
    """A bus with the policy as it is shipped."""
    with open_bus() as opened:
        yield opened


@contextmanager
def open_bus(*, rules: str = "", helper: Sequence[str] = ()) -> Iterator[SystemBus]:
    """Hold a bus, show its logs when the test fails, and want no traceback in them."""
    need_bus()
    directory = Path(tempfile.mkdtemp(prefix="mq-bus-"))
    try:
        with system_bus(directory, rules=rules, helper=helper) as opened:
            yield opened
            log = opened.log()
        sys.stdout.write(log)
        assert "Traceback" not in log
    finally:
        shutil.rmtree(directory)


def need_bus() -> None:
    """Skip where there can be no private bus, or fail where there must."""
    obstacle = bus_obstacle()
    if obstacle is None:
        return
    if os.environ.get("MQVPN_E2E") == "require":
        pytest.fail(f"a private system bus is required here, but: {obstacle}", pytrace=False)
    pytest.skip(f"private system bus: {obstacle}")
