"""One name, one thing: public classes and wire numbers are defined once."""

import ast
from collections import defaultdict

from tests.meta.checkout import PRODUCT, python_files, short, tree


def test_public_classes_are_defined_once() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in python_files(*PRODUCT):
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(short(path))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_public_constants_are_defined_once() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in python_files(*PRODUCT):
        for node in tree(path).body:
            for target in _assigned_names(node):
                if target.isupper() and not target.startswith("_") and len(target) > 1:
                    places[target].append(short(path))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def _assigned_names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        targets = [node.target]
    else:
        return []
    return [target.id for target in targets if isinstance(target, ast.Name)]
