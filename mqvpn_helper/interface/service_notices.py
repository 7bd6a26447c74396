"""What a program and systemd tell each other (sd_notify(3), sd_watchdog_enabled(3)), as values."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

_MICROSECONDS = 1_000_000
_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START
_BEATS = 3  # in the time after which systemd takes a silent program for stuck


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOrders:
    """What systemd wants to be told."""

    address: str | bytes = ""
    """The socket that it listens on; empty where nobody listens."""
    beat_seconds: float | None = None
    """Time between two signs of life; None when none are wanted."""


def service_orders(environment: Mapping[str, str], process: int) -> ServiceOrders:
    """Read the orders from the environment that systemd gives.

    Args:
        environment: of this process.
        process: ID of this process: orders may have been meant for the one that started it.
    """
    place = environment.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return ServiceOrders()
    # An abstract socket is written with "@" in front.
    address = b"\0" + place[1:].encode() if place.startswith("@") else place
    interval = environment.get("WATCHDOG_USEC", "")
    is_mine = environment.get("WATCHDOG_PID", str(process)) == str(process)
    if not interval.isascii() or not interval.isdigit() or not int(interval) or not is_mine:
        return ServiceOrders(address=address)
    return ServiceOrders(address=address, beat_seconds=int(interval) / _MICROSECONDS / _BEATS)


ALIVE = b"WATCHDOG=1"
"""Sign of life."""


def keep_descriptor(name: str) -> bytes:
    """Have the service manager keep the descriptor that comes along, for the next process.

    Args:
        name: what it is called then.
    """
    return f"FDSTORE=1\nFDNAME={name}".encode()


def drop_descriptors(name: str) -> bytes:
    """Have the service manager close what it keeps by this name."""
    return f"FDSTOREREMOVE=1\nFDNAME={name}".encode()


def kept_descriptors(environment: Mapping[str, str], process: int) -> Mapping[str, int]:
    """Return the descriptors that the service manager hands to this process, by name.

    Args:
        environment: of this process.
        process: ID of this process.
    """
    count = environment.get("LISTEN_FDS", "")
    if environment.get("LISTEN_PID") != str(process) or not count.isascii() or not count.isdigit():
        return {}
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    numbers = range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(count))
    return dict(zip(names, numbers, strict=False))


def ready(status: str) -> bytes:
    """Say that the program does its work from now on.

    Args:
        status: what ``systemctl status`` shows.
    """
    return b"READY=1\n" + doing(status)


def doing(status: str) -> bytes:
    """Say what the program does, for ``systemctl status``."""
    return f"STATUS={' '.join(status.split())}".encode()


def is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether what is written to a stream goes to the journal (systemd.exec(5)).

    Args:
        stream: standard output or error.
        environment: of this process.
    """
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):  # a stream without descriptor
        return False
    return environment.get("JOURNAL_STREAM", "") == f"{status.st_dev}:{status.st_ino}"
