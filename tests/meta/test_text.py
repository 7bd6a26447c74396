"""The checkout stands on its own: no path of one machine, no open end, no silenced check."""

import re
from pathlib import Path

import pytest

from tests.meta.checkout import PRODUCT, ROOT, python_files, short, text_files

_HERE = Path(__file__)
"""This file spells out what it forbids, so it leaves itself out."""

_MACHINE_PATHS = re.compile(rf"/root/|/home/\w|/Users/\w|(?<![\w.]){re.escape(str(ROOT))}/")
_OPEN_ENDS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError")
_SILENCED = re.compile(r"# (type: ignore|noqa)(?P<codes>[^#]*)(?P<reason>#.*)?$")


@pytest.mark.parametrize("path", list(text_files()), ids=short)
def test_no_path_of_one_machine(path: Path) -> None:
    assert path == _HERE or _lines_with(_MACHINE_PATHS, path) == []


@pytest.mark.parametrize("path", python_files(*PRODUCT, "tests", "benchmarks"), ids=short)
def test_no_open_ends(path: Path) -> None:
    assert path == _HERE or _lines_with(_OPEN_ENDS, path) == []


@pytest.mark.parametrize("path", python_files(*PRODUCT, "tests", "benchmarks"), ids=short)
def test_silenced_checks_name_their_code_and_reason(path: Path) -> None:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = _SILENCED.search(line)
        if match is None or path == _HERE:
            continue
        where = f"{short(path)}:{number}: {line.strip()}"
        assert re.search(r"[\[:]\s*[\w-]+", match["codes"]), f"no code: {where}"
        explained = match["reason"] or re.search(r"\]?\s+[-(\w].*\w", match["codes"])
        assert explained, f"no reason on the line: {where}"


def _lines_with(pattern: re.Pattern[str], path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8", errors="replace")
    return [
        f"{short(path)}:{number}: {line.strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
