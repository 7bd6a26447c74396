"""Tables for terminals of any width: what matters least goes first when there is no room."""

from collections.abc import Sequence
from dataclasses import dataclass

_GAP = "  "
_INDENT = "  "


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column."""

    heading: str
    """What stands above it."""
    rank: int
    """0 always stays; of the others the one with the highest rank goes first."""
    is_number: bool = False
    """Stands to the right."""


def render_table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None = None
) -> list[str]:
    """Return a table as lines.

    Args:
        columns: the columns in order.
        rows: texts of each row, one for each column.
        width: most characters in a line, None for as many as it takes; columns are left out, and
            what is still too long is cut off.
    """
    widths = [
        max(len(column.heading), *(len(row[index]) for row in rows), 0)
        for index, column in enumerate(columns)
    ]
    shown = list(range(len(columns)))
    while width is not None and _total(widths, shown) > width:
        worst = max(shown, key=lambda index: (columns[index].rank, index))
        if columns[worst].rank == 0:
            break
        shown.remove(worst)
    lines = []
    for row in ([column.heading for column in columns], *rows):
        cells = [
            row[index].rjust(widths[index])
            if columns[index].is_number
            else row[index].ljust(widths[index])
            for index in shown
        ]
        lines.append((_INDENT + _GAP.join(cells)).rstrip()[:width])
    return lines


def _total(widths: Sequence[int], shown: Sequence[int]) -> int:
    return len(_INDENT) + sum(widths[index] for index in shown) + len(_GAP) * (len(shown) - 1)
