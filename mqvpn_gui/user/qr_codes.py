"""QR codes for a terminal, to show a link to the camera of another device."""

import segno

_QUIET_ZONE = 2
_FULL, _UPPER, _LOWER, _EMPTY = "\u2588", "\u2580", "\u2584", " "


def qr_lines(text: str) -> list[str]:
    """Return a QR code as lines of half blocks, light on dark: two rows of modules in each line.

    Light modules are drawn, dark ones left out, as fits a terminal with a dark background; where
    it is light the code is inverted, which the readers of phones understand as well.
    """
    code = segno.make(text, error="m", micro=False)
    rows = [list(row) for row in code.matrix_iter(border=_QUIET_ZONE)]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    return [
        "".join(_mark(high, low) for high, low in zip(upper, lower, strict=True))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    ]


def _mark(high: int, low: int) -> str:
    if high:
        return _EMPTY if low else _LOWER
    return _UPPER if low else _FULL
