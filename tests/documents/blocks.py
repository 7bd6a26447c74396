"""Commands of the documents that tests run: fenced blocks below a line that gives them a name.

<!-- run: NAME -->
```
mqvpn-core server init
```
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_BLOCK = re.compile(
    r"^<!-- run: (?P<name>[a-z-]+) -->\n```[a-z]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_MARK = re.compile(r"^<!-- run:", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Commands of a document."""

    name: str
    """What tests call it."""
    document: str
    """Where it stands, as a path in the checkout."""
    text: str
    """The commands, for a shell."""

    @property
    def commands(self) -> list[str]:
        """The commands, one by one."""
        return self.text.splitlines()


def documents() -> list[Path]:
    """Every document that people read."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def mark_count() -> int:
    """How many marks there are, also misshapen ones."""
    return sum(len(_MARK.findall(path.read_text("utf-8"))) for path in documents())


@cache
def blocks() -> dict[str, Block]:
    """All blocks with a name."""
    found = [
        Block(name=match["name"], document=str(path.relative_to(ROOT)), text=match["text"])
        for path in documents()
        for match in _BLOCK.finditer(path.read_text("utf-8"))
    ]
    by_name = {each.name: each for each in found}
    assert len(by_name) == len(found) == mark_count()
    return by_name


def block(name: str) -> str:
    """The commands of that name."""
    return blocks()[name].text
