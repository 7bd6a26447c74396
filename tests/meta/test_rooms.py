"""docs/rooms.md divides the large rooms by subject: every module stands there, and once."""

import re
from collections import Counter

import pytest

from tests.meta.checkout import ROOT

_SECTION = re.compile(
    r"^## `(?P<folder>[\w/]+)`.*?\n(?P<table>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL
)
_NAME = re.compile(r"`(\w+)`")

SECTIONS = {
    match["folder"]: match["table"]
    for match in _SECTION.finditer((ROOT / "docs/rooms.md").read_text(encoding="utf-8"))
}


def test_the_large_rooms_are_there() -> None:
    assert list(SECTIONS) == ["mqvpn_core/quic", "mqvpn_core/runtime", "mqvpn_core/app"]


@pytest.mark.parametrize("folder", SECTIONS)
def test_every_module_has_one_subject(folder: str) -> None:
    named = Counter(_NAME.findall(SECTIONS[folder]))
    there = {
        path.stem
        for path in (ROOT / folder).iterdir()
        if not path.name.startswith("_")
        and (path.suffix == ".py" or (path / "__init__.py").is_file())
    }
    assert sorted(there - set(named)) == [], "not in docs/rooms.md"
    assert sorted(set(named) - there) == [], "in docs/rooms.md only"
    assert [name for name, count in named.items() if count > 1] == []
