"""Machines for the documents' commands; skipped where they cannot be, required where they must."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents.machine import Machines, machine_obstacle, machines


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """A folder for machines and logs; not pytest's own, whose name is too long for sockets."""
    made = Path(tempfile.mkdtemp(prefix="mq-doc-"))
    try:
        yield made
    finally:
        shutil.rmtree(made)


@pytest.fixture(scope="module")
def farm(directory: Path) -> Iterator[Machines]:
    """Makes machines."""
    obstacle = "this is not root" if os.geteuid() != 0 else machine_obstacle()
    if obstacle is not None:
        if os.environ.get("MQVPN_E2E") == "require":
            pytest.fail(f"these tests are required here, but: {obstacle}", pytrace=False)
        pytest.skip(obstacle)
    with machines(directory) as made:
        yield made
