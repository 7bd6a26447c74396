"""``mqvpn status``, ``paths``, ``events`` and ``diagnose``."""

import json
import os
import stat
from functools import partial
from pathlib import Path

import pytest
from jeepney.fds import FileDescriptor

from mqvpn_gui.command.exit_codes import ExitCode
from mqvpn_gui.command.helper_client import HelperSignal
from mqvpn_gui.user.errors import HelperMissingError
from tests.command.fake_helper import OFF, PATHS, changed, up_properties
from tests.command.runs import Command


def _stats(**paths: object) -> HelperSignal:
    return HelperSignal(name="Stats", values=(1, {**PATHS, **paths}))


def test_status_of_nothing(mqvpn: Command) -> None:
    outcome = mqvpn("status")
    assert outcome.code == ExitCode.OK
    assert outcome.out == ("off\n  kill switch  off: traffic passes beside a tunnel that is down\n")


def test_status_of_a_tunnel(mqvpn: Command) -> None:
    mqvpn.helper.current = up_properties()
    lines = mqvpn("status").out.splitlines()
    assert lines[:8] == [
        "connected for 1 min 40 s",
        "  profile      office",
        "  server       vpn.example.org:443",
        "  device       mqvpn0",
        "  addresses    10.0.0.2/32",
        "  names        resolved by systemd-resolved",
        "  kill switch  standard: nothing passes beside a tunnel that is wanted",
        "",
    ]
    table = [line.split() for line in lines[8:]]
    assert table[1][:6] == ["wlan0", "wireless", "primary", "active", "12", "ms"]
    assert table[2][:5] == ["wwan0", "cellular,", "metered", "backup", "standby"]


def test_what_goes_beside_the_tunnel_is_shown(mqvpn: Command) -> None:
    hosts = [f"192.0.2.{number}/32" for number in range(1, 6)]
    mqvpn.helper.current = {
        **up_properties(),
        "Split": {"split_exclude": hosts, "split_cgroups": ["app.slice/x.scope"]},
    }
    lines = mqvpn("status").out.splitlines()
    shown = ", ".join(hosts[:4])
    assert f"  beside it    {shown} and 2 more" in lines
    assert not any("only in it" in line for line in lines)
    value = mqvpn("status", "--json").json
    assert isinstance(value, dict)
    assert value["split_exclude"] == hosts
    assert value["split_cgroups"] == ["app.slice/x.scope"]
    mqvpn.helper.current = {**up_properties(), "Split": {"split_include": ["intranet.example"]}}
    assert "  only in it   intranet.example" in mqvpn("status").out.splitlines()
    mqvpn.helper.current = {**up_properties(), "Split": {"split_include": 5, "x": ["y"]}}
    assert "only in it" not in mqvpn("status").out


def test_numbers_of_now_are_waited_for(mqvpn: Command) -> None:
    mqvpn.helper.current = up_properties()
    fresh = {**PATHS["wlan0"], "rtt_ms": 99.0}  # type: ignore[dict-item]  # a mapping
    mqvpn.helper.rounds = [[_stats(wlan0=fresh)]]
    assert "99 ms" in mqvpn("paths").out
    assert mqvpn.helper.calls == [("Subscribe", (100,))]


def test_the_tunnel_of_somebody_else(mqvpn: Command) -> None:
    mqvpn.helper.current = {**OFF, "State": "up", "Owner": os.getuid() + 1}
    out = mqvpn("status").out
    assert f"belongs to user {os.getuid() + 1}; its details are private" in out
    assert mqvpn("paths").out == "no tunnel is up, or it has no path\n"


def test_an_error_and_an_exception_are_shown(mqvpn: Command) -> None:
    mqvpn.helper.current = {
        **OFF,
        "State": "error",
        "LastError": ("Certificate", "another key\x1b[31m than expected"),
        "PortalInterface": "wlan0",
        "PortalUntil": 1_000_000_200_000_000,
    }
    out = mqvpn("status").out
    assert "  error        another key [31m than expected" in out
    assert "  exception    wlan0 is past the kill switch for 1 min 40 s" in out


def test_status_as_json(mqvpn: Command) -> None:
    mqvpn.helper.current = up_properties()
    value = mqvpn("status", "--json").json
    assert isinstance(value, dict)
    assert value["state"] == "up"
    assert value["since"] == 1_000_000_000.0
    assert value["owner"] == os.getuid()
    assert value["paths"][0]["rtt_ms"] == 12.25
    assert value["helper"] == {"version": "0.1.0", "api_level": 1}
    off = mqvpn("paths", "--json")
    mqvpn.helper.current = dict(OFF)
    assert isinstance(off.json, list)
    assert mqvpn("paths", "--json").json == []


def test_watching_prints_each_interval_and_each_change(mqvpn: Command) -> None:
    mqvpn.helper.current = up_properties()
    mqvpn.step = 0.3

    def stop() -> None:
        raise KeyboardInterrupt

    mqvpn.helper.rounds = [[_stats(), _stats(), changed(State="degraded"), _stats(), _stats()]]
    mqvpn.helper.after_round = stop
    outcome = mqvpn("status", "--watch", "--json")
    assert outcome.code == ExitCode.OK
    states = [json.loads(line)["state"] for line in outcome.out.splitlines()]
    assert states[0] == "up"
    assert states[1:] == ["up", "degraded", "degraded"]
    assert mqvpn.helper.calls == [("Subscribe", (1000,))]
    mqvpn.helper.rounds = [[_stats()]]
    assert mqvpn("paths", "--watch", "0.5").out.startswith("interface")
    for wrong in ("0", "61", "x", "nan"):
        assert mqvpn("status", "--watch", wrong).code == ExitCode.USAGE


def _event(number: int, kind: str, path: str = "", **detail: object) -> dict[str, object]:
    return {"id": number, "time_us": number * 1_000_000, "kind": kind, "path": path,
            "detail": detail}  # fmt: skip


def test_events(mqvpn: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    mqvpn.helper.answers["GetEvents"] = lambda _: (
        [
            _event(3, "connected", gap_ms=1500),
            _event(4, "failover", "wlan0", to_interface="wwan0", gap_ms=62.0, reason="no link"),
            _event(5, "recovered", "wlan0", silent_ms=11_000),
            _event(6, "something-new", text="a newer helper\ntells"),
            {"id": "hostile"},
        ],
    )
    outcome = mqvpn("events", "--since", "2")
    assert mqvpn.helper.calls == [("GetEvents", (2, 1000))]
    lines = [line[25:] for line in outcome.out.splitlines()]
    assert lines == [
        "connected       connected, gap 1500 ms",
        "failover        wlan0 lost, continuing on wwan0, gap 62 ms (no link)",
        "recovered       wlan0 works again after 11.0 s",
        "other           a newer helper tells",
    ]
    values = [json.loads(line) for line in mqvpn("events", "--json").out.splitlines()]
    assert values[1] == {
        "id": 4,
        "time": 4.0,
        "kind": "failover",
        "path": "wlan0",
        "detail": {"to_interface": "wwan0", "gap_ms": 62.0, "reason": "no link"},
    }
    for wrong in ("-1", "x", "1" * 19, "\u0661"):
        assert mqvpn("events", "--since", wrong).code == ExitCode.USAGE


def test_following_events_misses_and_repeats_nothing(mqvpn: Command) -> None:
    mqvpn.helper.answers["GetEvents"] = lambda _: ([_event(1, "connected")],)
    signals = [
        HelperSignal(name="Event", values=(number, 0, "path-up", "wlan0", {}))
        for number in (1, 2, 2, 3)
    ]

    def stop() -> None:
        raise KeyboardInterrupt

    mqvpn.helper.rounds = [[changed(State="up"), *signals]]
    mqvpn.helper.after_round = stop
    outcome = mqvpn("events", "--follow", "--json")
    assert [json.loads(line)["id"] for line in outcome.out.splitlines()] == [1, 2, 3]
    assert mqvpn.helper.names() == ["Subscribe", "GetEvents"]

    def leave() -> None:
        mqvpn.helper.is_helper_gone = True

    mqvpn.helper.after_round = leave
    ended = mqvpn("events", "--follow")
    assert (ended.code, "the helper has ended" in ended.err) == (ExitCode.FAILURE, True)


def _report(text: str) -> FileDescriptor:
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    return FileDescriptor(reading)


def _answer_report(text: str, _arguments: tuple[object, ...]) -> tuple[object, ...]:
    return (_report(text),)


def test_diagnose(mqvpn: Command, tmp_path: Path) -> None:
    mqvpn.helper.answers["CollectDiagnostics"] = lambda _: (_report('{"tun": true}'),)
    report = mqvpn("diagnose").json
    assert isinstance(report, dict)
    assert report["helper"] == {"tun": True}
    assert report["command"]["profiles"] == 0
    assert mqvpn("diagnose", "--json").out.count("\n") == 1
    file = tmp_path / "report.json"
    assert "read it before you send it" in mqvpn("diagnose", "--output", str(file)).out
    assert json.loads(file.read_text())["helper"] == {"tun": True}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert mqvpn("diagnose", "--output", str(file)).code == ExitCode.USAGE
    assert mqvpn("diagnose", "--output", str(file), "--force").code == ExitCode.OK
    for broken in ("", "{", "[" * 50_000):
        mqvpn.helper.answers["CollectDiagnostics"] = partial(_answer_report, broken)
        assert "the helper's report is broken" in mqvpn("diagnose").err


def test_diagnose_helps_most_where_there_is_no_helper(
    mqvpn: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_SESSION_TYPE", "wayland")
    mqvpn("profile", "add", "secret-name", "--server", "secret.example", "--no-key")
    mqvpn.helper.open_error = HelperMissingError("no helper", "install it")
    outcome = mqvpn("diagnose")
    assert outcome.code == ExitCode.HELPER_MISSING
    assert outcome.err == "mqvpn: no helper\n  install it\n"
    report = outcome.json
    assert isinstance(report, dict)
    assert report["helper"] == {"error": "no helper", "advice": "install it"}
    own = report["command"]
    assert (own["profiles"], own["session"]) == (1, "wayland")
    assert {"version", "python", "system", "kernel", "keyring", "polkit_agent"} <= set(own)
    assert "secret" not in outcome.out
