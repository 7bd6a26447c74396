"""The files of this checkout, as the meta tests see them."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("mqvpn_core", "mqvpn_gui", "mqvpn_helper")
TEXT_SUFFIXES = {
    ".py",
    ".pyi",
    ".md",
    ".toml",
    ".sh",
    ".cfg",
    ".ini",
    ".json",
    ".yml",
    ".txt",
    ".rs",
    "",
}
SKIPPED = {".git", ".venv", "build", "dist", "target", "node_modules"}


def python_files(*rooms: str) -> list[Path]:
    """All Python sources below the named folders of the checkout."""
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


def text_files() -> Iterator[Path]:
    """Every file a reader of the checkout would open, built and cached things left out."""
    for path in _files():
        first, *_ = path.relative_to(ROOT).parts
        hidden = first.startswith(".") and first not in {".ci", ".gitignore"}
        if not hidden and path.is_file() and path.suffix in TEXT_SUFFIXES:
            yield path


def _files() -> list[Path]:
    """What git would put into a commit; in an unpacked archive, all but the usual built things."""
    if (ROOT / ".git").exists():
        listing = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        return sorted(ROOT / name for name in set(listing.stdout.split("\0")) if name)
    built = SKIPPED | {"__pycache__"}
    return sorted(
        path for path in ROOT.rglob("*") if not built & {*path.relative_to(ROOT).parts[:-1]}
    )


@cache
def tree(path: Path) -> ast.Module:
    """The parsed source of one file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def short(path: Path) -> str:
    """The path as the reports show it."""
    return str(path.relative_to(ROOT))
