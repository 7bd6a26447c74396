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
from tests.bus.private_bus import PrivateBus, private_bus
from tests.command.test_with_polkit import home_of, mqvpn, piped
from tests.e2e.conftest import credentials, lab
from tests.e2e.topology import INNER_SERVER_IPV4, Lab

__all__ = ["credentials", "lab"]

pytestmark = [pytest.mark.netns, pytest.mark.slow]


@contextmanager
def bus_of_the_client(laboratory: Lab) -> Iterator[PrivateBus]:
    """A bus on the client's machine."""
    need_bus()
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="mq-bus-"))
        stack.callback(shutil.rmtree, directory)
        bus = stack.enter_context(private_bus(directory, namespace=laboratory.world.client))
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
        with capsys.disabled():
            sys.stdout.write(f"\n  mqvpn up, from its start to the tunnel: {took:.2f} s\n")
    assert lab.world.client.host_state() == before
