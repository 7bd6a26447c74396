"""TUN devices against a real kernel, and what happens when the kernel says no."""

import os
import socket
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.errors import HostLostError
from mqvpn_core.runtime.tun_device import TunDevice
from mqvpn_helper.host.tun import open_tun
from tests.helper.namespaces import fresh_namespace, run
from tests.helper.packets import udp_packet


@pytest.fixture(params=[False, True], ids=["plain", "offloads"])
def tun(request: pytest.FixtureRequest) -> Iterator[TunDevice]:
    """A device ``mqvpn0`` that is up, 10.9.0.1/24, in a namespace of its own."""
    with fresh_namespace():
        device = TunDevice(open_tun("mqvpn0", vnet_header=request.param).fd)
        run("ip link set mqvpn0 addrgenmode none")
        run("ip link set mqvpn0 up")
        run("ip address add 10.9.0.1/24 dev mqvpn0")
        yield device
        device.close()


def packet_with(payload: bytes) -> bytes:
    return udp_packet("10.9.0.2", "10.9.0.1", payload, (5, 9000))


@pytest.mark.netns
def test_packets_of_the_machine_are_read(tun: TunDevice) -> None:
    assert tun.read_packets(8) == []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for n in range(5):
            sender.sendto(bytes([n]) * 100, ("10.9.0.2", 7))
    first = tun.read_packets(3)
    rest = tun.read_packets(64)
    assert [packet[28:] for packet in expand([*first, *rest])] == [
        bytes([n]) * 100 for n in range(5)
    ]
    assert len(expand(first)) == 3


@pytest.mark.netns
def test_written_packets_reach_the_machine(tun: TunDevice) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("10.9.0.1", 9000))
        receiver.settimeout(2)
        assert tun.write_packets([packet_with(b"one"), packet_with(b"two")]) == 0
        assert [receiver.recvfrom(99) for _ in range(2)] == [
            (b"one", ("10.9.0.2", 5)),
            (b"two", ("10.9.0.2", 5)),
        ]


@pytest.mark.netns
def test_bad_packets_are_dropped_and_counted_and_the_good_pass(tun: TunDevice) -> None:
    bad = [b"", b"\x00", b"\x55" + bytes(40), b"not an IP packet"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("10.9.0.1", 9000))
        receiver.settimeout(2)
        dropped = tun.write_packets([*bad, packet_with(b"good"), *bad])
        assert receiver.recv(99) == b"good"
    # The kernel takes an empty write for done.
    assert dropped == 6


@pytest.mark.netns
def test_packets_of_a_flow_arrive_one_by_one(tun: TunDevice) -> None:
    payloads = [bytes([n]) * (100 if n < 7 else 60) for n in range(8)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("10.9.0.1", 9000))
        receiver.settimeout(2)
        assert tun.write_packets([packet_with(payload) for payload in payloads]) == 0
        assert [receiver.recv(2000) for _ in payloads] == payloads


@pytest.mark.netns
def test_what_the_machine_leaves_to_the_device_is_split(tun: TunDevice) -> None:
    payload = bytes(range(250)) * 10
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(17, 103, 1000)  # UDP_SEGMENT
        sender.sendto(payload, ("10.9.0.2", 7))
    packets = expand(tun.read_packets(8))
    assert [len(packet) for packet in packets] == [1028, 1028, 528]
    assert b"".join(packet[28:] for packet in packets) == payload
    for packet in packets:
        behind = packet[20:]
        pseudo_header = packet[12:20] + bytes([0, 17]) + len(behind).to_bytes(2, "big")
        assert int.from_bytes(pseudo_header + behind, "big") % 0xFFFF == 0


@pytest.mark.netns
def test_device_that_is_down_drops(tun: TunDevice) -> None:
    run("ip link set mqvpn0 down")
    assert tun.write_packets([packet_with(b"x")] * 3) == 3
    assert tun.read_packets(8) == []


@pytest.mark.netns
def test_device_that_was_removed_says_so(tun: TunDevice) -> None:
    run("ip link delete mqvpn0")
    assert tun.write_packets([packet_with(b"x")]) == 1
    with pytest.raises(HostLostError, match="it has been removed"):
        tun.read_packets(8)
    with pytest.raises(HostLostError, match="it has been removed"):
        tun.read_packets(8)


@pytest.mark.netns
def test_removal_wakes_the_reader(tun: TunDevice) -> None:
    async def main() -> None:
        with trio.fail_after(2):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tun.wait_readable)
                await trio.testing.wait_all_tasks_blocked()
                run("ip link delete mqvpn0")

    trio.run(main)


@pytest.mark.netns
def test_waiting_for_a_packet(tun: TunDevice) -> None:
    async def main() -> None:
        with trio.fail_after(2):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tun.wait_readable)
                await trio.testing.wait_all_tasks_blocked()
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                    sender.sendto(b"wake up", ("10.9.0.2", 7))
        assert len(tun.read_packets(8)) == 1

    trio.run(main)


@pytest.mark.netns
def test_biggest_packets_are_read_whole(tun: TunDevice) -> None:
    run("ip link set mqvpn0 mtu 65535")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(bytes(65507), ("10.9.0.2", 7))
    assert [len(packet) for packet in tun.read_packets(8)] == [65535]


def test_closing_gives_the_descriptor_back_once() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with far:
        device = TunDevice(near.detach())
        far.send(b"\x45 packet")
        assert device.read_packets(8) == [b"\x45 packet"]
        device.close()
        reused = os.dup(far.fileno())
        device.close()
        os.close(reused)


def test_closing_wakes_who_waits() -> None:
    async def wait(device: TunDevice) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await device.wait_readable()

    async def main() -> None:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far, trio.fail_after(2):
            device = TunDevice(near.detach())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait, device)
                await trio.testing.wait_all_tasks_blocked()
                device.close()

    trio.run(main)


def test_full_queue_drops() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with far:
        device = TunDevice(near.detach())
        dropped = device.write_packets([bytes(60_000)] * 1000)
        device.close()
    assert 0 < dropped < 1000
