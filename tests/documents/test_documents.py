"""The documents agree with the programs and with each other; nothing here runs for long."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.documents.blocks import ROOT, blocks, documents
from tests.documents.diagrams import TEXTS, mark_of, picture_of
from tests.documents.programs import man_pages

_CODE = re.compile(r"`([^`\n]+)`")
_FENCE = re.compile(r"^```.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FENCE_HEAD = re.compile(r"^(.*)\n```([a-z]*)\n(.*\n)(?:(?!```).*\n)*```$", re.MULTILINE)
_RUN = re.compile(r"<!-- run: (?P<name>[a-z-]+) -->")
_NOT_RUN = re.compile(r"<!-- not run: \S.* -->")
_ASKED_FOR = re.compile(r'(?:block|blocks\(\)|all_but_last|follow)[(\[]"([a-z-]+)"')
_DATA = {"toml", "python", "js"}
_COMMAND = re.compile(
    r"(?!.* {4})(apt|pip|pipx|podman|flatpak|systemctl|\./run|python3?|mqvpn(-\w+)?) [a-z.-]"
)
_OPTION = re.compile(r"--[a-z][a-z0-9-]*")
_GENERATED = {"docs/manual.md"}
_NOT_OPTIONS_OF_OURS = {"--help", "--version"}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = set(re.findall(r"\]\(([^)#]+\.md)\)", _text(ROOT / "docs/index.md")))
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert {each for each in listed if not each.startswith("../")} == pages


def test_the_manual_is_in_step_with_the_programs() -> None:
    """Words and not lines: how argparse lays them out differs from one Python to the next."""
    written = _sections(_text(ROOT / "docs/manual.md"))
    wanted = _sections(man_pages.markdown())
    assert written.keys() == wanted.keys()
    different = [name for name in wanted if written[name] != wanted[name]]
    assert different == [], "run: python packaging/man_pages.py --markdown docs/manual.md"


def _sections(text: str) -> dict[str, set[str]]:
    parts = re.split(r"^##+ (.+)$", text, flags=re.MULTILINE)
    bodies = zip(parts[1::2], parts[2::2], strict=True)
    return {name: {word.rstrip(",") for word in body.split()} for name, body in bodies}


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_diagrams_are_drawn(text: Path) -> None:
    drawn = _text(picture_of(text))
    assert drawn.endswith(mark_of(text)), "run: python -m tests.documents.diagrams"


def test_every_picture_is_shown_somewhere() -> None:
    shown = "".join(map(_text, documents()))
    pictures = (ROOT / "docs/pictures").iterdir()
    assert [each.name for each in pictures if f"pictures/{each.name})" not in shown] == []


@pytest.mark.parametrize("name", sorted(blocks().keys() - {"helper-rules"}))
def test_blocks_are_shell(name: str) -> None:
    done = subprocess.run(["sh", "-n"], input=blocks()[name].text, text=True, check=False)
    assert done.returncode == 0


def test_every_block_of_commands_is_run_or_says_why_not() -> None:
    """Every fenced block says what it is; one for a shell has a mark above it."""
    wrong = [
        f"{path.relative_to(ROOT)}: {above} {language} {first}"
        for path in documents()
        if str(path.relative_to(ROOT)) not in _GENERATED
        for above, language, first in _FENCE_HEAD.findall(_text(path))
        if not _is_accounted_for(above, language, first)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("above", "language", "first"),
    [
        ("", "", "mqvpn status"),
        ("", "sh", "mqvpn status"),
        ("<!-- not run: -->", "sh", "mqvpn status"),
        ("<!-- run: no-such-block -->", "sh", "mqvpn status"),
        ("", "text", "mqvpn status"),
        ("", "text", "apt install mqvpn"),
    ],
)
def test_blocks_without_a_test_would_be_found(above: str, language: str, first: str) -> None:
    assert not _is_accounted_for(above, language, first)


def _is_accounted_for(above: str, language: str, first: str) -> bool:
    if language != "sh":
        is_data = language in _DATA or language == "text"
        return is_data and not (language == "text" and _COMMAND.match(first))
    if _NOT_RUN.fullmatch(above):
        return True
    mark = _RUN.fullmatch(above)
    return mark is not None and mark["name"] in blocks() and mark["name"] in _named_in_tests()


@cache
def _named_in_tests() -> frozenset[str]:
    """The blocks that tests ask for."""
    texts = [_text(path) for path in (ROOT / "tests").rglob("*.py")]
    return frozenset(name for text in texts for name in _ASKED_FOR.findall(text))


def test_commands_of_the_documents_have_the_options_that_stand_there() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in documents()
        if str(path.relative_to(ROOT)) not in _GENERATED
        for line in _command_lines(_text(path))
        if not _is_known(line)
    ]
    assert wrong == []


def test_modules_that_the_documents_run_are_there() -> None:
    named = {
        name for path in documents() for name in re.findall(r"python3? -m ([\w.]+)", _text(path))
    }
    assert {"benchmarks.leaks", "tests.gui.photographs"} <= named
    places = {name: ROOT / name.replace(".", "/") for name in named - {"venv", "pip"}}
    missing = [
        name
        for name, place in places.items()
        if not place.with_suffix(".py").is_file() and not (place / "__main__.py").is_file()
    ]
    assert missing == []


@pytest.mark.parametrize(
    "line",
    [
        "mqvpn-core server init --yse",
        "mqvpn-core client h --kil-switch",
        "mqvpn profile improt",
        "mqvpn up --jsno",
        "mqvpn-cores status",
    ],
)
def test_wrong_commands_would_be_found(line: str) -> None:
    assert not _is_known(line)


def _command_lines(text: str) -> Iterator[str]:
    fences = "\n".join(_FENCE.findall(text)).replace("\\\n", " ")
    for line in [*fences.splitlines(), *_CODE.findall(_FENCE.sub("", text))]:
        command = line.strip().removeprefix("$ ").removeprefix("sudo ").split("  #")[0]
        if re.match(r"mqvpn(-[a-z]+)? [a-z-]+", command):
            yield command


def _is_known(line: str) -> bool:
    """Whether program, command and options of a line exist; its other words may be anything."""
    words = shlex.split(re.split(r"[|<>;]|\.\.\.", line)[0].replace("'", ""))
    programs = {each.name: each for each in man_pages.PROGRAMS}
    if words[0] not in programs:
        return False
    known = _helps(words[0])
    path: tuple[str, ...] = ()
    for word in words[1:]:
        if (*path, word) not in known:
            break
        path = (*path, word)
    rest = words[len(path) + 1 :]
    if rest and not rest[0].startswith("-") and not _takes_words(known[path]):
        return False
    options = set(_OPTION.findall(" ".join(words))) - _NOT_OPTIONS_OF_OURS
    return options <= set(_OPTION.findall(known[path]))


def _takes_words(text: str) -> bool:
    """Whether this is the help of a command, and not of a program or a group of commands."""
    usage = text.partition("\n\n")[0]
    return "COMMAND" not in usage and usage.startswith("usage:")


@cache
def _helps(name: str) -> dict[tuple[str, ...], str]:
    (program,) = (each for each in man_pages.PROGRAMS if each.name == name)
    return {tuple(title.split()): text for title, text in man_pages.sections(program)}
