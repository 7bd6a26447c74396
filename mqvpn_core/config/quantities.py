"""Amounts of data and rates, as people write them: ``5 GB``, ``10 Mbit/s``."""

import re
from collections.abc import Mapping

from mqvpn_core.config.parsing import quote
from mqvpn_core.errors import ConfigError

_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?([kKMGT]i?)?B", re.ASCII)
_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?([kKMG])?(?:bit/s|bps)", re.ASCII)
_FACTORS: Mapping[str, int] = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}
_BITS = 8


def size(text: str) -> int:
    """Read an amount of data; returns bytes."""
    found = _SIZE.fullmatch(text)
    count = 0 if found is None else round(float(found[1]) * _factor(found[2]))
    if count <= 0:
        raise ConfigError(f"{quote(text)} is not an amount of data such as 500 MB, 5 GB or 1 GiB")
    return count


def rate(text: str) -> int:
    """Read a rate; returns bytes a second."""
    found = _RATE.fullmatch(text)
    count = 0 if found is None else round(float(found[1]) * _factor(found[2]) / _BITS)
    if count <= 0:
        raise ConfigError(f"{quote(text)} is not a rate such as 500 kbit/s or 10 Mbit/s")
    return count


def size_text(count: int) -> str:
    """Return what `size` reads as this number of bytes."""
    return _in_largest(count, ("T", "G", "M", "k")) + "B"


def rate_text(bytes_per_second: int) -> str:
    """Return what `rate` reads as this number of bytes a second."""
    return _in_largest(bytes_per_second * _BITS, ("G", "M", "k")) + "bit/s"


def _factor(unit: str | None) -> int:
    return _FACTORS[(unit or "").replace("K", "k")]


def _in_largest(count: int, units: tuple[str, ...]) -> str:
    for unit in units:
        if count % _FACTORS[unit] == 0:
            return f"{count // _FACTORS[unit]} {unit}"
    return f"{count} "
