"""Choosing a command, and failures as one line with an exit code."""

import re

import pytest

from mqvpn_core.app.exit_codes import ExitCode
from mqvpn_core.cli import main as main_of_package
from mqvpn_core.cli import tools
from mqvpn_core.cli.texts import COMMANDS, EXAMPLES, EXIT_CODES, SUB_COMMANDS, overview
from mqvpn_core.errors import ConfigError, HostError, MqvpnError
from tests.unit.cli.runs import CommandLine


@pytest.mark.parametrize("option", ["--help", "-h", "help"])
def test_help_teaches_by_example(mqvpn: CommandLine, option: str) -> None:
    outcome = mqvpn(option)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == overview()
    assert outcome.out.index("mqvpn-core demo") < outcome.out.index("commands, each")


def test_nothing_at_all_shows_help_and_is_no_success(mqvpn: CommandLine) -> None:
    outcome = mqvpn()
    assert (outcome.code, outcome.out) == (2, overview())


def test_overview_lists_every_command_and_exit_code() -> None:
    for command in COMMANDS:
        assert f"\n  {command} " in overview()
    below = {f"{name} {each}" for name, children in SUB_COMMANDS.items() for each in children}
    assert set(EXAMPLES) == {*COMMANDS, *below}
    assert [int(n) for n in re.findall(r"^  (\d)  ", EXIT_CODES, re.MULTILINE)] == list(ExitCode)


@pytest.mark.parametrize("command", list(EXAMPLES))
def test_every_command_has_help_with_examples_first(mqvpn: CommandLine, command: str) -> None:
    outcome = mqvpn(*command.split(), "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"usage: mqvpn-core {command} ")
    assert outcome.out.index("\nexamples:") < outcome.out.index("\noptions:")
    assert outcome.err == ""


def test_version_names_the_kernel(mqvpn: CommandLine) -> None:
    outcome = mqvpn("--version")
    assert outcome.code == 0
    assert re.match(r"mqvpn-core \S+ \(kernel: \w+; Python 3", outcome.out)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["clinet"], "unknown command 'clinet'; did you mean client?"),
        (["check"], "did you mean check-config?"),
        (["zzz"], "known are: client, server, demo"),
        (["--mod", "client"], "unknown option '--mod'; did you mean --mode?"),
        (["client", "--mtuu", "5"], "unknown option '--mtuu'; did you mean --mtu?"),
        (["server", "--nonsense"], "unknown option '--nonsense'; see mqvpn-core server"),
        (["client", "--mtu=5", "--zzzzzz"], "unknown option '--zzzzzz'; see mqvpn-core client"),
        (["client", "--subnet", "x"], "--subnet is an option of mqvpn-core server"),
        (["server", "--pin", "x"], "--pin is an option of mqvpn-core client"),
        (["client", "--listenn", "x"], "did you mean --listen, an option of mqvpn-core server?"),
        (["client", "--mtu"], "argument --mtu: expected one argument"),
        (["client", "a", "b"], "one argument too many"),
        (["client"], "a client needs server"),
        (["server"], "a server needs cert_file"),
        (["--mode", "both"], "option --mode: must be client or server"),
        (["--tun-name", "x"], "client or server?"),
        (["client", "a", "--mtu", "5"], "option --mtu: mtu: '5' is not a whole number from 576"),
        (["client", "a b"], "HOST: server: 'a b' is not a host name"),
        (["client", "--config", "gone.toml"], "gone.toml: No such file"),
        (["genkey", "--jsno"], "did you mean --json?"),
        (["gencert", "--days", "0"], "not a whole number from 1 to 36500"),
        (["gencert", "--name", "a b"], "'a b' is not a host name"),
        (["status", "--watch", "0"], "not a duration"),
        (["status", "--tun-name", "a/b"], "not an interface name"),
        (["demo", "--download-bytes", "x"], "not a whole number"),
    ],
)
def test_usage_errors_are_one_line_and_exit_code_2(
    mqvpn: CommandLine, arguments: list[str], says: str
) -> None:
    outcome = mqvpn(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("mqvpn-core: ")
    assert says in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["client", "--auth-keyy", "my-own-secret"],
        ["client", "--auth-keyy=my-own-secret"],
        ["client", "a", "--auth-key", "my", "own-secret"],
        ["client", "a", "--auth-key", "my own-secret"],
        ["server", "--user", "my own-secret", "--cert", "c", "--key", "k"],
        ["server", "--user", "alice:own-secret", "--cert", "c", "--key", "k"],
        ["server", "--auth-key", "own-secret", "--cert", "c", "--key", "k"],
    ],
)
def test_usage_errors_show_no_secret(mqvpn: CommandLine, arguments: list[str]) -> None:
    outcome = mqvpn(*arguments)
    assert outcome.code == 2
    assert "own-secret" not in outcome.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("it is wrong\nreally"), 2),
        (HostError("it is wrong\nreally"), 1),
        (MqvpnError("it is wrong\nreally"), 1),
    ],
)
def test_failures_have_exit_codes(
    mqvpn: CommandLine, monkeypatch: pytest.MonkeyPatch, error: MqvpnError, code: int
) -> None:
    def fail(_arguments: object) -> int:
        raise error

    monkeypatch.setattr(tools, "genkey", fail)
    outcome = mqvpn("genkey")
    assert (outcome.code, outcome.err) == (code, "mqvpn-core: it is wrong\\nreally\n")


def test_ctrl_c_is_no_traceback(mqvpn: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(tools, "genkey", interrupt)
    outcome = mqvpn("genkey")
    assert (outcome.code, outcome.out, outcome.err) == (1, "", "")


def test_entry_point_is_exported() -> None:
    assert callable(main_of_package)
