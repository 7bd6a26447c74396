"""Secrets from files and descriptors."""

import os
from pathlib import Path

import pytest

from mqvpn_core.app.secret_sources import exposure_of, is_descriptor, read_secret
from mqvpn_core.errors import ConfigError

OWN_KEY = "a-very-own-secret"


def secret_file(directory: Path, content: bytes, mode: int = 0o600) -> str:
    path = directory / "auth.key"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("content", ["%s", "%s\n", "%s\r\n", "  %s  \n\n"])
def test_key_is_read_from_a_file(tmp_path: Path, content: str) -> None:
    source = secret_file(tmp_path, (content % OWN_KEY).encode())
    assert read_secret(source) == (OWN_KEY, None)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_file_that_others_can_read_earns_a_warning(tmp_path: Path, mode: int) -> None:
    source = secret_file(tmp_path, OWN_KEY.encode(), mode)
    secret, warning = read_secret(source)
    assert secret == OWN_KEY
    assert warning is not None
    assert f"mode {mode:o}" in warning
    assert f"chmod 600 {source}" in warning
    assert OWN_KEY not in warning
    assert exposure_of(Path(source)) is not None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "expected the key alone"),
        (b"\n", "expected the key alone"),
        (b"a-very-own-secret\nanother\n", "expected the key alone"),
        (b"a-very-own-secret\xff", "binary data"),
        (b"x" * 5000, "too long"),
    ],
)
def test_file_that_is_no_key(tmp_path: Path, content: bytes, says: str) -> None:
    source = secret_file(tmp_path, content)
    with pytest.raises(ConfigError, match=says) as caught:
        read_secret(source)
    assert OWN_KEY not in str(caught.value)
    assert source in str(caught.value)


@pytest.mark.parametrize("source", ["nowhere/to/be/found", "a\0b", ".", "fd:", "fd:x", "fd:-1"])
def test_source_that_cannot_be_read(source: str) -> None:
    with pytest.raises(ConfigError):
        read_secret(source)


def test_key_is_read_from_a_descriptor_once() -> None:
    reading, writing = os.pipe()
    os.write(writing, OWN_KEY.encode())
    os.close(writing)
    assert read_secret(f"fd:{reading}") == (OWN_KEY, None)
    with pytest.raises(ConfigError, match="Bad file descriptor"):
        read_secret(f"fd:{reading}")


def test_only_descriptors_can_be_read_only_once() -> None:
    assert is_descriptor("fd:3")
    assert not is_descriptor("/etc/mqvpn/auth.key")


def test_file_that_is_gone_is_not_exposed(tmp_path: Path) -> None:
    assert exposure_of(tmp_path / "gone") is None
