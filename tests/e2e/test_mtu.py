"""The MTU of the tunnel: found by both ends, and no packet that may be split is ever lost to it."""

import socket
from contextlib import closing

import pytest

from mqvpn_core.demo.topology import WEB_IPV4
from mqvpn_core.demo.web_host import payload
from tests.e2e.topology import Lab, current_status, eventually, inner_ipv4, udp_socket

pytestmark = [pytest.mark.netns, pytest.mark.slow]


@pytest.mark.parametrize("link_mtu", [1500, 1380])
def test_large_datagrams_arrive_from_the_first_on(lab: Lab, link_mtu: int) -> None:
    """4000 bytes in fragments, sent before both ends have found out what the links carry."""
    world = lab.world
    for namespace, interfaces in ((world.client, ("wlan0", "lte0")), (world.router, ("w0", "l0"))):
        for interface in interfaces:
            namespace.set_mtu(interface, link_mtu)
    server = lab.start_server()
    client = lab.connect()
    with (
        closing(udp_socket(world.client, inner_ipv4(client))) as here,
        closing(udp_socket(world.web, WEB_IPV4)) as there,
    ):
        for number in range(20):
            _there_and_back(here, there, payload(4000 + number))
    eventually(
        lambda: current_status(server).mtu == current_status(client).mtu, 10, "common opinion"
    )
    # What QUIC, UDP and IPv4 leave of the link's MTU.
    assert link_mtu - 80 < current_status(client).mtu < link_mtu - 40


def _there_and_back(here: socket.socket, there: socket.socket, data: bytes) -> None:
    here.sendto(data, there.getsockname())
    arrived, sender = there.recvfrom(65535)
    assert arrived == data
    there.sendto(data[::-1], sender)
    assert here.recv(65535) == data[::-1]
