"""Amounts of data and rates as people write them: ``5 GB``, ``10 Mbit/s``; as in mqvpn-core."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from mqvpn_gui.user.errors import ProfileError

_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?([kKMGT]i?)?B", re.ASCII)
_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?([kKMG])?(?:bit/s|bps)", re.ASCII)
_FACTORS: Mapping[str, int] = MappingProxyType(
    {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
    | {"ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
)
_BITS = 8
_SHOWN = 40


def parse_size(text: str) -> int:
    """Read an amount of data; returns bytes.

    Raises:
        ProfileError: it is none, or nothing.
    """
    found = _SIZE.fullmatch(text.strip())
    count = 0 if found is None else round(float(found[1]) * _factor(found[2]))
    if count <= 0:
        raise ProfileError(
            f"{text[:_SHOWN]!r} is not an amount of data", "write 500 MB, 5 GB or 1 GiB"
        )
    return count


def parse_rate(text: str) -> int:
    """Read a rate; returns bytes a second.

    Raises:
        ProfileError: it is none, or nothing.
    """
    found = _RATE.fullmatch(text.strip())
    count = 0 if found is None else round(float(found[1]) * _factor(found[2]) / _BITS)
    if count <= 0:
        raise ProfileError(f"{text[:_SHOWN]!r} is not a rate", "write 500 kbit/s or 10 Mbit/s")
    return count


def write_size(count: int) -> str:
    """Return what `parse_size` reads as this number of bytes."""
    return f"{_in_largest(count, ('T', 'G', 'M', 'k'))}B"


def write_rate(bytes_per_second: int) -> str:
    """Return what `parse_rate` reads as this number of bytes a second."""
    return f"{_in_largest(bytes_per_second * _BITS, ('G', 'M', 'k'))}bit/s"


def _factor(unit: str | None) -> int:
    return _FACTORS[(unit or "").replace("K", "k")]


def _in_largest(count: int, units: tuple[str, ...]) -> str:
    for unit in units:
        if count % _FACTORS[unit] == 0:
            return f"{count // _FACTORS[unit]} {unit}"
    return f"{count} "
