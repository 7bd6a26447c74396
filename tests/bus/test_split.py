"""What goes beside a tunnel under the helper: programs of a control group, and hosts by name."""

import pytest

from tests.bus.machine import UP_PATIENCE, Machine, machine, prepared
from tests.bus.system_bus import variant
from tests.command.test_with_polkit import home_of, mqvpn
from tests.e2e.topology import INNER_SERVER_IPV4, eventually
from tests.resolver.link_name_server import name_server

__all__ = ["machine", "prepared"]

pytestmark = [pytest.mark.netns, pytest.mark.slow]

ROUTER = "203.0.113.1"
BESIDE, INSIDE = "203.0.113.77", "203.0.113.78"
_BYTES = 3000


def _device_towards(machine: Machine, address: str) -> str:
    words = machine.bus.run(["ip", "route", "get", address]).stdout.split()
    return words[words.index("dev") + 1]


def test_programs_of_a_control_group_go_beside_the_tunnel(machine: Machine) -> None:
    alice = machine.bus.user("alice")
    group = machine.bus.cgroup("alice")
    machine.connect(
        alice, kill_switch=variant("s", "standard"), split_cgroups=variant("as", [group])
    )
    machine.wait_traffic()
    router = machine.lab.world.router
    ping = f"exec ping -n -c 3 -i 0.2 -s 1200 {ROUTER}"
    entering = f"echo 0 >/sys/fs/cgroup/{group}/cgroup.procs"
    # The server answers what comes through the tunnel; the router answers the rest itself.
    before = router.counters("r0").sent_bytes
    beside = machine.bus.run(["sh", "-c", f"{entering} && {ping}"])
    assert beside.returncode == 0, beside.stdout + beside.stderr
    assert router.counters("r0").sent_bytes - before < _BYTES
    inside = machine.bus.run(["sh", "-c", ping])
    assert inside.returncode == 0, inside.stdout + inside.stderr
    assert router.counters("r0").sent_bytes - before > _BYTES
    with home_of("alice") as home:
        shown = machine.bus.run(mqvpn(home, "status"), user="alice").stdout
    assert f"  beside it    programs of {group}" in shown


def test_a_host_by_name_goes_beside_the_tunnel(machine: Machine) -> None:
    alice = machine.bus.user("alice")
    with (
        name_server(machine.lab.world.server, INNER_SERVER_IPV4, BESIDE) as asked,
        home_of("alice") as home,
    ):
        machine.connect(
            alice,
            split_exclude=variant("as", ["beside.example"]),
            dns=variant("as", [INNER_SERVER_IPV4]),
            ipv6=variant("b", False),
        )
        machine.wait_traffic()
        eventually(lambda: _device_towards(machine, BESIDE) == "wlan0", UP_PATIENCE, "route")
        assert any(b"\x06beside\x07example" in question for question in asked)
        assert _device_towards(machine, INSIDE) == "mqvpn0"
        shown = machine.bus.run(mqvpn(home, "status"), user="alice").stdout
        assert "  beside it    beside.example" in shown
        alice.call("Disconnect")
    assert machine.is_untouched()
