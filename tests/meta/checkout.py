"""The files of this checkout, as the meta tests see them."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("mqvpn_core", "mqvpn_helper")
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
    built = SKIPPED | {"__pycache__"}
    for top in sorted(ROOT.iterdir()):
        hidden = top.name.startswith(".") and top.name not in {".ci", ".gitignore"}
        if hidden or top.name in SKIPPED or top.suffix == ".egg-info":
            continue
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            inside = path.relative_to(ROOT).parts
            if path.is_file() and not built & {*inside} and path.suffix in TEXT_SUFFIXES:
                yield path


@cache
def tree(path: Path) -> ast.Module:
    """The parsed source of one file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def short(path: Path) -> str:
    """The path as the reports show it."""
    return str(path.relative_to(ROOT))
