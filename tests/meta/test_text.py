"""The checkout stands on its own: no path of one machine, no open end, no silenced check."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.meta.checkout import PRODUCT, ROOT, python_files, short, text_files

_HERE = Path(__file__)
"""This file spells out what it forbids, so it leaves itself out."""

_MACHINE_PATHS = re.compile(rf"/root/|/home/\w|/Users/\w|(?<![\w.]){re.escape(str(ROOT))}/")
_OPEN_ENDS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError")
PYTHON = python_files(*PRODUCT, "tests", "benchmarks")

_SILENCED = re.compile(r"# (type: ignore|noqa)(?P<codes>[^#]*)(?P<reason>#.*)?$")


def test_no_path_of_one_machine() -> None:
    assert _lines_with(_MACHINE_PATHS, text_files()) == []


def test_no_open_ends() -> None:
    assert _lines_with(_OPEN_ENDS, PYTHON) == []


def test_silenced_checks_name_their_code_and_reason() -> None:
    bare = [
        f"{where}: {line.strip()}"
        for where, line in _lines(PYTHON)
        if (match := _SILENCED.search(line)) is not None and not _is_explained(match)
    ]
    assert bare == []


def _is_explained(match: re.Match[str]) -> bool:
    names_code = re.search(r"[\[:]\s*[\w-]+", match["codes"]) is not None
    gives_reason = match["reason"] or re.search(r"\]?\s+[-(\w].*\w", match["codes"])
    return names_code and bool(gives_reason)


def _lines_with(pattern: re.Pattern[str], paths: Iterable[Path]) -> list[str]:
    return [f"{where}: {line.strip()}" for where, line in _lines(paths) if pattern.search(line)]


def _lines(paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Place and text of every line, this file left out."""
    for path in paths:
        if path != _HERE:
            text = path.read_text(encoding="utf-8", errors="replace")
            for number, line in enumerate(text.splitlines(), 1):
                yield f"{short(path)}:{number}", line
