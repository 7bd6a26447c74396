"""A laboratory for each test, and one shared by the tests that only send traffic."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from mqvpn_core.demo.programs import Credentials, make_credentials, start_web_host
from tests.e2e.topology import Lab


@pytest.fixture(scope="session")
def credentials() -> Iterator[Credentials]:
    """One certificate and one key for all."""
    with tempfile.TemporaryDirectory(prefix="mq-keys-") as directory:
        yield make_credentials(Path(directory))


@pytest.fixture
def lab(credentials: Credentials) -> Iterator[Lab]:
    """An empty world: no server, no client."""
    with open_lab(credentials) as laboratory:
        yield laboratory


@pytest.fixture(scope="module")
def connected(credentials: Credentials) -> Iterator[Lab]:
    """A world with a server, a web host and a client whose tunnel is up; for reading tests only."""
    with open_lab(credentials) as laboratory:
        laboratory.start_server()
        laboratory.connect()
        serve_web(laboratory)
        yield laboratory


def serve_web(laboratory: Lab) -> None:
    """Start the web host's server."""
    start_web_host(laboratory.world.web, laboratory.directory / "web.log")


@contextmanager
def open_lab(credentials: Credentials) -> Iterator[Lab]:
    # Not pytest's own directory: its name is too long for a socket.
    directory = Path(tempfile.mkdtemp(prefix="mq-lab-"))
    try:
        with ExitStack() as held:
            laboratory = Lab(held, credentials, directory)
            yield laboratory
        for log in sorted({program.log for program in laboratory.programs}):
            text = log.read_text(encoding="utf-8", errors="replace")
            sys.stdout.write(f"--- {log.name}\n{text}\n")  # shown when the test fails
            assert "Traceback" not in text, f"{log.name} has a traceback"
    finally:
        shutil.rmtree(directory)
