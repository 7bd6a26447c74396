"""A link to measure."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.linkem.emulated_link import LinkOptions
from tests.linkem.requirement import need_emulator
from tests.unit.linkem.wire import Wire, open_wire


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    """A link that does nothing yet, with the same random numbers at each run."""
    need_emulator()
    with open_wire(tmp_path, options=LinkOptions(seed=1)) as opened:
        yield opened
