"""A link to measure; the emulator's own dependency, a compiler, is as required as root is."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.linkem.building import EmulatorError, emulator_executable
from tests.linkem.emulated_link import LinkOptions
from tests.unit.linkem.wire import Wire, open_wire


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    """A link that does nothing yet, with the same random numbers at each run."""
    need_emulator()
    with open_wire(tmp_path, options=LinkOptions(seed=1)) as opened:
        yield opened


def need_emulator() -> None:
    """Skip where the emulator cannot be compiled, or fail where it must be."""
    try:
        emulator_executable()
    except EmulatorError as error:
        if os.environ.get("MQVPN_E2E") == "require":
            raise
        pytest.skip(str(error))
