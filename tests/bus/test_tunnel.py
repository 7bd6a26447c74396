"""From one call of an unprivileged user to a tunnel over two links, and what survives what."""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import TypeAlias

import pytest

from mqvpn_core.demo.programs import PORT
from mqvpn_core.demo.topology import SERVER_IPV4
from tests.bus.machine import UP_PATIENCE, Machine, machine, prepared
from tests.bus.seats import USERS
from tests.bus.system_bus import BusUser, CallError, process_status, secret, variant
from tests.e2e.topology import eventually

__all__ = ["machine", "prepared"]

pytestmark = [pytest.mark.netns, pytest.mark.slow]


def test_one_call_gives_a_tunnel_and_another_takes_it_away(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    alice = machine.bus.user("alice")
    started = time.perf_counter()
    machine.connect(alice)
    machine.wait_traffic()
    cold = time.perf_counter() - started
    assert alice.wait_state("up") == "up"
    _wait_paths(alice, lambda paths: set(paths) == {"wlan0", "lte0"})
    seen = alice.properties()
    assert seen["TunName"] == "mqvpn0"
    assert any(str(each).startswith("10.0.0.") for each in _list(seen["Addresses"]))
    alice.call("Disconnect")
    assert machine.is_untouched()
    assert machine.core() == 0
    started = time.perf_counter()
    machine.connect(alice)
    machine.wait_traffic()
    warm = time.perf_counter() - started
    with capsys.disabled():
        sys.stdout.write(
            f"\n  from Connect() to traffic: {cold:.2f} s with the start of the helper,"
            f" {warm:.2f} s without\n"
        )


def test_the_process_that_faces_the_network_has_no_power(machine: Machine) -> None:
    alice = machine.bus.user("alice")
    machine.connect(alice)
    machine.wait_traffic()
    status = process_status(machine.core())
    none = "0" * 16
    capabilities = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    assert {name: status[name] for name in capabilities} == dict.fromkeys(capabilities, none)
    assert status["NoNewPrivs"] == "1"
    assert status["Uid"].split() == ["61099"] * 4
    assert status["Gid"].split() == ["61099"] * 4
    assert status["Groups"].split() in ([], ["61099"])


def test_a_core_that_is_killed_is_replaced(machine: Machine) -> None:
    alice = machine.bus.user("alice")
    machine.connect(alice, kill_switch=variant("s", "standard"))
    machine.wait_traffic()
    rules = machine.ruleset()
    first = machine.core()
    os.kill(first, signal.SIGKILL)
    eventually(lambda: machine.core() not in (0, first), UP_PATIENCE, "second core")
    assert machine.ruleset() == rules
    machine.wait_traffic()
    assert "core-died" in _event_kinds(alice)
    alice.call("Disconnect")
    assert machine.is_untouched()


@pytest.mark.parametrize(
    ("who", "how", "mode"),
    [
        ("helper", signal.SIGKILL, "standard"),
        ("both", signal.SIGKILL, "standard"),
        ("helper", signal.SIGTERM, "standard"),  # as by ``systemctl restart``
        ("helper", signal.SIGTERM, "off"),
    ],
    ids=["killed", "both killed", "restarted", "restarted, open"],
)
def test_the_next_helper_brings_the_tunnel_up_again(
    machine: Machine, capsys: pytest.CaptureFixture[str], who: str, how: signal.Signals, mode: str
) -> None:
    """Nobody has asked for an end; the next call of anybody starts the next helper."""
    alice = machine.bus.user("alice")
    machine.connect(alice, kill_switch=variant("s", mode))
    machine.wait_traffic()
    alice.call("SetPathPolicy", "lte0", {"role": variant("s", "backup")})
    _wait_paths(alice, lambda paths: paths["lte0"]["role"] == ["s", "backup"])
    helper, core = machine.bus.helper_pid(), machine.core()
    if who == "both":
        os.kill(core, signal.SIGKILL)
    os.kill(helper, how)
    machine.bus.wait(lambda: machine.bus.helper_pid() != helper, "end of the helper")
    assert ("kill_switch" in machine.ruleset()) is (mode == "standard")
    started = time.perf_counter()
    seen = alice.properties()
    assert (seen["State"], seen["Owner"]) == ("connecting", USERS["alice"])
    machine.wait_traffic()
    with capsys.disabled():
        seconds = time.perf_counter() - started
        sys.stdout.write(f"\n  next helper: traffic again after {seconds:.2f} s\n")
    assert machine.core() != core
    _wait_paths(alice, lambda paths: paths["lte0"]["role"] == ["s", "backup"])
    alice.call("Disconnect")
    assert machine.is_untouched()
    assert machine.remembered() == []


def test_a_secret_that_got_lost_is_asked_for_and_nothing_leaves_meanwhile(
    machine: Machine,
) -> None:
    alice = machine.bus.user("alice")
    machine.connect(alice, kill_switch=variant("s", "standard"), name=variant("s", "home"))
    machine.wait_traffic()
    helper = machine.bus.helper_pid()
    os.kill(helper, signal.SIGKILL)
    machine.bus.wait(lambda: machine.bus.helper_pid() != helper, "end of the helper")
    machine.bus.run(["sh", "-c", "rm /run/mqvpn/*.secret"])
    alice.wait_state("blocked")
    alice.call("Subscribe", 0)
    assert alice.signal("SecretsNeeded") == ["home"]
    rules = machine.ruleset()
    machine.bus.run(["nft", "flush", "ruleset"])
    eventually(lambda: machine.ruleset() == rules, UP_PATIENCE, "kill switch")
    alice.call("ProvideSecrets", secret(machine.key()))
    machine.wait_traffic()


def test_after_a_crash_the_user_may_give_up_the_tunnel(machine: Machine) -> None:
    alice = machine.bus.user("alice")
    machine.connect(alice, kill_switch=variant("s", "standard"))
    machine.wait_traffic()
    os.kill(machine.bus.helper_pid(), signal.SIGKILL)
    eventually(lambda: machine.core() == 0, UP_PATIENCE, "end of the core")
    with pytest.raises(CallError, match=r"org\.mqvpn\.others"):
        machine.bus.user("carol").call("Disconnect")  # it is not hers to release
    alice.call("Disconnect")
    assert machine.is_untouched()
    assert alice.properties()["State"] == "off"


def test_recover_restores_the_machine_from_a_lasting_kill_switch(machine: Machine) -> None:
    alice, root = machine.bus.user("alice"), machine.bus.user("root")
    machine.connect(alice, kill_switch=variant("s", "always"))
    machine.wait_traffic()
    alice.call("Disconnect")
    assert "mqvpn" in machine.ruleset()
    assert alice.properties()["State"] == "blocked"
    root.call("Recover")
    assert machine.is_untouched()
    assert alice.properties()["State"] == "off"
    machine.connect(alice, kill_switch=variant("s", "always"))
    machine.wait_traffic()
    root.call("Recover")
    assert machine.is_untouched()


def test_a_wrong_key_is_said_to_its_owner_and_asked_for_again(machine: Machine) -> None:
    alice = machine.bus.user("alice")
    alice.call("Subscribe", 0)
    profile = {
        "server": variant("s", f"{SERVER_IPV4}:{PORT}"),
        "pins": variant("as", [machine.lab.credentials.pin]),
        "name": variant("s", "home"),
    }
    alice.call("Connect", profile, secret("A" * 43 + "="))
    assert alice.signal("SecretsNeeded") == ["home"]
    assert "auth-failed" in _event_kinds(alice)
    alice.call("ProvideSecrets", secret(machine.key()))
    machine.wait_traffic()


def test_statistics_come_to_who_asked_for_them(machine: Machine) -> None:
    alice, bob = machine.bus.user("alice"), machine.bus.user("bob")
    for user in (alice, bob):
        user.call("Subscribe", 200)
    machine.connect(alice)
    machine.wait_traffic()
    for _ in range(3):
        stats = alice.signal("Stats")
        assert stats is not None
        assert isinstance(stats[1], dict)
        assert stats[1]["wlan0"]["rtt_ms"][1] >= 0
    alice.call("Unsubscribe")
    while alice.signal("Stats", 0) is not None:
        pass
    assert alice.signal("Stats", 1.0) is None
    assert bob.signal("Stats", 0) is None


def test_paths_follow_the_users_wishes(machine: Machine) -> None:
    alice = machine.bus.user("alice")
    machine.connect(alice)
    _wait_paths(alice, lambda paths: set(paths) == {"wlan0", "lte0"})
    alice.call("SetPathPolicy", "lte0", {"role": variant("s", "backup")})
    _wait_paths(alice, lambda paths: paths["lte0"]["role"] == ["s", "backup"])
    alice.call("SetPathPolicy", "lte0", {"cap_bytes": variant("t", 5_000_000_000)})
    _wait_paths(alice, lambda paths: paths["lte0"]["cap_bytes"] == ["t", 5_000_000_000])
    alice.call("SetPathPolicy", "lte0", {"cap_bytes": variant("t", 0)})
    _wait_paths(alice, lambda paths: paths["lte0"]["cap_bytes"] == ["t", 0])
    with pytest.raises(CallError, match="BadArguments"):
        alice.call("SetPathPolicy", "lte0", {"role": variant("s", "best")})


def test_suspend_and_resume_are_noticed(machine: Machine) -> None:
    alice = machine.bus.user("alice")
    with machine.bus.logind() as logind:
        machine.connect(alice)
        machine.wait_traffic()
        eventually(lambda: logind("count") == 1, UP_PATIENCE, "delay lock")
        logind("sleep")
        eventually(lambda: logind("count") == 0, UP_PATIENCE, "release of the lock")
        logind("wake")
        eventually(lambda: logind("count") == 1, UP_PATIENCE, "another lock")
        kinds = _event_kinds(alice)
        assert kinds.index("suspended") < kinds.index("resumed")
        assert machine.carries()
        alice.call("Disconnect")
        assert logind("count") == 0


Paths: TypeAlias = dict[str, dict[str, list[object]]]


def _wait_paths(user: BusUser, condition: Callable[[Paths], bool]) -> None:
    def is_so() -> bool:
        time.sleep(0.2)  # the helper does not want to be asked more than twenty times a second
        paths = user.properties()["Paths"]
        assert isinstance(paths, dict)
        return condition(paths)

    eventually(is_so, UP_PATIENCE, "change of paths")


def _event_kinds(user: BusUser) -> list[str]:
    (events,) = user.call("GetEvents", 0, 1000)
    return [each["kind"][1] for each in _list(events)]


def _list(value: object) -> list[dict[str, list[str]]]:
    assert isinstance(value, list)
    return value
