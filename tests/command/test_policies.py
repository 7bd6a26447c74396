"""Changing what runs: what is sent, and what is refused before it is sent."""

import pytest

from mqvpn_gui.command.exit_codes import ExitCode
from tests.command.runs import Command


def test_a_path_is_given_a_role_a_cap_and_a_rate(mqvpn: Command) -> None:
    outcome = mqvpn(
        *("path", "set", "wwan0", "--role", "backup", "--cap", "5 GB", "--rate-limit", "10 Mbit/s")
    )
    assert outcome.out == "wwan0: changed until the tunnel ends\n"
    assert mqvpn.helper.calls == [
        (
            "SetPathPolicy",
            (
                "wwan0",
                {
                    "role": ("s", "backup"),
                    "cap_bytes": ("t", 5_000_000_000),
                    "rate_limit": ("t", 1_250_000),
                },
            ),
        )
    ]
    mqvpn("path", "set", "wwan0", "--cap", "none", "--rate-limit", "none")
    assert mqvpn.helper.calls[-1][1][1] == {"cap_bytes": ("t", 0), "rate_limit": ("t", 0)}


def test_the_kill_switch_is_shown_and_changed(mqvpn: Command) -> None:
    assert mqvpn("killswitch").out.startswith("off: traffic passes")
    assert mqvpn.helper.calls == []
    mqvpn.helper.current["KillSwitch"] = "always"
    outcome = mqvpn("killswitch", "always")
    assert mqvpn.helper.calls == [("SetKillSwitch", ("always",))]
    assert outcome.out.startswith("always: nothing passes")
    assert "'mqvpn recover' always opens it" in outcome.err
    assert mqvpn("killswitch", "--json").json == {"kill_switch": "always"}


def test_the_captive_portal_exception(mqvpn: Command) -> None:
    assert "for 5 min 0 s: log in" in mqvpn("portal", "wlan0").out
    mqvpn("portal", "wlan0", "--minutes", "15")
    mqvpn("portal", "wlan0", "--end")
    assert mqvpn.helper.calls == [
        ("AllowPortal", ("wlan0", 300)),
        ("AllowPortal", ("wlan0", 900)),
        ("AllowPortal", ("wlan0", 0)),
    ]


def test_name_servers_and_split(mqvpn: Command) -> None:
    assert mqvpn("dns", "10.0.0.1", "fd00::1").out.endswith("10.0.0.1, fd00::1\n")
    mqvpn("dns", "none")
    mqvpn("split", "--exclude", "192.0.2.0/24", "--exclude", "10.0.0.0/8", "--allow-lan")
    assert mqvpn.helper.calls == [
        ("SetDns", ({"dns": ("as", ["10.0.0.1", "fd00::1"])},)),
        ("SetDns", ({"dns": ("as", [])},)),
        (
            "SetSplit",
            (
                {
                    "split_exclude": ("as", ["192.0.2.0/24", "10.0.0.0/8"]),
                    "split_include": ("as", []),
                    "split_cgroups": ("as", []),
                    "allow_lan": ("b", True),
                },
            ),
        ),
    ]


def test_changes_as_json(mqvpn: Command) -> None:
    changed = mqvpn("path", "set", "wwan0", "--role", "backup", "--cap", "5 GB", "--json").json
    assert changed == {"interface": "wwan0", "role": "backup", "cap_bytes": 5_000_000_000}
    assert mqvpn("portal", "wlan0", "--json").json == {"interface": "wlan0", "seconds": 300}
    mqvpn.helper.current = {**mqvpn.helper.current, "DnsMethod": "resolvconf"}
    assert mqvpn("dns", "10.0.0.1", "--json").json == {
        "dns": ["10.0.0.1"],
        "dns_method": "resolvconf",
    }
    split = mqvpn("split", "--exclude", "bank.example", "--cgroup", "app.slice", "--json").json
    assert split == {
        "split_exclude": ["bank.example"],
        "split_include": [],
        "split_cgroups": ["app.slice"],
        "allow_lan": False,
    }
    assert mqvpn("recover", "--yes", "--json").json == {"recovered": True}


@pytest.mark.parametrize(
    "line",
    [
        "path set wwan0",
        "path set wwan0 --role main",
        "path",
        "path get wwan0",
        "killswitch maybe",
        "portal wlan0 --minutes 16",
        "portal wlan0 --minutes 0",
        "portal wlan0 --minutes x",
        "portal",
        "dns",
        "dns example.org",
        "split --exclude every,thing",
        "split --include 10.0.0.1/8",
        "nonsense",
        "up a b",
        "up --nonsense",
    ],
)
def test_wrong_command_lines_change_nothing(mqvpn: Command, line: str) -> None:
    outcome = mqvpn(*line.split())
    assert outcome.code == ExitCode.USAGE
    assert mqvpn.helper.calls == []


def test_amounts_that_are_none(mqvpn: Command) -> None:
    outcome = mqvpn("path", "set", "wwan0", "--cap", "much")
    assert "is not an amount of data" in outcome.err
    assert "write 500 MB, 5 GB or 1 GiB" in outcome.err
    assert mqvpn.helper.calls == []
