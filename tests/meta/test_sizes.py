"""Modules, functions and parameter lists stay small enough to read in one sitting."""

import ast
from pathlib import Path

import pytest

from tests.meta.checkout import PRODUCT, ROOT, python_files, short, tree

SOFT_LINES = 400
HARD_LINES = 700
FUNCTION_LINES = 60

ALL_PYTHON = python_files(*PRODUCT, "tests", "benchmarks")


@pytest.mark.parametrize("path", ALL_PYTHON, ids=short)
def test_no_module_is_over_the_hard_limit(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= HARD_LINES, f"{short(path)} has {lines} lines: split it"


def test_modules_over_the_soft_limit_have_a_split_plan() -> None:
    """The list of such modules, each with its plan, stands in the architecture document."""
    plans = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    unplanned = [
        short(path)
        for path in python_files(*PRODUCT)
        if len(path.read_text(encoding="utf-8").splitlines()) > SOFT_LINES
        and f"`{short(path)}`" not in plans
    ]
    assert unplanned == []


@pytest.mark.parametrize("path", python_files(*PRODUCT), ids=short)
def test_functions_are_short(path: Path) -> None:
    long = [
        f"{short(path)}:{node.lineno} {node.name}: {_body_lines(node)} lines"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and _body_lines(node) > FUNCTION_LINES
    ]
    assert long == []


def _body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    has_docstring = (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
    if has_docstring and len(node.body) == 1:
        return 0
    start = node.body[1].lineno if has_docstring else first.lineno
    return (node.end_lineno or start) - start + 1
