"""The installed program as a process: what a shell sees."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_PROGRAM = Path(sys.executable).with_name("mqvpn-core")


def call(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # noqa: S603 - our own program
        [_PROGRAM, *arguments], capture_output=True, check=False, timeout=60
    )


@pytest.mark.parametrize("arguments", [["--help"], ["client", "--help"], ["genkey"]])
def test_success_is_exit_code_0(arguments: list[str]) -> None:
    result = call(*arguments)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout


@pytest.mark.parametrize(
    "content",
    [
        b"\x00\xff" * 1000,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[Interface]\n[Interface\n",
        b"mtu = 1\nmtu = 1\n",
        b"x" * 1_000_000,
        b"\xe2\x80\xa8 = 1",
        b"'\\u0007' = 1",
        b"'\\ud800' = 1",
    ],
)
def test_hostile_file_is_one_line_and_exit_code_2(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "f\n.conf"
    file.write_bytes(content)
    result = call("check-config", str(file))
    assert result.returncode == 2
    assert result.stdout == b""
    assert result.stderr.count(b"\n") == 1
    assert b"Traceback" not in result.stderr
    assert len(result.stderr) < 600


def test_argument_that_is_no_text_is_refused() -> None:
    result = subprocess.run(  # noqa: S603 - our own program
        [_PROGRAM, "client", b"\xff\xfe"], capture_output=True, check=False, timeout=60
    )
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr.count(b"\n") == 1


def test_closed_pipe_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        result = subprocess.run(  # noqa: S603 - our own program
            [_PROGRAM, "--help"], stdout=closed, stderr=subprocess.PIPE, check=False, timeout=60
        )
    assert (result.returncode, result.stderr) == (1, b"")


def test_full_disk_is_no_traceback() -> None:
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(  # noqa: S603 - our own program
            [_PROGRAM, "--help"], stdout=full, stderr=subprocess.PIPE, check=False, timeout=60
        )
    assert result.returncode == 1
    assert b"Traceback" not in result.stderr


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from mqvpn_core.cli import main; main(['--help'])\n"
        "heavy = {'trio', 'aioquic', 'cryptography', 'pyroute2', 'asyncio'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    result = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", code], capture_output=True, check=False, timeout=60
    )
    assert (result.returncode, result.stderr) == (0, b"")
