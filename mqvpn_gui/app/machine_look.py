"""What this program sees of the machine by itself: its clock, and where packets would go."""

import ctypes
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_interface

OLDEST_DATE = 1_767_225_600.0
"""No clock that is right shows an earlier moment: the first of January 2026."""

_TIMEX_BYTES = 512  # more than struct timex of any machine; its first member says: change nothing
_TIME_ERROR = 5
_SOMEWHERE = ((socket.AF_INET, "203.0.113.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses that nobody has (RFC 5737, RFC 3849), so that only a default route leads there."""
_ANY_PORT = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineLook:
    """What was seen."""

    has_possible_date: bool = True
    """The clock shows a day on which this program existed."""
    is_clock_kept: bool | None = None
    """Something keeps the clock right; None: not known."""
    takes_tunnel: bool | None = None
    """All packets to anywhere go into the tunnel; None: not known."""
    wants_everything: bool = False
    """The server's settings want that."""


def look_around(now: float, addresses: Iterable[str], *, wants_everything: bool) -> MachineLook:
    """Look; sends nothing.

    Args:
        now: what the clock shows, seconds since 1970.
        addresses: inner addresses of the tunnel.
        wants_everything: the server's settings want everything in the tunnel.
    """
    return MachineLook(
        has_possible_date=now >= OLDEST_DATE,
        is_clock_kept=_is_clock_kept(),
        takes_tunnel=_takes_tunnel(addresses),
        wants_everything=wants_everything,
    )


def _is_clock_kept() -> bool | None:
    """Ask the kernel, as ``adjtimex`` without a change does; needs no privilege."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else bool(state != _TIME_ERROR)


def _takes_tunnel(addresses: Iterable[str]) -> bool | None:
    """Ask the kernel which address it would send from; a UDP socket that connects sends nothing."""
    inner = {str(ip_interface(each).ip) for each in addresses if _is_address(each)}
    sources = set()
    for family, there in _SOMEWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as asking:
                asking.connect((there, _ANY_PORT))
                sources.add(asking.getsockname()[0])
        except OSError:
            continue  # there is no way to this family
    return sources <= inner if sources else None


def _is_address(text: str) -> bool:
    try:
        ip_interface(text)
    except ValueError:
        return False
    return True
