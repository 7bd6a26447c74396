"""Completion: every shell is given its script and asked what it would offer."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mqvpn_gui.command.commands import COMMANDS
from mqvpn_gui.command.completions import places_of
from mqvpn_gui.command.parsing import Takes
from tests.command.runs import LINK, Command

Offers = Callable[[str], set[str]]

_BASH = """
source "$1"
COMP_WORDS=($2); [[ $2 == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
compopt() { :; }
_mqvpn
printf '%s\\n' "${COMPREPLY[@]}"
"""
_ZSH = """
_describe() { print -l -- ${(P)argv[-1]%%:*} }
compadd() { shift; print -l -- "$@" }
_files() { print -- FILES }
words=(${(s: :)2}); [[ $2 == *' ' ]] && words+=('')
CURRENT=${#words}
source "$1"
"""


def test_places_come_from_the_parsers() -> None:
    places = {place.path: place for place in places_of(COMMANDS)}
    assert {"", "up", "path", "path set", "profile", "profile import"} <= set(places)
    words = {word.text: word for word in places["path set"].words}
    assert words["--role"].values == ("default", "primary", "secondary", "backup", "never")
    assert words["--cap"].takes_value
    assert not words["--help"].takes_value
    assert places["path set"].kind is Takes.INTERFACE
    assert places["up"].kind is Takes.PROFILE
    assert not {word.text: word for word in places["status"].words}["--watch"].takes_value
    assert places["killswitch"].values == ("off", "standard", "always")


def test_names_for_completion(mqvpn: Command) -> None:
    assert mqvpn("complete", "profiles").out == ""
    mqvpn("profile", "import", piped=LINK)
    assert mqvpn("complete", "profiles").out == "office\n"
    interfaces = mqvpn("complete", "interfaces").out.split()
    assert "lo" not in interfaces
    assert set(interfaces) <= {each.name for each in Path("/sys/class/net").iterdir()}


@pytest.fixture(scope="module", params=["bash", "zsh", "fish"])
def offers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Offers:
    """What a shell offers behind a command line that was typed."""
    shell: str = request.param
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    directory = tmp_path_factory.mktemp(shell)
    program = directory / "mqvpn"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mqvpn_gui.command "$@"\n')
    program.chmod(0o755)
    profiles = directory / "config" / "mqvpn" / "profiles"
    profiles.mkdir(parents=True)
    (profiles / "office.toml").touch()
    environment = {
        "PATH": f"{directory}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "HOME": str(directory),
        "XDG_CONFIG_HOME": str(directory / "config"),
        "LC_ALL": "C.UTF-8",
    }

    def run(*command: str) -> str:
        return subprocess.run(  # noqa: S603 - a shell with our own script
            command, env=environment, cwd=directory, capture_output=True, text=True, check=True
        ).stdout

    script = directory / "script"
    script.write_text(run(str(program), "completions", shell))

    def ask(line: str) -> set[str]:
        match shell:
            case "bash":
                out = run(found, "--norc", "-c", _BASH, "x", str(script), line)
            case "zsh":
                out = run(found, "-f", "-c", _ZSH, "x", str(script), line)
            case _:
                code = f"source {script}; complete -C '{line}'"
                out = run(found, "--no-config", "-c", code)
        words = {each.partition("\t")[0] for each in out.splitlines() if each}
        # Shells leave out what cannot follow what was begun; the stand-ins here do not.
        return {word for word in words if word.startswith(line.rpartition(" ")[2])}

    return ask


@pytest.mark.slow
def test_what_shells_offer(offers: Offers) -> None:
    assert {"up", "down", "status", "profile", "killswitch"} <= offers("mqvpn ")
    assert offers("mqvpn st") == {"status"}
    assert offers("mqvpn profile ") >= {"import", "list", "share", "rm"}
    assert offers("mqvpn profile sh") == {"show", "share"}
    assert offers("mqvpn killswitch ") >= {"off", "standard", "always"}
    assert offers("mqvpn path set wlan0 --role ") >= {"primary", "backup", "never"}
    assert "--follow" in offers("mqvpn events --")
    assert "office" in offers("mqvpn up ")
    assert "office" in offers("mqvpn profile share ")
    assert offers("mqvpn completions ") >= {"bash", "zsh", "fish"}
    assert "up" not in offers("mqvpn status ")
