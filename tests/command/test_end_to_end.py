"""From an operator's invitation to packets in the tunnel, all of it by commands of ordinary users.

The operator invites alice on the server. alice, who sits at her machine and has no privilege,
imports the link and says ``mqvpn up``: bus, polkit, helper, a core without power, two links.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from mqvpn_core.demo.programs import executable
from mqvpn_core.demo.topology import SERVER_IPV4
from mqvpn_gui.command.exit_codes import ExitCode
from tests.bus.conftest import need_bus
from tests.bus.system_bus import SystemBus, system_bus
from tests.command.test_with_polkit import home_of, mqvpn, piped
from tests.e2e.conftest import credentials, lab
from tests.e2e.topology import INNER_SERVER_IPV4, UP_PATIENCE, Lab, eventually

__all__ = ["credentials", "lab"]

pytestmark = [pytest.mark.netns, pytest.mark.slow]


@contextmanager
def bus_of_the_client(laboratory: Lab) -> Iterator[SystemBus]:
    """A bus on the client's machine."""
    need_bus()
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="mq-bus-"))
        stack.callback(shutil.rmtree, directory)
        bus = stack.enter_context(system_bus(directory, namespace=laboratory.world.client))
        stack.callback(lambda: sys.stdout.write(bus.log()))  # shown when the test fails
        yield bus


def invite(laboratory: Lab, users_file: Path, control_socket: Path) -> str:
    """Let the operator invite alice; return the link."""
    finished = laboratory.run(
        laboratory.world.server,
        [
            *(executable(), "user", "add", "alice", "--json", "--title", "Office"),
            *("--users-file", str(users_file), "--cert", str(laboratory.credentials.certificate)),
            *("--control-socket", str(control_socket), "--server", SERVER_IPV4),
        ],
    )
    assert finished.code == 0, finished.output
    return str(json.loads(finished.output)["link"])


def test_from_an_invitation_to_a_multipath_tunnel(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    users_file = lab.directory / "users"
    server = lab.start_server("--users-file", str(users_file))
    link = invite(lab, users_file, server.control_socket)
    before = lab.world.client.host_state()
    with bus_of_the_client(lab) as bus, home_of("alice") as home:
        bare, _, key = link.partition("#")
        imported = bus.run(piped(bare, mqvpn(home, "profile", "import")), user="alice")
        assert imported.returncode == ExitCode.OK, imported.stderr
        began = time.perf_counter()
        up = bus.run(piped(key, mqvpn(home, "up", "--key-stdin")), user="alice")
        took = time.perf_counter() - began
        assert up.returncode == ExitCode.OK, up.stderr
        assert up.stdout.startswith(f"connected to {SERVER_IPV4}:443 as 10.0.0.")
        assert lab.ping(lab.world.client, INNER_SERVER_IPV4).code == 0
        status = json.loads(bus.run(mqvpn(home, "status", "--json"), user="alice").stdout)
        assert {path["interface"] for path in status["paths"]} == {"wlan0", "lte0"}
        down = bus.run(mqvpn(home, "down"), user="alice")
        assert (down.returncode, down.stdout) == (ExitCode.OK, "disconnected\n"), down.stderr
        assert lab.world.client.host_state() == before
        again = bus.run(piped(key, mqvpn(home, "up", "--key-stdin")), user="alice")
        assert again.returncode == ExitCode.OK, again.stderr
        _watch_a_failover(lab, bus, home)
        with capsys.disabled():
            sys.stdout.write(f"\n  mqvpn up, from its start to the tunnel: {took:.2f} s\n")


def _watch_a_failover(lab: Lab, bus: SystemBus, home: Path) -> None:
    """Change a role, cut the link that carries the traffic, and read about both."""

    def happened() -> list[dict[str, object]]:
        finished = bus.run(mqvpn(home, "events", "--json"), user="alice")
        assert finished.returncode == ExitCode.OK, finished.stderr
        return [json.loads(line) for line in finished.stdout.splitlines()]

    def first(kind: str) -> dict[str, object] | None:
        return next((each for each in happened() if each["kind"] == kind), None)

    changed = bus.run(mqvpn(home, "path", "set", "lte0", "--role", "backup"), user="alice")
    assert changed.returncode == ExitCode.OK, changed.stderr
    eventually(lambda: first("role-changed") is not None, UP_PATIENCE, "change of role")
    assert lab.ping(lab.world.client, INNER_SERVER_IPV4).code == 0
    lab.world.client.set_link("wlan0", up=False)
    eventually(
        lambda: lab.ping(lab.world.client, INNER_SERVER_IPV4, count=1).code == 0,
        UP_PATIENCE,
        "answer over the other link",
    )
    eventually(lambda: first("failover") is not None, UP_PATIENCE, "failover")
    failover = first("failover")
    assert failover is not None
    assert failover["path"] == "wlan0"
    detail = failover["detail"]
    assert isinstance(detail, dict)
    assert detail["to_interface"] == "lte0"
    assert detail["gap_ms"] > 0
    lines = bus.run(mqvpn(home, "events"), user="alice").stdout
    assert "wlan0 lost, continuing on lte0, gap " in lines
