"""Draws the diagrams of the documents: ``python -m tests.documents.diagrams`` (needs graphviz).

The texts are docs/diagrams/NAME.dot, the pictures docs/pictures/NAME.svg. A picture says at its end
which text it was made of, so a test finds those that are out of date without drawing anything.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXTS = sorted((ROOT / "docs/diagrams").glob("*.dot"))


def picture_of(text: Path) -> Path:
    """Where the picture of a diagram is."""
    return ROOT / "docs/pictures" / f"{text.stem}.svg"


def mark_of(text: Path) -> str:
    """What a picture says of its text."""
    digest = hashlib.sha256(text.read_bytes()).hexdigest()
    return f"<!-- {text.relative_to(ROOT)}, SHA-256 {digest} -->\n"


def draw(text: Path) -> None:
    """Write the picture of a diagram."""
    command = ["dot", "-Tsvg", str(text)]
    drawn = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    picture_of(text).write_text(drawn + mark_of(text), encoding="utf-8")


if __name__ == "__main__":
    for each in TEXTS:
        draw(each)
        sys.stdout.write(f"{picture_of(each).relative_to(ROOT)}\n")
