"""Policy rules as values."""

from dataclasses import dataclass

MAIN_TABLE = 254
"""Number of the main routing table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """A policy rule: packets with a mark are looked up in a table."""

    version: int
    """IP version."""
    priority: int
    """Lower ones are asked first."""
    mark: int
    """Mark of the packets."""
    table: int
    """Where to look."""
    least_prefix: int | None
    """Answers with a prefix no longer than this do not count; None: all count."""
