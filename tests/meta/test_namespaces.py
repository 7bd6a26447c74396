"""Tests that change routes and rules do so in a namespace of their own, never on the machine."""

import ast
from pathlib import Path

from tests.meta.checkout import ROOT


def _names(path: Path) -> set[str]:
    """Every name and every text in a file."""
    tree = ast.parse(path.read_text())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return names | {value for value in constants if isinstance(value, str)}


def _needs_root(path: Path) -> bool:
    return any(
        isinstance(node, ast.Attribute) and ast.unparse(node) == "pytest.mark.netns"
        for node in ast.walk(ast.parse(path.read_text()))
    )


def test_tests_of_the_helper_that_need_root_enter_a_namespace() -> None:
    needing = [path for path in (ROOT / "tests/helper").glob("test_*.py") if _needs_root(path)]
    assert needing
    outside = [
        path.name
        for path in needing
        if not any("namespace" in name or name in {"tun", "lab"} for name in _names(path))
    ]
    assert outside == []
