"""Small arithmetic on deadlines that may be absent."""

from collections.abc import Iterable

from mqvpn_core.ids import Instant


def earliest(candidates: Iterable[Instant | None]) -> Instant | None:
    """Return the first deadline of those that are set."""
    first: Instant | None = None
    # A plain loop: this runs many times for every packet on an idle connection.
    for instant in candidates:
        if instant is not None and (first is None or instant < first):
            first = instant
    return first


def is_due(deadline: Instant | None, now: Instant) -> bool:
    """Tell whether a deadline is set and reached."""
    return deadline is not None and deadline <= now
