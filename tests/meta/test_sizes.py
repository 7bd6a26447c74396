"""Modules, functions and parameter lists stay small enough to read in one sitting."""

import ast
import re
from pathlib import Path

from tests.meta.checkout import PRODUCT, ROOT, python_files, short, tree

SOFT_LINES = 400
HARD_LINES = 700
FUNCTION_LINES = 60


def test_no_module_is_over_the_hard_limit() -> None:
    sizes = {short(path): _lines(path) for path in python_files(*PRODUCT, "tests", "benchmarks")}
    assert {name: lines for name, lines in sizes.items() if lines > HARD_LINES} == {}


def test_modules_over_the_soft_limit_have_a_split_plan() -> None:
    """The list of such modules, each with its plan, stands in the architecture document.

    Tests and benchmarks are read as often as what they try: the same limit holds for them.
    """
    document = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    plans = document.partition("## Modules over the soft limit")[2]
    files = python_files(*PRODUCT, "tests", "benchmarks")
    large = {short(path) for path in files if _lines(path) > SOFT_LINES}
    planned = set(re.findall(r"^\| `([^`]+)`", plans, re.MULTILINE))
    assert large - planned == set()
    assert [name for name in planned if not (ROOT / name).is_file()] == []


def test_functions_are_short() -> None:
    long = {
        f"{short(path)}:{node.lineno} {node.name}": _body_lines(node)
        for path in python_files(*PRODUCT)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: lines for name, lines in long.items() if lines > FUNCTION_LINES} == {}


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


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
