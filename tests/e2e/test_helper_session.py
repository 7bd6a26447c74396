"""A tunnel under the helper: a core without any privilege, and what happens when somebody dies."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mqvpn_core.demo.namespaces import NetworkNamespace
from mqvpn_core.demo.topology import SERVER_IPV4, WEB_IPV4
from tests.e2e.helper_lab import HelperSession
from tests.e2e.topology import INNER_SERVER_IPV4, Lab, eventually, packet_socket, udp_socket
from tests.helper.session_runner import CORE_UID
from tests.resolver.link_name_server import name_server

pytestmark = [pytest.mark.netns, pytest.mark.slow]

_ZERO = "0" * 16
ROUTER_IPV4 = "192.0.2.1"
CLIENT_IPV4 = "192.0.2.2"


@pytest.fixture
def session(lab: Lab) -> Iterator[HelperSession]:
    """A session that is on its way up."""
    lab.start_server()
    session = HelperSession(lab)
    yield session
    session.stop()


def _status(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def test_the_core_has_no_privilege_and_two_paths(lab: Lab, session: HelperSession) -> None:
    session.wait_state("up")
    status = _status(session.core_pids[-1])
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert status[name] == [_ZERO], name
    assert status["NoNewPrivs"] == ["1"]
    assert status["Uid"] == status["Gid"] == [str(CORE_UID)] * 4
    assert status["Groups"] == []
    assert status["Seccomp"] == ["2"]
    reply = lab.ping(lab.world.client, WEB_IPV4)
    assert reply.code == 0, reply.output
    session.tell("stats 0.2")
    eventually(lambda: _interfaces(session) == {"wlan0", "lte0"}, 10.0, "two paths")
    session.tell("revalidate")
    assert lab.ping(lab.world.client, WEB_IPV4, count=1).code == 0
    assert session.state == "up"
    session.tell("role lte0 never")
    eventually(lambda: _interfaces(session) == {"wlan0"}, 10.0, "one path")


def _interfaces(session: HelperSession) -> set[str]:
    reports = session.events("PathStats")
    paths = reports[-1]["paths"] if reports else []
    assert isinstance(paths, list)
    return {path["interface"] for path in paths if path["state"] == "active"}


def test_a_dead_core_is_replaced_and_the_device_stays(lab: Lab, session: HelperSession) -> None:
    session.wait_state("up")
    client = lab.world.client
    before = client.call(_tun_index)
    first = session.core_pids[-1]
    os.kill(first, signal.SIGKILL)
    session.wait_event("Launched", 2)
    assert client.call(_tun_index) == before
    eventually(lambda: session.state == "up", 20.0, "second tunnel")
    assert client.call(_tun_index) == before
    assert lab.ping(client, INNER_SERVER_IPV4).code == 0
    kinds = [event["kind"] for event in session.events("EventReported")]
    assert "core-died" in kinds


def _tun_index() -> int:
    return socket.if_nametoindex("mqvpn0")


def test_disconnecting_leaves_nothing_behind(lab: Lab) -> None:
    lab.start_server()
    before = lab.world.client.host_state()
    session = HelperSession(lab, kill_switch="standard")
    try:
        session.wait_state("up")
        assert lab.world.client.host_state() != before
        core = session.core_pids[-1]
        session.tell("disconnect")
        session.wait_event("Ended")
        session.process.wait(10)
        assert lab.world.client.host_state() == before
        assert not Path(f"/proc/{core}").exists()
        usage = json.loads((session.state_directory / "usage-mqvpn0.json").read_text())
        assert usage["bytes"]["wlan0"] > 1000
    finally:
        session.stop()


def test_a_killed_helper_takes_its_core_along_and_the_next_one_tidies_up(lab: Lab) -> None:
    lab.start_server()
    before = lab.world.client.host_state()
    first = HelperSession(lab)
    try:
        first.wait_state("up")
        core = first.core_pids[-1]
        first.process.kill()
        first.process.wait()
        eventually(lambda: not Path(f"/proc/{core}").exists(), 10.0, "end of the core")
        assert "mqvpn0" not in lab.world.client.links()
    finally:
        first.stop()
    second = HelperSession(lab)
    try:
        second.wait_state("up")
        assert lab.ping(lab.world.client, WEB_IPV4).code == 0
        second.tell("disconnect")
        second.wait_event("Ended")
        assert lab.world.client.host_state() == before
    finally:
        second.stop()


def test_a_kill_switch_holds_from_the_first_question_and_through_a_death(lab: Lab) -> None:
    """The server's name is asked for by the core alone; everybody else is shut out all the time."""
    lab.start_server()
    client = lab.world.client
    resolver_file = lab.directory / "resolv.conf"
    resolver_file.write_text(f"nameserver {ROUTER_IPV4}\n")
    with (
        packet_socket(lab.world.router, "w0") as outside,
        udp_socket(client, "0.0.0.0") as stranger,  # noqa: S104 - in a namespace of its own
        name_server(lab.world.router, ROUTER_IPV4, SERVER_IPV4) as asked,
    ):
        session = HelperSession(
            lab, resolver_file=resolver_file, server="vpn.example.test", kill_switch="standard"
        )
        try:
            session.wait_state("up")
            assert asked
            reached = len(asked)
            for destination in ((ROUTER_IPV4, 53), (ROUTER_IPV4, 9), (SERVER_IPV4, 9)):
                _try_to_leave(client, stranger, destination)
            os.kill(session.core_pids[-1], signal.SIGKILL)
            session.wait_event("Launched", 2)
            for destination in ((ROUTER_IPV4, 53), (ROUTER_IPV4, 9), (SERVER_IPV4, 9)):
                _try_to_leave(client, stranger, destination)
            eventually(lambda: session.state == "up", 20.0, "second tunnel")
            assert len(asked) == reached
            assert _ports_seen(outside) <= {53, 443}
        finally:
            session.stop()


def _try_to_leave(
    client: NetworkNamespace, stranger: socket.socket, destination: tuple[str, int]
) -> None:
    """Send past the routing table, as a program that binds to a link does."""

    def send() -> None:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"wlan0")
        with suppress(OSError):
            stranger.sendto(b"leak", destination)

    client.call(send)


def _ports_seen(outside: socket.socket) -> set[int]:
    """Destination ports of the UDP packets from the client that came over a link."""
    outside.setblocking(False)
    ports = set()
    with suppress(BlockingIOError):
        while True:
            packet = outside.recv(2048)
            is_udp = packet[0] >> 4 == 4 and packet[9] == 17
            if is_udp and packet[12:16] == socket.inet_aton(CLIENT_IPV4):
                header = packet[(packet[0] & 15) * 4 :]
                ports.add(int.from_bytes(header[2:4]))
    return ports


def test_a_refused_secret_is_asked_for_again(lab: Lab) -> None:
    lab.start_server()
    wrong = lab.directory / "wrong.key"
    wrong.write_text("not-the-key-of-this-server")
    session = HelperSession(lab, secret=wrong)
    try:
        session.wait_event("SecretsNeeded")
        session.tell(f"secret {lab.credentials.auth_key}")
        session.wait_state("up")
    finally:
        session.stop()
