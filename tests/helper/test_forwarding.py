"""What a server plan does to packets, seen from the TUN device and from the far end of a link."""

import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mqvpn_helper.host.operations import HostChanger
from mqvpn_helper.interface.host_plan import HostPlan
from tests.helper.namespaces import run
from tests.helper.packets import (
    TCP,
    UDP,
    Tap,
    addresses_of,
    protocol_of,
    syn_packet,
    transport_of,
    udp_packet,
)
from tests.helper.plans import server_plan

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("namespace")]

FAMILIES = [
    ("10.0.0.2", "198.51.100.1", "192.0.2.2"),
    ("fd00::2", "2001:db8:99::1", "2001:db8:2::2"),
]


VNET_HEADER_BYTES = 10
"""``virtio_net_hdr`` in front of every packet; all zero: a packet like any other."""


@dataclass
class Server:
    """A machine with a server plan in force."""

    changer: HostChanger
    tun_fd: int
    tap: Tap
    hardware_address: bytes

    def inject(self, packet: bytes) -> None:
        """Give a packet to the machine through the device."""
        os.write(self.tun_fd, bytes(VNET_HEADER_BYTES) + packet)

    def from_tun(self, protocol: int) -> list[bytes]:
        """Return the packets of a protocol that come out of the device within a moment."""
        found = []
        deadline = time.monotonic() + 0.15  # noqa: TID251 - how long silence is listened to
        while time.monotonic() < deadline:  # noqa: TID251 - how long silence is listened to
            try:
                packet = os.read(self.tun_fd, 65535)[VNET_HEADER_BYTES:]
            except BlockingIOError:
                time.sleep(0.01)
                continue
            if protocol_of(packet) == protocol:
                found.append(packet)
        return found


@pytest.fixture
def plan() -> HostPlan:
    return server_plan("mqvpn0")


@pytest.fixture
def server(tmp_path: Path, namespace: None, plan: HostPlan) -> Iterator[Server]:
    del namespace
    for gateway in ("192.0.2.1", "fe80::1"):
        run(f"ip neigh add {gateway} lladdr 02:00:00:00:00:01 dev eth0 nud permanent")
    changer = HostChanger(tmp_path / "state")
    tun = changer.open_tun("mqvpn0")
    changer.apply(plan)
    shown = run("ip -br link show eth0").split()[2]
    tap = Tap("eth0-far")
    yield Server(changer, tun.fd, tap, bytes.fromhex(shown.replace(":", "")))
    tap.close()
    os.close(tun.fd)


@pytest.mark.parametrize(("client", "target", "outside"), FAMILIES)
def test_clients_share_the_address_of_the_link(
    server: Server, client: str, target: str, outside: str
) -> None:
    server.inject(udp_packet(client, target, b"question", (5000, 53)))
    sent = server.tap.next_packet()
    assert addresses_of(sent) == (outside, target)
    assert transport_of(sent).endswith(b"question")
    (port,) = struct.unpack("!H", transport_of(sent)[:2])
    server.tap.send(udp_packet(target, outside, b"answer", (53, port)), server.hardware_address)
    (answer,) = server.from_tun(UDP)
    assert addresses_of(answer) == (target, client)
    assert transport_of(answer).endswith(b"answer")


@pytest.mark.parametrize(("client", "target", "outside"), FAMILIES)
def test_tcp_segments_are_clamped_to_the_tunnel(
    server: Server, client: str, target: str, outside: str
) -> None:
    server.inject(syn_packet(client, target, 8960))
    clamped = transport_of(server.tap.next_packet(TCP))
    kind, length, mss = struct.unpack("!BBH", clamped[20:24])
    headers = 40 if "." in client else 60
    assert (kind, length, mss) == (2, 4, 1400 - headers)
    server.inject(syn_packet(client, target, 536))
    assert struct.unpack("!H", transport_of(server.tap.next_packet(TCP))[22:24]) == (536,)
    assert outside != client


@pytest.mark.parametrize(
    ("plan", "arrives"),
    [
        (server_plan("mqvpn0"), False),
        (replace(server_plan("mqvpn0"), isolate_clients=False), True),
    ],
)
@pytest.mark.parametrize(("one", "other"), [("10.0.0.2", "10.0.0.3"), ("fd00::2", "fd00::3")])
def test_clients_meet_only_where_they_may(
    server: Server, one: str, other: str, arrives: bool
) -> None:
    server.inject(udp_packet(one, other, b"hello", (1, 2)))
    came_back = server.from_tun(UDP)
    assert [addresses_of(packet) for packet in came_back] == [(one, other)] * arrives


@pytest.mark.parametrize(
    "plan", [replace(server_plan("mqvpn0"), isolate_clients=False, nat_sources=())]
)
def test_clients_are_not_told_of_shorter_ways(server: Server) -> None:
    for _ in range(3):
        server.inject(udp_packet("10.0.0.2", "10.0.0.3", b"hello", (1, 2)))
    assert server.from_tun(1) == []


@pytest.mark.slow
@pytest.mark.parametrize(("client", "target", "outside"), FAMILIES)
def test_packets_for_clients_leave_by_no_other_link(
    server: Server, client: str, target: str, outside: str
) -> None:
    """The process died, its rules stay for the next one; the default route leads to a link."""
    server.inject(udp_packet(client, target, b"question", (5000, 53)))
    (port,) = struct.unpack("!H", transport_of(server.tap.next_packet())[:2])
    run("ip link set mqvpn0 down")
    run(f"ip route get {client}")
    answer = udp_packet(target, outside, b"answer", (53, port))
    server.tap.send(answer, server.hardware_address)
    with pytest.raises(TimeoutError):
        server.tap.next_packet(UDP)


@pytest.mark.slow
def test_what_belongs_to_no_connection_does_not_leave_with_an_inner_address(
    server: Server,
) -> None:
    """A TCP segment with impossible flags: connection tracking and NAT pass it by."""
    segment = bytearray(syn_packet("10.0.0.2", "198.51.100.1", 1000))
    flags = segment[33]
    segment[33] |= 0x01  # SYN and FIN together
    checksum = struct.unpack_from("!H", segment, 36)[0] - (segment[33] - flags)
    struct.pack_into("!H", segment, 36, checksum)
    server.inject(bytes(segment))
    with pytest.raises(TimeoutError):
        server.tap.next_packet(TCP)


@pytest.mark.slow
def test_nothing_is_forwarded_any_more_after_undo(server: Server) -> None:
    server.changer.undo()
    run("ip link set mqvpn0 up")
    server.inject(udp_packet("10.0.0.2", "198.51.100.1", b"late", (1, 2)))
    server.inject(udp_packet("fd00::2", "2001:db8:99::1", b"late", (1, 2)))
    with pytest.raises(TimeoutError):
        server.tap.next_packet()
