"""Tables for terminals of any width: what matters least goes first when there is no room."""

from collections.abc import Sequence
from dataclasses import dataclass

_GAP = "  "


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column."""

    heading: str
    """What stands above it."""
    rank: int = 0
    """0 always stays; of the others the one with the highest rank goes first."""
    is_number: bool = False
    """Stands to the right."""


def table_lines(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return a table as lines of at most ``width`` characters."""
    sizes = [
        max(len(column.heading), *(len(row[index]) for row in rows), 0)
        for index, column in enumerate(columns)
    ]
    shown = list(range(len(columns)))
    while sum(sizes[index] for index in shown) + len(_GAP) * (len(shown) - 1) > width:
        last = max(shown, key=lambda index: (columns[index].rank, index))
        if columns[last].rank == 0:
            break
        shown.remove(last)
    lines = []
    for row in ([column.heading for column in columns], *rows):
        cells = (
            row[index].rjust(sizes[index])
            if columns[index].is_number
            else row[index].ljust(sizes[index])
            for index in shown
        )
        lines.append(_GAP.join(cells).rstrip()[:width])
    return lines
