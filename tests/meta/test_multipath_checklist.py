"""Every line of the multipath checklist has a test that carries its number, or a reason.

The checklist condenses RFC 10069 and what it needs of RFC 9000 to 9002 and 9221 into 106 items;
a test names those it covers, as in `test_mp_69_nothing_is_sent_on_...` or `test_mp_87_88_89_...`.
"""

import ast
import re
from collections import defaultdict
from functools import cache

from tests.meta.checkout import ROOT, python_files, short, tree

ITEMS = range(1, 107)

COVERED_ELSEWHERE = {
    18: "tests/unit/dataplane/test_kernels.py::test_the_nonce_of_the_multipath_draft",
}
"""Items whose test belongs to another room and has a name of its own."""

NOT_APPLICABLE = {
    8: "a nonce of less than 12 bytes: all cipher suites that are offered have 12",
}
"""Items that cannot happen here, with the reason."""

PARTLY = {
    9: "0-RTT is never offered or accepted, so that resumption alone is tested",
    14: "the preferred address of a server is ignored, and path 0 stays where it is",
    15: "there are no 0-RTT packets to acknowledge",
    44: "no NEW_TOKEN is issued, which the item allows",
}
"""Items of which a part cannot happen here, with the reason."""

_NUMBERS = re.compile(r"^test_mp_((?:\d+_)+)")


@cache
def _tests_by_item() -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for path in python_files("tests"):
        for name in _test_names(tree(path)):
            match = _NUMBERS.match(name)
            for number in match.group(1).rstrip("_").split("_") if match else ():
                found[int(number)].append(f"{short(path)}::{name}")
    return found


def _test_names(module: ast.Module) -> list[str]:
    return [
        node.name
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def test_every_item_has_a_test_or_a_reason() -> None:
    found = _tests_by_item()
    missing = [
        item
        for item in ITEMS
        if item not in found and item not in COVERED_ELSEWHERE and item not in NOT_APPLICABLE
    ]
    assert missing == []


def test_no_test_names_an_item_that_does_not_exist() -> None:
    assert {item: names for item, names in _tests_by_item().items() if item not in ITEMS} == {}


def test_what_is_covered_elsewhere_is_there() -> None:
    for item, place in COVERED_ELSEWHERE.items():
        file, _, name = place.partition("::")
        assert name in _test_names(tree(ROOT / file)), f"item {item}"


def test_reasons_are_given_where_they_are_needed() -> None:
    found = _tests_by_item()
    assert [item for item in (*NOT_APPLICABLE, *COVERED_ELSEWHERE) if item in found] == []
    assert [item for item in PARTLY if item not in found] == []
    assert all(len(reason) > 20 for reason in (*NOT_APPLICABLE.values(), *PARTLY.values()))
