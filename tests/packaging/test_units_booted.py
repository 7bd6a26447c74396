"""The units under a systemd that has booted: readiness, signs of life, journal, and nothing left.

Takes minutes, so it wants ``CI_LONG=1``.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from mqvpn_core.demo.namespaces import NetworkNamespace, namespaces
from tests.documents.blocks import blocks
from tests.documents.booted import Booted, booted
from tests.documents.conftest import directory
from tests.packaging.debians import TAKES_MINUTES, debian_with_packages

__all__ = ["directory"]

pytestmark = [pytest.mark.netns, *TAKES_MINUTES]

SERVER = "mqvpn-server"
AWAY = "mqvpn-client@away"
# An address of documentation, which leads nowhere.
CLIENT = """\
mode = "client"
server = "192.0.2.1:443"
auth_key_file = "away.key"
insecure = true
tun_name = "mqvpn1"
kill_switch = "standard"
"""
DRAW_KEY = "mqvpn-core genkey >/etc/mqvpn/away.key; chmod 600 /etc/mqvpn/away.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A machine with the package of the core and a server, made by the documents' commands."""

    machine: Booted
    network: NetworkNamespace
    files: frozenset[str]
    """What it had before."""
    state: tuple[str, ...]
    """Its network before."""

    def shown(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.machine.run(f"systemctl show --value --property={name} {unit}").strip()

    def journal(self, *matches: str) -> list[dict[str, str]]:
        """What the journal has with these fields."""
        command = f"journalctl --boot --output=json {' '.join(matches)}"
        return [json.loads(line) for line in self.machine.run(command).splitlines()]


@pytest.fixture(scope="module")
def scene(directory: Path) -> Iterator[Scene]:
    """One machine for all of this module."""
    debian = debian_with_packages(directory)
    with ExitStack() as held:
        (network,) = held.enter_context(namespaces("units"))
        machine = held.enter_context(booted(debian, network, directory / "boot.log"))
        made = Scene(
            machine=machine,
            network=network,
            files=frozenset(machine.files()),
            state=network.host_state(),
        )
        machine.run(blocks()["server-packages"].text)
        yield made


def test_a_server_is_started_when_it_listens(scene: Scene) -> None:
    # Nothing has waited since "enable --now" came back.
    assert scene.shown(SERVER, "ActiveState") == "active"
    assert scene.shown(SERVER, "UnitFileState") == "enabled"
    assert scene.shown(SERVER, "StatusText").startswith("listening on ")
    assert scene.shown(SERVER, "WatchdogUSec") == "1min"
    records = scene.journal("MQVPN_ROLE=server", "MQVPN_ROOM=app")
    (listening,) = (each for each in records if each["MESSAGE"].startswith("listening on"))
    assert listening["PRIORITY"] == "6"
    assert listening["CODE_FUNC"]
    assert listening["_SYSTEMD_UNIT"] == f"{SERVER}.service"


def test_a_server_reloads_and_restarts(scene: Scene) -> None:
    first = scene.shown(SERVER, "MainPID")
    scene.machine.run(f"{blocks()['server-user'].text}systemctl reload {SERVER}")
    assert scene.shown(SERVER, "MainPID") == first
    scene.machine.run(f"systemctl restart {SERVER}")
    assert scene.shown(SERVER, "MainPID") not in {"0", first}
    assert scene.shown(SERVER, "StatusText").startswith("listening on ")


def test_a_server_that_stands_still_is_replaced(scene: Scene) -> None:
    machine = scene.machine
    place = f"/run/systemd/system/{SERVER}.service.d"
    machine.run(f"mkdir -p {place}; cat >{place}/short.conf", given="[Service]\nWatchdogSec=3\n")
    machine.run(f"systemctl daemon-reload; systemctl restart {SERVER}")
    first = scene.shown(SERVER, "MainPID")
    machine.run("sleep 7")
    assert scene.shown(SERVER, "MainPID") == first  # whoever shows life is left alone
    machine.run(f"kill -STOP {first}")
    machine.wait(lambda: scene.shown(SERVER, "MainPID") not in {"0", first}, "another server")
    machine.wait(lambda: scene.shown(SERVER, "ActiveState") == "active", "ready server")
    assert scene.shown(SERVER, "NRestarts") == "1"
    machine.run(f"rm -r {place}; systemctl daemon-reload; systemctl restart {SERVER}")


def test_a_client_whose_server_is_away_holds_nothing_up(scene: Scene) -> None:
    machine = scene.machine
    machine.run("cat >/etc/mqvpn/away.toml; chmod 600 /etc/mqvpn/away.toml", given=CLIENT)
    machine.run(DRAW_KEY)
    machine.run(f"systemctl start {AWAY}")
    assert scene.shown(AWAY, "StatusText").startswith("connecting to 192.0.2.1")
    assert "mqvpn_mqvpn1" in machine.run("nft list tables")  # it guards the machine already
    assert scene.journal("MQVPN_PROFILE=away", "MQVPN_ROLE=client")
    machine.run(f"systemctl stop {AWAY}")
    said = [each["MESSAGE"] for each in scene.journal(f"--unit={AWAY}")]
    assert scene.shown(AWAY, "Result") == "success", "\n".join(said)
    assert "mqvpn_mqvpn1" not in machine.run("nft list tables")


def test_the_helper_lives_by_its_name_on_the_bus(scene: Scene) -> None:
    scene.machine.run(
        "busctl call org.mqvpn.Helper1 /org/mqvpn/Helper1 org.freedesktop.DBus.Peer Ping"
    )
    assert scene.shown("mqvpn-helper", "ActiveState") == "active"
    assert scene.shown("mqvpn-helper", "WatchdogUSec") == "1min"
    before = scene.shown("mqvpn-helper", "WatchdogTimestampMonotonic")
    scene.machine.run("sleep 22")
    assert scene.shown("mqvpn-helper", "WatchdogTimestampMonotonic") != before


def test_the_kill_switch_is_in_force_before_the_network(scene: Scene) -> None:
    machine = scene.machine
    machine.run("cat >/etc/mqvpn/kill-switch-test.nft", given="table inet mqvpn_test {}\n")
    machine.run("systemctl start mqvpn-killswitch")
    assert "mqvpn_test" in machine.run("nft list tables")
    assert scene.shown("mqvpn-killswitch", "ActiveState") == "active"
    assert scene.shown("mqvpn-killswitch", "UnitFileState") == "enabled"
    before = scene.shown("mqvpn-killswitch", "Before").split()
    assert {"network-pre.target", "shutdown.target"} <= set(before)
    machine.run("nft delete table inet mqvpn_test; rm /etc/mqvpn/kill-switch-test.nft")


def test_purging_while_all_of_it_runs_leaves_nothing(scene: Scene) -> None:
    machine = scene.machine
    machine.run("cat >/etc/mqvpn/away.toml; chmod 600 /etc/mqvpn/away.toml", given=CLIENT)
    machine.run(f"{DRAW_KEY}; systemctl enable --now {AWAY}; systemctl start {SERVER}")
    machine.run("busctl call org.mqvpn.Helper1 /org/mqvpn/Helper1 org.freedesktop.DBus.Peer Ping")
    assert scene.network.host_state() != scene.state
    machine.run(blocks()["packages-remove"].text)
    assert machine.files() - scene.files == set()
    assert scene.network.host_state() == scene.state
    assert "mqvpn" not in machine.run("systemctl list-units --all --plain 'mqvpn*' --no-legend")
    assert "mqvpn" not in machine.run("cat /etc/passwd /etc/group")
