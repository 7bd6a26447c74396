"""The machine is byte for byte what it was: after Recover(), after an uninstall, after a flush."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mqvpn_core.demo.programs import executable
from tests.bus.machine import UP_PATIENCE, Machine, machine, prepared
from tests.bus.system_bus import CHECKOUT, BusUser, variant
from tests.e2e.topology import eventually

__all__ = ["machine", "prepared"]

pytestmark = [pytest.mark.netns, pytest.mark.slow]

PRERM = CHECKOUT / "packaging/debian/mqvpn-core/prerm"
_SPLIT = variant("as", ["198.51.100.77/32"])


def _everything(machine: Machine, mode: str) -> BusUser:
    """Bring up a tunnel that changes whatever a tunnel can change."""
    alice = machine.bus.user("alice")
    machine.connect(
        alice,
        kill_switch=variant("s", mode),
        dns=variant("as", ["10.0.0.1"]),
        split_exclude=_SPLIT,
        split_cgroups=variant("as", ["user.slice"]),
    )
    machine.wait_traffic()
    return alice


@pytest.mark.parametrize("mode", ["off", "always"])
def test_recover_leaves_nothing(machine: Machine, mode: str) -> None:
    before = machine.state()
    _everything(machine, mode)
    during = machine.state()
    changed = {name for name in before if before[name] != during[name]}
    # Or the comparison below would say nothing.
    assert changed >= {"ip rule", "ip route show table all", "ip address", "nft list ruleset"}
    assert "cat /etc/resolv.conf" in changed
    machine.bus.user("root").call("Recover")
    assert machine.state() == before


@pytest.mark.parametrize(
    ("mode", "is_dead"), [("always", False), ("standard", True)], ids=["running", "killed"]
)
def test_an_uninstall_in_the_middle_of_a_tunnel_leaves_nothing(
    machine: Machine, mode: str, is_dead: bool
) -> None:
    """What the Debian package runs before its files go, without a systemd that stops anything."""
    before = machine.state()
    _everything(machine, mode)
    if is_dead:
        os.kill(machine.bus.helper_pid(), signal.SIGKILL)
    path = f"{Path(executable()).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    removed = machine.bus.run(["env", f"PATH={path}", "sh", str(PRERM), "remove"])
    assert removed.returncode == 0, removed.stderr
    assert machine.state() == before
    assert machine.bus.helper_pid() == 0
    eventually(lambda: machine.core() == 0, UP_PATIENCE, "end of the core")


def test_a_kill_switch_is_back_at_once_when_the_firewall_is_emptied(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    alice = _everything(machine, "standard")
    rules = machine.ruleset()
    gaps = [machine.lab.world.client.call(_seconds_without) for _ in range(3)]
    assert machine.ruleset() == rules
    (events,) = alice.call("GetEvents", 0, 1000)
    assert "somebody emptied the firewall" in str(events)
    assert machine.carries()
    with capsys.disabled():
        sys.stdout.write(f"\n  kill switch back after {max(gaps) * 1000:.0f} ms at most\n")


def test_a_kill_switch_without_a_tunnel_is_put_back_by_whoever_finds_it(machine: Machine) -> None:
    """Its tunnel is over, and the helper that had it is gone: the next one looks after it."""
    alice = _everything(machine, "always")
    alice.call("Disconnect")
    helper = machine.bus.helper_pid()
    os.kill(helper, signal.SIGKILL)
    machine.bus.wait(lambda: machine.bus.helper_pid() != helper, "end of the helper")
    assert alice.wait_state("blocked") == "blocked"
    rules = machine.ruleset()
    assert "kill_switch" in rules
    assert machine.lab.world.client.call(_seconds_without) < UP_PATIENCE
    assert machine.ruleset() == rules


def _seconds_without() -> float:
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    began = time.perf_counter()
    command = ["nft", "list", "chain", "inet", "mqvpn_mqvpn0", "kill_switch"]
    while subprocess.run(command, capture_output=True, check=False).returncode:
        assert time.perf_counter() - began < UP_PATIENCE, "no kill switch"
    return time.perf_counter() - began
