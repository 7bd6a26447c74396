"""One name, one thing: a public class, or a constant with its value, is defined once."""

import ast
from collections import defaultdict

import pytest

from tests.meta.checkout import PRODUCT, python_files, short, tree


@pytest.mark.parametrize("package", PRODUCT)
def test_public_classes_are_defined_once(package: str) -> None:
    """A twin in `mqvpn_core.testing` may be called like what it stands for."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in python_files(package):
        for node in tree(path).body if "testing" not in path.parts else []:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(short(path))
    assert _repeated(places) == {}


@pytest.mark.parametrize("package", PRODUCT)
def test_no_constant_is_written_down_twice(package: str) -> None:
    """The same name for the same literal value in two modules: one of them should import it."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in python_files(package):
        for node in tree(path).body:
            for name in _assigned_names(node):
                if isinstance(node, ast.Assign | ast.AnnAssign) and _is_literal(node.value):
                    value = ast.unparse(node.value) if node.value else ""
                    places[f"{name} = {value}"].append(short(path))
    assert _repeated(places) == {}


def _repeated(places: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: where for name, where in places.items() if len(where) > 1}


def _is_public(name: str) -> bool:
    return name.isupper() and not name.startswith("_")


def _is_literal(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant | ast.BinOp | ast.UnaryOp)


def _assigned_names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        targets = [node.target]
    else:
        return []
    return [each.id for each in targets if isinstance(each, ast.Name) and _is_public(each.id)]
