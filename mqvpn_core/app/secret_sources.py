"""Reads secrets from files and inherited descriptors; no message ever quotes one."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from mqvpn_core.errors import ConfigError

ENVIRONMENT_VARIABLE = "MQVPN_AUTH_KEY"
"""Variable that may hold the key."""

_DESCRIPTOR_PREFIX = "fd:"
_MAX_BYTES = 4096
_LAST_STANDARD_DESCRIPTOR = 2
_READABLE_BY_OTHERS = stat.S_IRGRP | stat.S_IROTH


def read_secret(source: str) -> tuple[str, str | None]:
    """Return the secret that ``source`` holds, and a warning if others can read it too.

    Args:
        source: a file name, or ``fd:N``, which is read to its end and closed.

    Raises:
        ConfigError: it cannot be read, or is not one line of text.
    """
    descriptor = _open(source)
    try:
        data = _read(descriptor)
        warning = None if is_descriptor(source) else _exposure(os.fstat(descriptor), source)
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror}") from None
    finally:
        _close(descriptor)
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{source}: too long for a key (more than {_MAX_BYTES} bytes)")
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{source}: holds binary data, not a key") from None
    secret = lines[0].strip()
    if not secret or any(line.strip() for line in lines[1:]):
        raise ConfigError(f"{source}: expected the key alone, in one line")
    return secret, warning


def is_descriptor(source: str) -> bool:
    """Tell whether ``source`` can be read only once."""
    return source.startswith(_DESCRIPTOR_PREFIX)


def exposure_of(path: Path) -> str | None:
    """Return a warning if a file that holds secrets can be read by other users."""
    try:
        return _exposure(path.stat(), str(path))
    except OSError:
        return None  # it went away after it was read


def _open(source: str) -> int:
    if is_descriptor(source):
        number = source.removeprefix(_DESCRIPTOR_PREFIX)
        if not (number.isascii() and number.isdigit() and len(number) <= 6):  # noqa: PLR2004 - a descriptor has few digits
            raise ConfigError(f"{source}: expected fd: and the number of an open descriptor")
        return int(number)
    try:
        return os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no file name"
        raise ConfigError(f"{source!r}: {reason}") from None


def _read(descriptor: int) -> bytes:
    data = b""
    while len(data) <= _MAX_BYTES:
        more = os.read(descriptor, _MAX_BYTES + 1)
        if not more:
            break
        data += more
    return data


def _close(descriptor: int) -> None:
    if descriptor > _LAST_STANDARD_DESCRIPTOR:
        with suppress(OSError):  # it was never open, which has been said already
            os.close(descriptor)


def _exposure(status: os.stat_result, name: str) -> str | None:
    if stat.S_ISREG(status.st_mode) and status.st_mode & _READABLE_BY_OTHERS:
        mode = f"{status.st_mode & 0o777:o}"
        return f"{name}: other users can read the key in it (mode {mode}): chmod 600 {name}"
    return None
