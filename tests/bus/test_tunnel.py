"""From one call of an unprivileged user to a tunnel over two links, and what survives what."""

import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

from mqvpn_core.demo.programs import PORT, make_credentials
from mqvpn_core.demo.topology import SERVER_IPV4
from tests.bus.conftest import need_bus
from tests.bus.private_bus import (
    BusUser,
    CallError,
    PrivateBus,
    private_bus,
    process_status,
    secret,
    variant,
)
from tests.e2e.topology import INNER_SERVER_IPV4, Lab, eventually, tcp_listener

pytestmark = [pytest.mark.netns, pytest.mark.slow]

ECHO_PORT = 7007
UP_PATIENCE = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A user's machine with a helper, and a server in the world."""

    lab: Lab
    bus: PrivateBus
    untouched: tuple[str, ...]

    def connect(self, user: BusUser, **members: object) -> None:
        """Ask for the tunnel."""
        profile = {
            "server": variant("s", f"{SERVER_IPV4}:{PORT}"),
            "pins": variant("as", [self.lab.credentials.pin]),
            "paths": variant("as", ["wlan0", "lte0"]),
            **members,
        }
        key = self.lab.credentials.auth_key.read_text(encoding="ascii").strip()
        user.call("Connect", profile, secret(key))

    def carries(self) -> bool:
        """Whether a TCP connection through the device, and through nothing else, comes about."""
        try:
            self.lab.world.client.call(_connect_by_tunnel).close()
        except OSError:
            return False
        return True

    def wait_traffic(self) -> float:
        """Wait until the tunnel carries something; return how long that took."""
        return eventually(self.carries, UP_PATIENCE, "traffic")

    def ruleset(self) -> str:
        """The rules of nftables, without what they have counted."""
        return self.bus.run(["nft", "--stateless", "list", "ruleset"]).stdout

    def is_untouched(self) -> bool:
        """Whether nothing of ours is left."""
        return self.lab.world.client.host_state() == self.untouched and not self.ruleset()

    def core(self) -> int:
        """Process ID of the only core; 0 when there is none."""
        found = self.bus.processes("mqvpn_core.cli.under_helper")
        assert len(found) < 2
        return found[0] if found else 0


@pytest.fixture(scope="module")
def prepared() -> Iterator[Machine]:
    """A machine, connected by two links, and a server that waits."""
    need_bus()
    directory = Path(tempfile.mkdtemp(prefix="mq-tunnel-"))
    logs = directory / "bus"
    logs.mkdir()
    try:
        with ExitStack() as held:
            lab = Lab(held, make_credentials(directory), directory)
            held.enter_context(tcp_listener(lab.world.server, "::", ECHO_PORT))
            lab.start_server()
            bus = held.enter_context(private_bus(logs, namespace=lab.world.client))
            yield Machine(lab=lab, bus=bus, untouched=lab.world.client.host_state())
            log = bus.log()
        sys.stdout.write(log)
        assert "Traceback" not in log
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def machine(prepared: Machine) -> Iterator[Machine]:
    """The same with no helper yet and nobody connected, for one test."""
    yield prepared
    bus = prepared.bus
    bus.disconnect_users()
    bus.user("root").call("Recover")
    helper = bus.helper_pid()
    os.kill(helper, signal.SIGTERM)
    bus.wait(lambda: bus.helper_pid() != helper, "end of the helper")
    bus.disconnect_users()
    assert prepared.is_untouched()


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


def test_a_helper_that_is_killed_leaves_the_kill_switch_and_nothing_else(machine: Machine) -> None:
    alice = machine.bus.user("alice")
    machine.connect(alice, kill_switch=variant("s", "standard"))
    machine.wait_traffic()
    os.kill(machine.bus.helper_pid(), signal.SIGKILL)
    eventually(lambda: machine.core() == 0, UP_PATIENCE, "end of the core")
    assert "mqvpn" in machine.ruleset()
    # The next call starts another helper, which finds out what the dead one had done.
    seen = alice.properties()
    assert (seen["State"], seen["KillSwitch"]) == ("blocked", "standard")
    assert "mqvpn" in machine.ruleset()
    machine.connect(alice, kill_switch=variant("s", "standard"))
    machine.wait_traffic()
    alice.call("Disconnect")
    assert machine.is_untouched()


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


def test_a_helper_that_is_told_to_end_restores_the_machine(machine: Machine) -> None:
    alice = machine.bus.user("alice")
    machine.connect(alice)
    machine.wait_traffic()
    os.kill(machine.bus.helper_pid(), signal.SIGTERM)
    eventually(machine.is_untouched, UP_PATIENCE, "restored machine")
    assert alice.wait_state("off") == "off"


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
    key = machine.lab.credentials.auth_key.read_text(encoding="ascii").strip()
    alice.call("ProvideSecrets", secret(key))
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


def _connect_by_tunnel() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"mqvpn0")
        made.settimeout(0.3)
        made.connect((INNER_SERVER_IPV4, ECHO_PORT))
    except BaseException:
        made.close()
        raise
    return made


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
