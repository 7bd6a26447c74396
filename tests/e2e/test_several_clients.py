"""Two clients at one server: each has its own address, and nobody hears or imitates the other."""

import socket
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mqvpn_core.demo.namespaces import NetworkNamespace
from mqvpn_core.demo.programs import Program
from mqvpn_core.demo.topology import WEB_IPV4
from tests.e2e.conftest import serve_web
from tests.e2e.topology import Lab, current_status, inner_ipv4, udp_socket, wait_connected

pytestmark = [pytest.mark.netns, pytest.mark.slow]

_NAMED_KEYS = {"alice": "a-key-of-alice-0123456789", "bob": "a-key-of-bob-0123456789"}
_SILENCE = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Couple:
    """Two machines with a tunnel each to the same server."""

    lab: Lab
    server: Program
    machines: tuple[NetworkNamespace, NetworkNamespace]
    clients: tuple[Program, Program]


@pytest.fixture(params=["apart", "together"])
def couple(lab: Lab, request: pytest.FixtureRequest) -> Couple:
    users = [part for name, key in _NAMED_KEYS.items() for part in ("--user", f"{name}:{key}")]
    together = ["--client-to-client"] if request.param == "together" else []
    server = lab.start_server(*users, *together)
    machines = (lab.world.client, lab.second_client())
    clients = []
    for machine, key in zip(machines, _NAMED_KEYS.values(), strict=True):
        file = lab.directory / f"{machine.label}.key"
        file.touch(mode=0o600)
        file.write_text(key, encoding="ascii")
        clients.append(
            lab.start_client(namespace=machine, credentials=replace(lab.credentials, auth_key=file))
        )
    for client in clients:
        wait_connected(client)
    return Couple(lab=lab, server=server, machines=machines, clients=(clients[0], clients[1]))


@pytest.mark.parametrize("couple", ["apart"], indirect=True)
def test_two_clients_at_once_without_cross_talk(couple: Couple) -> None:
    lab = couple.lab
    addresses = {inner_ipv4(client) for client in couple.clients}
    assert len(addresses) == 2
    status = current_status(couple.server)
    assert sorted(client.user for client in status.clients) == ["alice", "bob"]
    serve_web(lab)
    with closing(udp_socket(lab.world.web, WEB_IPV4)) as web:
        here, there = [
            udp_socket(machine, inner_ipv4(client))
            for machine, client in zip(couple.machines, couple.clients, strict=True)
        ]
        with here, there:
            for number in range(50):
                here.sendto(b"A%d" % number, web.getsockname())
                there.sendto(b"B%d" % number, web.getsockname())
            for _ in range(100):
                data, sender = web.recvfrom(100)
                web.sendto(data, sender)
            assert {here.recv(100)[:1] for _ in range(50)} == {b"A"}
            assert {there.recv(100)[:1] for _ in range(50)} == {b"B"}


@pytest.mark.parametrize("couple", ["apart"], indirect=True)
def test_clients_do_not_reach_each_other_unless_allowed(couple: Couple) -> None:
    target = inner_ipv4(couple.clients[1])
    finished = couple.lab.ping(couple.machines[0], target, count=1)
    assert finished.code != 0, finished.output


@pytest.mark.parametrize("couple", ["together"], indirect=True)
def test_clients_reach_each_other_when_allowed(couple: Couple) -> None:
    target = inner_ipv4(couple.clients[1])
    finished = couple.lab.ping(couple.machines[0], target)
    assert finished.code == 0, finished.output


@pytest.mark.parametrize("couple", ["together"], indirect=True)
def test_spoofed_source_does_not_leave_our_client(couple: Couple) -> None:
    assert _what_arrives(couple, couple.clients[0]) == [b"honest"]


@pytest.mark.parametrize("couple", ["together"], indirect=True)
def test_spoofed_source_is_dropped_by_the_server(couple: Couple) -> None:
    """The first machine runs a client that lets everything out."""
    couple.clients[0].stop()
    dishonest = couple.lab.start_client(
        launcher=[sys.executable, str(Path(__file__).with_name("dishonest_client.py"))],
        credentials=replace(couple.lab.credentials, auth_key=couple.lab.directory / "client.key"),
    )
    wait_connected(dishonest)
    assert _what_arrives(couple, dishonest) == [b"honest"]
    drops = {name: count for name, count in current_status(couple.server).counters.items() if count}
    assert any("spoofed" in name for name in drops), drops


def _what_arrives(couple: Couple, client: Program) -> list[bytes]:
    """Send under the other client's address and worse ones, then honestly; what the server got."""
    own, victim = inner_ipv4(client), inner_ipv4(couple.clients[1])
    with (
        closing(udp_socket(couple.lab.world.server, "10.0.0.1")) as target,
        closing(_raw_socket(couple.machines[0], current_status(client).tun_name)) as sender,
    ):
        target.settimeout(_SILENCE)
        port = target.getsockname()[1]
        for source in (victim, "172.20.0.99", "127.0.0.1", "224.0.0.1", "255.255.255.255"):
            sender.sendto(_udp_packet(source, "10.0.0.1", port, b"spoofed"), ("10.0.0.1", 0))
        sender.sendto(_udp_packet(own, "10.0.0.1", port, b"honest"), ("10.0.0.1", 0))
        received = [target.recv(100)]
        with pytest.raises(TimeoutError):
            received.append(target.recv(100))
    return received


def _raw_socket(machine: NetworkNamespace, device: str) -> socket.socket:
    def make() -> socket.socket:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        return raw

    return machine.call(make)


def _udp_packet(source: str, destination: str, port: int, data: bytes) -> bytes:
    """An IPv4 packet; the kernel fills in length, checksum and identification."""
    udp = b"".join(n.to_bytes(2, "big") for n in (40000, port, 8 + len(data), 0)) + data
    head = bytes([0x45, 0, 0, 0, 0, 0, 0, 0, 64, socket.IPPROTO_UDP, 0, 0])
    return head + socket.inet_aton(source) + socket.inet_aton(destination) + udp
