"""The wall clock: for people only, nothing is decided by it."""

import datetime as dt


def read_wall_clock() -> float:
    """Return the seconds since 1970, UTC."""
    return dt.datetime.now(dt.UTC).timestamp()


def local_time_text(wall: float) -> str:
    """Return an instant as date and time of day here, with milliseconds."""
    return dt.datetime.fromtimestamp(wall, dt.UTC).astimezone().isoformat(" ", "milliseconds")[:23]
