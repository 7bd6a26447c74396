"""Unmodified programs use the tunnel in every way they can. One tunnel for all of it."""

import hashlib
import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from mqvpn_core.demo.topology import SERVER_LAN_IPV4, WEB_IPV4, WEB_IPV6
from mqvpn_core.demo.web_host import payload
from tests.e2e.topology import (
    INNER_SERVER_IPV4,
    INNER_SERVER_IPV6,
    Lab,
    current_status,
    eventually,
    inner_ipv4,
    inner_ipv6,
    udp_socket,
)

pytestmark = [pytest.mark.netns, pytest.mark.slow]

PAYLOAD_BYTES = 50_000_000


@pytest.mark.parametrize("destination", [INNER_SERVER_IPV4, WEB_IPV4])
def test_ping4(connected: Lab, destination: str) -> None:
    finished = connected.ping(connected.world.client, destination)
    assert finished.code == 0, finished.output


@pytest.mark.parametrize("destination", [INNER_SERVER_IPV6, WEB_IPV6])
def test_ping6(connected: Lab, destination: str) -> None:
    finished = connected.ping(connected.world.client, destination)
    assert finished.code == 0, finished.output


@pytest.mark.parametrize("host", [WEB_IPV4, f"[{WEB_IPV6}]"])
def test_tcp_download_of_50_mb_arrives_whole(connected: Lab, host: str) -> None:
    target = connected.directory / "download"
    url = f"http://{host}/bytes/{PAYLOAD_BYTES}"
    fetch = ["curl", "--silent", "--show-error", "--fail", "--output", str(target), url]
    finished = connected.run(connected.world.client, fetch, 60)
    assert finished.code == 0, finished.output
    arrived = hashlib.sha256(target.read_bytes()).hexdigest()
    target.unlink()
    assert arrived == hashlib.sha256(payload(PAYLOAD_BYTES)).hexdigest()


@pytest.mark.parametrize("host", [WEB_IPV4, f"[{WEB_IPV6}]"])
def test_tcp_upload_of_50_mb_arrives_whole(connected: Lab, host: str) -> None:
    source = connected.directory / "upload"
    source.write_bytes(payload(PAYLOAD_BYTES))
    url = f"http://{host}/upload"
    send = ["curl", "--silent", "--show-error", "--fail", "--upload-file", str(source), url]
    finished = connected.run(connected.world.client, send, 60)
    source.unlink()
    assert finished.code == 0, finished.output
    assert finished.output.strip() == hashlib.sha256(payload(PAYLOAD_BYTES)).hexdigest()


@pytest.fixture
def udp_pair(connected: Lab) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A UDP socket at the client and one at the web host."""
    world = connected.world
    with (
        closing(udp_socket(world.client, inner_ipv4(connected.programs[1]))) as here,
        closing(udp_socket(world.web, WEB_IPV4)) as there,
    ):
        yield here, there


@pytest.mark.parametrize("size", [0, 1, 512, 1200, 4000, 60_000])
def test_udp_both_ways(udp_pair: tuple[socket.socket, socket.socket], size: int) -> None:
    here, there = udp_pair
    here.sendto(payload(size), there.getsockname())
    data, sender = there.recvfrom(65535)
    assert data == payload(size)
    there.sendto(data[::-1], sender)
    answer, answering = here.recvfrom(65535)
    assert answer == payload(size)[::-1]
    assert answering == there.getsockname()


def test_outside_hosts_see_the_address_of_the_server(
    udp_pair: tuple[socket.socket, socket.socket],
) -> None:
    here, there = udp_pair
    here.sendto(b"who am I", there.getsockname())
    _, sender = there.recvfrom(65535)
    assert sender[0] == SERVER_LAN_IPV4


def test_traceroute_shows_the_server_as_first_hop(connected: Lab) -> None:
    trace = ["traceroute", "-n", "-q", "1", "-w", "2", "-m", "5", WEB_IPV4]
    finished = connected.run(connected.world.client, trace)
    hops = re.findall(r"^\s*\d+\s+(\S+)", finished.output, re.MULTILINE)
    assert hops[0] == INNER_SERVER_IPV4, finished.output
    assert hops[-1] == WEB_IPV4, finished.output
    assert len(hops) == 2, finished.output


def test_traceroute6_shows_the_server_as_first_hop(connected: Lab) -> None:
    trace = ["traceroute", "-6", "-n", "-q", "1", "-w", "2", "-m", "5", WEB_IPV6]
    finished = connected.run(connected.world.client, trace)
    hops = re.findall(r"^\s*\d+\s+(\S+)", finished.output, re.MULTILINE)
    assert hops == [INNER_SERVER_IPV6, WEB_IPV6], finished.output


def settled_mtu(lab: Lab) -> int:
    """The MTU of the tunnel, once the server's device has followed it."""
    server, client = lab.programs[:2]
    eventually(
        lambda: current_status(server).mtu == current_status(client).mtu, 10, "common opinion"
    )
    return current_status(server).mtu


def test_full_packet_without_fragmentation_is_told_the_mtu(connected: Lab) -> None:
    """1500 bytes with DF from behind the server: packet too big, with the tunnel's MTU."""
    mtu = settled_mtu(connected)
    destination = inner_ipv4(connected.programs[1])
    finished = connected.ping(connected.world.web, destination, "-M", "do", "-s", "1472", count=1)
    assert finished.code != 0
    told = re.search(r"[Ff]rag needed.*mtu ?= ?(\d+)", finished.output)
    assert told is not None, finished.output
    assert int(told[1]) == mtu
    fitting = connected.ping(
        connected.world.web, destination, "-M", "do", "-s", str(mtu - 28), count=1
    )
    assert fitting.code == 0, fitting.output


def test_full_ipv6_packet_is_told_the_mtu(connected: Lab) -> None:
    mtu = settled_mtu(connected)
    assert mtu >= 1280  # RFC 9484 section 7.2, RFC 8200 section 5
    destination = inner_ipv6(connected.programs[1])
    finished = connected.ping(connected.world.web, destination, "-M", "do", "-s", "1452", count=1)
    told = re.search(r"[Pp]acket too big.*mtu ?= ?(\d+)", finished.output)
    assert told is not None, finished.output
    assert int(told[1]) == mtu


def test_own_full_packet_is_refused_at_the_client(connected: Lab) -> None:
    mtu = current_status(connected.programs[1]).mtu
    client = connected.world.client
    too_big = connected.ping(client, WEB_IPV4, "-M", "do", "-s", "1472", count=1)
    assert re.search(rf"mtu ?[=:] ?{mtu}\b", too_big.output), too_big.output
    fitting = connected.ping(client, WEB_IPV4, "-M", "do", "-s", str(mtu - 28), count=1)
    assert fitting.code == 0, fitting.output


def test_tcp_adapts_to_the_mtu_although_the_sender_offers_full_segments(connected: Lab) -> None:
    """From behind the server to a listener on the client: the sender's link carries 1500 bytes."""
    client, web = connected.world.client, connected.world.web
    address = inner_ipv4(connected.programs[1])
    serve = ["iperf3", "--server", "--one-off", "--bind", address]
    listener = client.start(serve, connected.directory / "iperf.log")
    send = ["iperf3", "--client", address, "--time", "2", "--connect-timeout", "2000", "--json"]
    finished = connected.run(web, send, 30)
    assert finished.code == 0, finished.output
    assert listener.wait(10) == 0
    assert json.loads(finished.output)["end"]["sum_received"]["bytes"] > 5_000_000


def test_bytes_are_counted_by_both_ends(connected: Lab) -> None:
    server, client = connected.programs[:2]
    before = sum(path.tx_bytes for path in current_status(client).paths)
    connected.ping(connected.world.client, WEB_IPV4, "-s", "1000", count=5)
    sent = sum(path.tx_bytes for path in current_status(client).paths) - before
    assert 5 * 1028 < sent < 5 * 1028 + 3000
    assert current_status(server).client_count == 1
    (seen,) = current_status(server).clients
    assert [each.partition("/")[0] for each in seen.addresses] == [
        inner_ipv4(client),
        inner_ipv6(client),
    ]
