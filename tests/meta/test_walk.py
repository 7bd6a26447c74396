"""The walk of one IP packet: the numbers in the modules are those of docs/architecture.md."""

import re

from tests.meta.checkout import ROOT, python_files, short

_MARK = re.compile(r"# walk: (?P<steps>\d+(?:(?:, | and )\d+)*) of (?P<total>\d+)")
_ROW = re.compile(r"^\| (?P<step>\d+) \| (?P<rooms>[^|]+) \|", re.MULTILINE)
_NUMBER = re.compile(r"\d+")
_ROOM = re.compile(r"`([\w/]+)`")


def _documented() -> dict[str, set[int]]:
    """Module (as in the document, without package and suffix) to its steps."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.partition("\n## One IP packet\n")[2].partition("\n## ")[0]
    steps: dict[str, set[int]] = {}
    for row in _ROW.finditer(section):
        for room in _ROOM.findall(row["rooms"]):
            steps.setdefault(room, set()).add(int(row["step"]))
    return steps


def _marked() -> dict[str, set[int]]:
    """Module to the steps its own source speaks of."""
    return {
        str(path.relative_to(ROOT / "mqvpn_core").with_suffix("")): {
            int(step) for step in _NUMBER.findall(match["steps"])
        }
        for path in python_files("mqvpn_core")
        if (match := _MARK.search(path.read_text(encoding="utf-8"))) is not None
    }


def test_the_document_walks_in_order_and_through_rooms_that_exist() -> None:
    documented = _documented()
    steps = set().union(*documented.values())
    assert steps == set(range(1, len(steps) + 1))
    assert len(steps) > 1
    missing = [m for m in documented if not (ROOT / "mqvpn_core" / f"{m}.py").is_file()]
    assert missing == []


def test_marks_agree_with_the_document() -> None:
    assert _marked() == _documented()


def test_every_mark_names_the_same_total() -> None:
    total = max(set().union(*_documented().values()))
    wrong = [
        short(path)
        for path in python_files("mqvpn_core")
        for match in _MARK.finditer(path.read_text(encoding="utf-8"))
        if int(match["total"]) != total
    ]
    assert wrong == []
