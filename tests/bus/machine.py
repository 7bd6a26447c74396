"""A machine of users on a system bus of its own, with two links and a server in the world."""

import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from mqvpn_core.demo.programs import PORT, make_credentials
from mqvpn_core.demo.topology import SERVER_IPV4
from tests.bus.conftest import need_bus
from tests.bus.system_bus import BusUser, SystemBus, secret, system_bus, variant
from tests.e2e.topology import INNER_SERVER_IPV4, Lab, eventually, tcp_listener

ECHO_PORT = 7007
UP_PATIENCE = 20.0
OUTER_NAME_SERVER = "192.0.2.1"
_STATE = (
    "ip rule",
    "ip -6 rule",
    "ip route show table all",
    "ip -6 route show table all",
    "ip address",
    "nft list ruleset",
    "ls -l /etc/resolv.conf* /etc/mqvpn/*",
    "cat /etc/resolv.conf",
    "find /run/mqvpn /etc/mqvpn -type f -not -name lock -not -name owner",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A user's machine with a helper, and a server in the world."""

    lab: Lab
    bus: SystemBus
    untouched: tuple[str, ...]

    def connect(self, user: BusUser, **members: object) -> None:
        """Ask for the tunnel."""
        profile = {
            "server": variant("s", f"{SERVER_IPV4}:{PORT}"),
            "pins": variant("as", [self.lab.credentials.pin]),
            "paths": variant("as", ["wlan0", "lte0"]),
            **members,
        }
        user.call("Connect", profile, secret(self.key()))

    def key(self) -> str:
        """The key that the server accepts."""
        return self.lab.credentials.auth_key.read_text(encoding="ascii").strip()

    def remembered(self) -> list[str]:
        """Files from which a helper would bring a tunnel up again."""
        names = ("-name", "*.wish", "-o", "-name", "*.secret", "-o", "-name", "*.draft")
        return self.bus.run(["find", "/run/mqvpn", *names]).stdout.split()

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

    def state(self) -> dict[str, str]:
        """All that a tunnel changes, as the machine's own commands show it."""
        return {each: self.bus.run(["sh", "-c", f"{each} 2>&1"]).stdout for each in _STATE}

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
            bus = held.enter_context(system_bus(logs, namespace=lab.world.client))
            text = f"nameserver {OUTER_NAME_SERVER}\\n"
            bus.run(["sh", "-c", f"rm -f /etc/resolv.conf; printf '{text}' >/etc/resolv.conf"])
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
