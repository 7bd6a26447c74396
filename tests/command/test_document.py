"""docs/command.md says what the program does."""

import re
import shlex

from mqvpn_gui.command.commands import COMMANDS
from mqvpn_gui.command.exit_codes import ExitCode
from mqvpn_gui.command.parsing import choose
from mqvpn_gui.user.profile_text import read_profile
from tests.meta.checkout import ROOT

TEXT = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")


def test_every_command_is_named() -> None:
    table = TEXT.partition("## Commands")[2].partition("## Profiles")[0]
    for command in COMMANDS:
        assert re.search(rf"(?:`|mqvpn ){command.name}\b", table), command.name


def test_command_lines_parse() -> None:
    lines = re.findall(r"^(?:\$ )?mqvpn ([a-z].*)$", TEXT, re.MULTILINE)
    assert len(lines) > 3
    for line in lines:
        words = shlex.split(line.partition("<")[0])
        command, path, rest = choose(COMMANDS, words)
        if command.run is not None:
            command.parser(path).parse_args(list(rest))


def test_exit_codes_are_those_of_the_program() -> None:
    codes = re.findall(r"^\| (\d) \|", TEXT, re.MULTILINE)
    assert codes == [str(code.value) for code in ExitCode]


def test_the_profile_is_one() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    stored = read_profile(example.replace("KSdW...Q4I", "A" * 43))
    assert (stored.user, stored.settings.caps) == ("alice", (("wwan*", 5_000_000_000),))
