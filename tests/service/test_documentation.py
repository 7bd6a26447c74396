"""The page about the interface names all of it, and nothing else."""

import re
from pathlib import Path

from mqvpn_helper.interface.bus_interface import METHODS, PROPERTIES, SIGNALS
from mqvpn_helper.interface.bus_names import BusError, BusEventKind, PolkitAction, TunnelState
from mqvpn_helper.service.capabilities import Capability

PAGE = (Path(__file__).parents[2] / "docs" / "helper.md").read_text(encoding="utf-8")


def first_column(title: str) -> set[str]:
    """What the tables of a section name in code in their first column."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_every_member_has_its_row() -> None:
    assert first_column("Methods") == {each.name for each in METHODS}
    assert first_column("Properties") == {each.name for each in PROPERTIES}
    assert first_column("Signals") == {each.name for each in SIGNALS}
    assert first_column("Events") == {each.value for each in BusEventKind}
    assert first_column("Errors") == {each.value for each in BusError}
    assert first_column("Who may do what") == {each.value for each in PolkitAction}


def test_methods_have_the_types_and_actions_of_the_table() -> None:
    for method in METHODS:
        (row,) = re.findall(rf"^\| `{method.name}` (\|.*)$", PAGE, re.MULTILINE)
        _, takes, returns, action, *_ = re.split(r"\s*\|\s*", row)
        types = re.findall(r"`([a-z{}]+)`", takes)
        assert "".join(types[: len(method.arguments)]) == method.input_signature, method.name
        if method.results:
            assert f"`{method.output_signature}`" in returns, method.name
        wanted = "none" if method.action is None else method.action.value.removeprefix("org.mqvpn.")
        assert action == wanted, method.name


def test_states_and_capabilities_are_named() -> None:
    for state in TunnelState:
        assert f"`{state.value}`" in PAGE
    for capability in Capability:
        assert f"`CAP_{capability.name}`" in PAGE


def test_every_attempt_of_a_hostile_core_has_tests_that_exist() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "security.md").read_text(encoding="utf-8")
    section = page.split("\n## Attempts of a hostile core\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 15
    tests = "\n".join(path.read_text() for path in (root / "tests/session").glob("test_*.py"))
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        for name in named:
            assert f"\ndef {name}(" in tests, name
