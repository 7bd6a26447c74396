"""What the demonstration shows: dated steps, and a table that lives on a terminal.

On a terminal the table is redrawn in place; elsewhere a plain line appears now and then.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from mqvpn_core.runtime.status_values import PathStatus, Status

PLAIN_INTERVAL = 2.0
"""Seconds between two plain lines where there is no terminal."""

_HEADINGS = ("path", "link", "state", "RTT", "down", "up", "loss", "received", "sent")
_LEAST_WIDTHS = (4, 5, 6, 8, 12, 12, 6, 8, 8)  # so that columns stay where they are
_KILO = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How fast one path moves, from two readings of its counters."""

    down: float
    """Bits per second received."""
    up: float
    """Bits per second sent."""


class Screen:
    """Steps above, the live table below."""

    def __init__(self, output: TextIO, links: Sequence[str]) -> None:
        """Start the clock.

        Args:
            output: where everything goes.
            links: names of the client's links; those without a path are shown as idle.
        """
        self._output = output
        self._links = tuple(links)
        self._started = time.perf_counter()
        self._is_terminal = output.isatty()
        self._drawn_lines = 0
        self._last: tuple[float, Status] | None = None
        self._next_plain = 0.0

    def step(self, text: str) -> None:
        """Say what happens now."""
        self._erase()
        self._output.write(f"[{time.perf_counter() - self._started:5.1f} s] {text}\n")
        self._output.flush()

    def show(self, status: Status) -> None:
        """Bring the table up to date; call it a few times a second."""
        now = time.perf_counter()
        rates = self._rates(status, now)
        self._last = (now, status)
        if self._is_terminal:
            self._erase()
            lines = self._table(status, rates)
            self._output.write("".join(f"{line}\n" for line in lines))
            self._drawn_lines = len(lines)
        elif now >= self._next_plain:
            self._next_plain = now + PLAIN_INTERVAL
            for path in status.paths:
                cells = _path_cells(path, rates.get(path.id))
                named = zip(_HEADINGS, cells, strict=True)
                self.step("    " + "  ".join(f"{name} {cell}" for name, cell in named))
        self._output.flush()

    def leave_table(self) -> None:
        """Let the table as it is stand in the scroll-back."""
        self._drawn_lines = 0

    def _erase(self) -> None:
        if self._drawn_lines:
            self._output.write(f"\x1b[{self._drawn_lines}F\x1b[J")
            self._drawn_lines = 0

    def _rates(self, status: Status, now: float) -> dict[int, Rates]:
        if self._last is None:
            return {}
        then, earlier = self._last
        before = {path.id: path for path in earlier.paths}
        elapsed = max(now - then, 1e-3)
        return {
            path.id: Rates(
                down=max(0, path.rx_bytes - before[path.id].rx_bytes) * 8 / elapsed,
                up=max(0, path.tx_bytes - before[path.id].tx_bytes) * 8 / elapsed,
            )
            for path in status.paths
            if path.id in before
        }

    def _table(self, status: Status, rates: dict[int, Rates]) -> list[str]:
        rows: list[tuple[str, ...]] = [_HEADINGS]
        rows += [_path_cells(path, rates.get(path.id)) for path in status.paths]
        used = {path.interface for path in status.paths}
        unnamed = "" in used and len(status.paths) == 1
        for position, link in enumerate(self._links):
            if link not in used and not (unnamed and position == 0):
                rows.append(("-", link, "idle", *("-" for _ in _HEADINGS[3:])))
        widths = [
            max(least, *(len(row[column]) for row in rows))
            for column, least in enumerate(_LEAST_WIDTHS)
        ]
        head = f"    tunnel {status.state}, {', '.join(status.addresses)}, MTU {status.mtu}"
        lines = [
            "    " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        ]
        return [head, *lines]


def bits(rate: float) -> str:
    """A rate in a readable unit."""
    for unit in ("bit/s", "kbit/s", "Mbit/s"):
        if rate < _KILO:
            return f"{rate:.0f} {unit}" if unit == "bit/s" else f"{rate:.1f} {unit}"
        rate /= _KILO
    return f"{rate:.2f} Gbit/s"


def size(count: float) -> str:
    """A number of bytes in a readable unit."""
    for unit in ("B", "kB", "MB"):
        if count < _KILO:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _KILO
    return f"{count:.2f} GB"


def _path_cells(path: PathStatus, rates: Rates | None) -> tuple[str, ...]:
    return (
        str(path.id),
        path.interface or "as routed",
        path.state,
        f"{path.srtt_ms:.1f} ms",
        bits(rates.down) if rates else "-",
        bits(rates.up) if rates else "-",
        f"{path.loss * 100:.1f} %",
        size(path.rx_bytes),
        size(path.tx_bytes),
    )
