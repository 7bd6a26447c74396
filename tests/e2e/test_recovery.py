"""Outages: the tunnel comes back by itself; what runs inside it only waits."""

import signal
import socket
import threading
import time
from contextlib import closing, suppress

import pytest

from mqvpn_core.demo.topology import WEB_IPV4
from tests.e2e.topology import (
    Lab,
    current_status,
    eventually,
    inner_ipv4,
    inner_ipv6,
    packet_socket,
    tcp_connection,
    tcp_listener,
    udp_socket,
    wait_connected,
)

pytestmark = [pytest.mark.netns, pytest.mark.slow]

BACK_WITHIN = 2.0
"""Seconds a client may take to be back after the server is."""


@pytest.mark.parametrize(
    "how", [signal.SIGTERM, signal.SIGKILL], ids=["server stops", "server is killed"]
)
def test_server_restart_keeps_address_and_tcp_connection(lab: Lab, how: signal.Signals) -> None:
    server = lab.start_server()
    client = lab.connect()
    address = inner_ipv4(client)
    with closing(tcp_listener(lab.world.web, WEB_IPV4, 7000)) as listener:
        sender = tcp_connection(lab.world.client, WEB_IPV4, 7000)
        receiver, _ = listener.accept()
        with sender, receiver:
            receiver.settimeout(30)
            sender.sendall(b"before ")
            assert _receive(receiver, 7) == b"before "
            routes = lab.world.client.host_state()
            server.stop(how)
            sender.sendall(b"meanwhile ")
            time.sleep(3)
            assert lab.world.client.host_state() == routes
            lab.start_server()
            back = eventually(
                lambda: lab.ping(lab.world.client, "10.0.0.1", "-W", "1", count=1).code == 0,
                BACK_WITHIN,
                "answer through the tunnel after the server's return",
            )
            assert back < BACK_WITHIN
            assert inner_ipv4(client) == address
            sender.sendall(b"after")
            assert _receive(receiver, 15) == b"meanwhile after"
            receiver.sendall(b"and back")
            assert _receive(sender, 8) == b"and back"


@pytest.mark.parametrize("seconds", [3, 14])
def test_outage_of_the_network_is_survived(lab: Lab, seconds: int) -> None:
    """Shorter and longer than the idle timeout: the router drops everything it should forward."""
    lab.start_server("--idle-timeout", "8")
    client = lab.connect("--idle-timeout", "8", "--keep-alive", "3")
    routes = lab.world.client.host_state()
    cut = "table inet cut { chain every { type filter hook forward priority 0; policy drop; }; }"
    assert lab.run(lab.world.router, ["nft", cut]).code == 0
    time.sleep(seconds)
    assert lab.ping(lab.world.client, "10.0.0.1", count=1).code != 0
    assert lab.world.client.host_state() == routes
    assert lab.run(lab.world.router, ["nft", "delete table inet cut"]).code == 0
    eventually(
        lambda: lab.ping(lab.world.client, "10.0.0.1", count=1).code == 0, 15, "working tunnel"
    )
    assert client.process.poll() is None


def test_new_address_of_the_nat_is_followed(lab: Lab) -> None:
    """The router starts to hide the client behind other ports: the same tunnel goes on."""
    server = lab.start_server()
    lab.connect("--path", "wlan0")
    since = current_status(server).clients[0].seconds_connected
    remote = current_status(server).clients[0].remote
    ruleset = (
        "table ip rebind { chain post { type nat hook postrouting priority 100;"
        " oifname r0 ip protocol udp masquerade to :20000-30000; }; }"
    )
    rules = lab.run(lab.world.router, ["nft", ruleset])
    assert rules.code == 0, rules.output
    eventually(
        lambda: lab.ping(lab.world.client, "10.0.0.1", count=1).code == 0, 10, "working tunnel"
    )
    eventually(
        lambda: current_status(server).clients[0].remote != remote, 10, "new address at the server"
    )
    assert current_status(server).client_count == 1
    assert current_status(server).clients[0].seconds_connected > since


def test_killed_client_comes_back_as_it_was(lab: Lab) -> None:
    """kill -9, then a new start: the same addresses, no route, rule or table twice.

    The server still waits for the dead client; it knows the new one as the same.
    """
    untouched = lab.world.client.host_state()
    server = lab.start_server()
    first = lab.connect()
    connected = lab.world.client.host_state()
    addresses = inner_ipv4(first), inner_ipv6(first)
    first.stop(signal.SIGKILL)
    second = lab.connect()
    assert (inner_ipv4(second), inner_ipv6(second)) == addresses
    assert lab.world.client.host_state() == connected
    assert lab.ping(lab.world.client, "10.0.0.1").code == 0
    server.wait_for(lambda status: status.client_count == 1, 5, "end of the dead client's tunnel")
    assert second.stop(signal.SIGTERM) == 0
    assert lab.world.client.host_state() == untouched


def test_killed_server_leaves_nothing_twice(lab: Lab) -> None:
    untouched = lab.world.server.host_state()
    first = lab.start_server()
    serving = lab.world.server.host_state()
    first.stop(signal.SIGKILL)
    second = lab.start_server()
    assert lab.world.server.host_state() == serving
    assert second.stop(signal.SIGTERM) == 0
    assert lab.world.server.host_state() == untouched


@pytest.mark.parametrize(
    ("how", "options"),
    [(signal.SIGKILL, ()), (signal.SIGUSR2, ()), (signal.SIGTERM, ("--no-nat",))],
    ids=["killed", "to be followed", "stopped, without NAT"],
)
def test_download_goes_on_through_an_outage(
    lab: Lab, how: signal.Signals, options: tuple[str, ...]
) -> None:
    """A TCP transfer in full swing while the server is restarted.

    A server that is stopped takes its NAT rules with it; its kernel then answers the far end's
    segments by a reset, as for any port nobody uses. SIGUSR2 leaves them for the next server.
    """
    untouched = lab.world.server.host_state()
    server = lab.start_server(*options)
    client = lab.connect()
    total = 8_000_000
    with closing(tcp_listener(lab.world.web, WEB_IPV4, 7001)) as listener:
        receiver = tcp_connection(lab.world.client, WEB_IPV4, 7001)
        sender, _ = listener.accept()
        sender.settimeout(60)
        feeder = threading.Thread(target=_feed, args=(sender, total), daemon=True)
        feeder.start()
        with sender, receiver:
            receiver.settimeout(60)
            first = _receive(receiver, total // 4)
            server.stop(how)
            successor = lab.start_server(*options)
            wait_connected(client)
            rest = _receive(receiver, total - len(first))
            feeder.join()
    assert first + rest == b"\0\1\2\3" * (total // 4)
    assert successor.stop() == 0
    assert lab.world.server.host_state() == untouched


def test_packets_for_clients_do_not_leave_unencrypted_while_the_server_is_away(lab: Lab) -> None:
    """What a far host still sends to a client must not go out by the default route."""
    server = lab.start_server()
    client = lab.connect()
    with (
        closing(udp_socket(lab.world.client, inner_ipv4(client))) as here,
        closing(udp_socket(lab.world.web, WEB_IPV4)) as there,
        closing(packet_socket(lab.world.router, "r0")) as wire,
    ):
        here.sendto(b"question", there.getsockname())
        _, seen = there.recvfrom(100)
        server.stop(signal.SIGKILL)
        for _ in range(5):
            there.sendto(b"a secret answer", seen)
        time.sleep(0.5)
        passed = _drain(wire)
    assert passed  # the client's attempts to reach the server
    assert not [packet for packet in passed if b"a secret answer" in packet]


def _drain(wire: socket.socket) -> list[bytes]:
    wire.setblocking(False)
    packets = []
    with suppress(BlockingIOError):
        while True:
            packets.append(wire.recv(65535))
    return packets


def _feed(sender: socket.socket, total: int) -> None:
    sender.sendall(b"\0\1\2\3" * (total // 4))


def _receive(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        more = connection.recv(count - len(data))
        assert more, f"the connection ended after {len(data)} bytes"
        data += more
    return bytes(data)
