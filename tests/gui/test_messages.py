"""What the commands and the helper say is said by the window in its language, and in its words."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mqvpn_gui.user
from mqvpn_gui.app import importing
from mqvpn_gui.words.messages import sentences, told, told_failure
from mqvpn_helper.interface import invite_link
from mqvpn_helper.interface.bus_names import BusError

ADVICE = "copy it whole; docs/links.md describes what it looks like"


def texts_of_errors(path: Path) -> Iterator[str]:
    """What the errors that a module raises say, with ``X`` for what differs."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id.endswith("Error") and node.func.id != "TypeError":
            yield from (text for each in node.args if (text := _text(each)))


def _text(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_text(each) or "X" for each in values)
        case _:
            return ""


@pytest.mark.usefixtures("german")
def test_what_errors_say_is_translated() -> None:
    user = Path(mqvpn_gui.user.__file__).parent
    modules = [*user.glob("*.py"), Path(importing.__file__), Path(invite_link.__file__)]
    texts = {text for module in modules for text in texts_of_errors(module)}
    english = {text for text in texts if told(text) == text and any(map(str.islower, text))}
    assert len(texts) > 70
    assert sorted(english) == []


def test_advice_speaks_of_the_window_and_not_of_commands() -> None:
    user = Path(mqvpn_gui.user.__file__).parent
    texts = {text for module in user.glob("*.py") for text in texts_of_errors(module)}
    said = [told(text) for text in texts]
    assert [text for text in said if " --" in text or "'mqvpn" in text] == []


@pytest.mark.usefixtures("german")
def test_parts_are_translated_as_well() -> None:
    said = sentences("the link cannot be used: there is no link", ADVICE)
    assert said == "Der Link ist nicht brauchbar: da ist kein Link. Kopieren Sie ihn ganz."


@pytest.mark.parametrize("error", list(BusError))
@pytest.mark.usefixtures("german")
def test_every_error_of_the_helper_has_a_meaning_in_german(error: BusError) -> None:
    said = told_failure(error.bus_name, "some more about it")
    assert said.endswith("(some more about it).")
    assert not said.startswith("Some more")


def test_in_english_the_helper_is_quoted() -> None:
    assert told_failure("Host", "no nftables here") == "No nftables here."
    assert told_failure("org.freedesktop.DBus.Error.NoReply", "no answer") == "No answer."
    assert told_failure("Unreachable", "") == "The server does not answer."


def test_what_is_not_known_stays_as_it_is() -> None:
    evil = "{0}%s" + "x" * 10_000
    assert told(evil) == evil
    assert told("") == ""
