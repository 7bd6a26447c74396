"""What ``--help`` teaches is true: its examples parse, its codes are those of the program."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mqvpn_gui.command import parsing
from mqvpn_gui.command.commands import COMMANDS, HIDDEN
from mqvpn_gui.command.exit_codes import EXIT_CODES, ExitCode
from mqvpn_gui.command.parsing import choose
from tests.command.runs import Command


def _leaves(
    commands: Sequence[parsing.Command], path: str = ""
) -> Iterator[tuple[str, parsing.Command]]:
    for each in commands:
        below = f"{path} {each.name}".strip()
        if each.run is None:
            yield from _leaves(each.children, below)
        else:
            yield below, each


LEAVES = dict(_leaves((*COMMANDS, *HIDDEN)))


def test_the_overview_names_every_command_and_code(mqvpn: Command) -> None:
    outcome = mqvpn("--help")
    assert outcome.code == ExitCode.OK
    assert all(f"  {each.name} " in outcome.out for each in COMMANDS)
    codes = re.findall(r"^  (\d)  ", EXIT_CODES, re.MULTILINE)
    assert codes == [str(code.value) for code in ExitCode]
    assert EXIT_CODES in outcome.out
    nothing = mqvpn()
    assert (nothing.code, nothing.out) == (ExitCode.USAGE, outcome.out)


@pytest.mark.parametrize("path", LEAVES)
def test_every_command_has_help_with_examples_that_parse(
    mqvpn: Command, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mqvpn(*path.split(), "--help").code == ExitCode.OK
    text = capsys.readouterr().out
    command = LEAVES[path]
    assert command.summary in text
    assert max(map(len, text.splitlines())) <= 100
    lines = [line for line in command.examples.splitlines() if f"mqvpn {path}" in line]
    assert lines
    for line in lines:
        typed = line.partition("   ")[2] if line.startswith("   ") else line.strip()
        words = shlex.split(re.split(r" {3,}|[|<>]", typed)[0])
        start = words.index("mqvpn")
        chosen, name, rest = choose((*COMMANDS, *HIDDEN), words[start + 1 :])
        assert (chosen, name) == (command, path)
        chosen.parser(name).parse_args(list(rest))


def test_commands_of_the_overview_parse(mqvpn: Command) -> None:
    for line in re.findall(r"^  mqvpn (.*?)(?:  .*)?$", mqvpn("--help").out, re.MULTILINE):
        words = line.split()
        if not words[0].startswith("-"):
            command, path, rest = choose(COMMANDS, words)
            command.parser(path).parse_args(list(rest))


def test_every_command_but_one_speaks_json() -> None:
    spoken = dict(_leaves(COMMANDS))
    without = {
        path
        for path, command in spoken.items()
        if "--json" not in command.parser(path).format_usage()
    }
    assert without == {"completions"}


def test_groups_show_what_is_in_them(mqvpn: Command) -> None:
    outcome = mqvpn("profile", "--help")
    assert outcome.code == ExitCode.OK
    assert "add a server from a link or a file" in outcome.out
    assert mqvpn("profile").code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("profiles", "did you mean profile?"),
        ("stat", "did you mean status?"),
        ("xyzzy", "known are: up, down"),
        ("--nonsense", "there is no option --nonsense"),
        ("path set", "mqvpn path set needs more: IFACE"),
        ("profile imprt", "did you mean import?"),
        ("up --nowait", "mqvpn up does not know --nowait"),
    ],
)
def test_misspelt_commands(mqvpn: Command, typed: str, hint: str) -> None:
    outcome = mqvpn(*typed.split())
    assert outcome.code == ExitCode.USAGE
    assert hint in outcome.err
    assert "--help" in outcome.err


def test_the_version(mqvpn: Command) -> None:
    assert re.fullmatch(r"mqvpn \d+\.\d+\.\d+\n", mqvpn("--version").out)


def _python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own code


@pytest.mark.slow
def test_help_loads_neither_the_keyring_nor_qt() -> None:
    result = _python(
        "import sys\nfrom mqvpn_gui.command.__main__ import run\n"
        "sys.argv = ['mqvpn', '--help']\nassert run() == 0\n"
        "sys.exit(str(sorted({'keyring', 'segno', 'PySide6', 'mqvpn_core'} & set(sys.modules))))"
    )
    assert result.stderr == "[]\n"


@pytest.mark.slow
def test_missing_packages_are_named() -> None:
    result = _python(
        "import sys\nsys.modules['jeepney'] = None\n"
        "from mqvpn_gui.command.__main__ import run\nsys.exit(run())"
    )
    assert result.returncode == 1
    assert result.stderr == (
        "mqvpn: the Python package jeepney is missing\n  run: pip install 'mqvpn[desktop]'\n"
    )


@pytest.mark.slow
def test_another_character_set_is_no_error(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONIOENCODING": "latin-1",
        "XDG_CONFIG_HOME": str(tmp_path),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }

    def run(*arguments: str, piped: str = "") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "mqvpn_gui.command", *arguments],
            env=environment,
            input=piped.encode("latin-1"),
            capture_output=True,
            check=False,
        )

    assert run("profile", "import", piped="mqvpn://h/?name=%E6%9D%B1").returncode == 0
    assert run("profile", "list").stdout.splitlines()[1].split() == [b"h", b"h:443", b"?"]
    shared = run("profile", "share", "h", "--without-key")
    assert shared.stdout == b"mqvpn://h/?name=%E6%9D%B1\n"
    assert b"cannot show a QR code" in shared.stderr


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error() -> None:
    command = [sys.executable, "-m", "mqvpn_gui.command", "completions", "fish"]
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.close()  # before it has written anything
        assert program.stderr.read() == b""
    assert program.returncode == ExitCode.FAILURE
