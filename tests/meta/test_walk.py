"""The walk of one IP packet: the numbers in the modules are those of docs/architecture.md."""

import re
from pathlib import Path

import pytest

from tests.meta.checkout import PRODUCT, ROOT, python_files, short

_MARK = re.compile(r"^# walk: (?P<steps>[\d, ]+) of (?P<total>\d+)$", re.MULTILINE)
_ROW = re.compile(r"^\| (?P<step>\d+) \| `(?P<module>[\w/]+)`", re.MULTILINE)


def _documented() -> dict[str, set[int]]:
    """Module (as in the document, without package and suffix) to its steps."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.partition("## One IP packet")[2].partition("\n## ")[0]
    steps: dict[str, set[int]] = {}
    for match in _ROW.finditer(section):
        steps.setdefault(match["module"], set()).add(int(match["step"]))
    return steps


def test_the_document_walks_in_order_and_through_rooms_that_exist() -> None:
    documented = _documented()
    numbers = sorted(step for steps in documented.values() for step in steps)
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbers
    missing = [m for m in documented if not (ROOT / "mqvpn_core" / f"{m}.py").is_file()]
    assert missing == []


@pytest.mark.parametrize("path", python_files(*PRODUCT), ids=short)
def test_marks_agree_with_the_document(path: Path) -> None:
    match = _MARK.search(path.read_text(encoding="utf-8"))
    if match is None:
        return
    documented = _documented()
    module = str(path.relative_to(ROOT / "mqvpn_core").with_suffix(""))
    steps = {int(step) for step in match["steps"].split(",")}
    assert steps == documented.get(module), f"{short(path)} marks {sorted(steps)}"
    assert int(match["total"]) == sum(len(each) for each in documented.values())
