"""Each module says what it owns, and each field of a value says what it means."""

import ast

from tests.meta.checkout import PRODUCT, python_files, short, tree

MODULES = [path for path in python_files(*PRODUCT) if path.name != "__init__.py"]


def test_every_module_says_what_it_owns() -> None:
    assert [short(path) for path in MODULES if not ast.get_docstring(tree(path))] == []


def test_package_files_of_the_helper_are_empty() -> None:
    """They are shipped apart, room by room: one that imports would pull in what is not there."""
    filled = [
        short(path)
        for path in python_files("mqvpn_helper")
        if path.name == "__init__.py" and any(isinstance(n, _IMPORTS) for n in ast.walk(tree(path)))
    ]
    assert filled == []


def test_every_field_of_a_public_value_is_explained() -> None:
    silent = [
        f"{short(path)}:{field.lineno} {node.name}.{ast.unparse(field.target)}"
        for path in MODULES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef) and _is_public_dataclass(node)
        for field, following in zip(node.body, [*node.body[1:], None], strict=True)
        if isinstance(field, ast.AnnAssign)
        and not ast.unparse(field.target).startswith("_")
        and not _is_string(following)
    ]
    assert silent == []


_IMPORTS = (ast.Import, ast.ImportFrom)


def _is_public_dataclass(node: ast.ClassDef) -> bool:
    decorators = " ".join(ast.unparse(each) for each in node.decorator_list)
    return "dataclass" in decorators and not node.name.startswith("_")


def _is_string(node: ast.stmt | None) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
