"""Drivers with a scripted bypass: whoever is called by them sees that it stands still."""

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from typing_extensions import override

from mqvpn_core.dataplane import kernel
from mqvpn_core.dataplane.bypass import Happened
from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.ids import ConnectionHandle, FourTuple, Instant, SocketAddress
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, Transmit
from mqvpn_core.runtime.tun_device import TunDevice
from mqvpn_core.runtime.udp_opening import UdpOptions
from mqvpn_core.runtime.udp_sockets import UdpSocket
from tests.runtime.fakes import FakeSession, FakeTransport
from tests.runtime.scripted_bypass import FakeBypassed, FakeLanes, ScriptedBypass, way_in, way_out
from tests.runtime.server_driver_scene import FakeEndpoint


class BypassedDevice(TunDevice):
    """One end of a socket pair, with a scripted bypass."""

    def __init__(self, near: socket.socket, bypass: ScriptedBypass) -> None:
        super().__init__(near.detach())
        self._scripted = bypass

    @override
    def open_bypass(self) -> kernel.Bypass:
        return self._scripted


class StillTransport(FakeTransport, FakeBypassed):
    """Is called while the bypass is held and at no other time."""

    def __init__(self, bypass: ScriptedBypass) -> None:
        FakeTransport.__init__(self)
        FakeBypassed.__init__(self)
        self.bypass = bypass
        self.calls: list[str] = []

    def _note(self, call: str) -> None:
        assert self.bypass.is_held, f"{call} while the bypass runs"
        self.calls.append(call)

    @override
    def receive_datagrams(self, batch: ReceivedDatagrams, now: Instant) -> None:
        self._note("receive")
        super().receive_datagrams(batch, now)

    @override
    def handle_timeout(self, now: Instant) -> None:
        self._note("timeout")
        super().handle_timeout(now)

    @override
    def transmits(self, now: Instant) -> list[Transmit]:
        self._note("transmits")
        return super().transmits(now)


class StillSession(FakeSession):
    """The same for a session."""

    def __init__(self, transport: StillTransport) -> None:
        super().__init__(transport)
        self.still = transport
        self.sent: list[bytes] = []

    @override
    def send_ip_packets(self, packets: Sequence[Parcel], now: Instant) -> None:
        assert self.still.bypass.is_held
        self.sent += [packet for packet in packets if isinstance(packet, bytes)]
        super().send_ip_packets(packets, now)


class StillEndpoint(FakeEndpoint):
    """One whose connections have lanes."""

    def __init__(self, bypass: ScriptedBypass) -> None:
        super().__init__()
        self.bypass = bypass
        self.touched: set[ConnectionHandle] = set()
        self.lanes: dict[ConnectionHandle, FakeLanes] = {}

    @property
    def connections(self) -> Mapping[ConnectionHandle, StillTransport]:
        return {
            handle: transport
            for handle, transport in self.transports.items()
            if isinstance(transport, StillTransport)
        }

    def take_touched(self) -> set[ConnectionHandle]:
        touched, self.touched = self.touched, set()
        return touched

    def add(self, handle: ConnectionHandle) -> StillTransport:
        made = self.transports[handle] = StillTransport(self.bypass)
        self.touched.add(handle)
        return made

    @override
    def poll(self, handle: ConnectionHandle) -> None:
        self.touched.add(handle)

    @override
    def wake(self, handle: ConnectionHandle) -> None:
        assert self.bypass.is_held
        self.touched.add(handle)
        super().wake(handle)

    @override
    def discard(self, handle: ConnectionHandle) -> None:
        self.touched.add(handle)
        super().discard(handle)

    @override
    def transmits(self, now: Instant) -> list[Transmit]:
        assert self.bypass.is_held
        return super().transmits(now)


class BypassScene:
    """A device, a socket with a peer, and a scripted bypass."""

    def __init__(self, stack: ExitStack) -> None:
        self.bypass = ScriptedBypass()
        self.bypass.news = os.eventfd(0, os.EFD_NONBLOCK)
        stack.callback(os.close, self.bypass.news)
        near, self.host = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.host.setblocking(False)
        stack.callback(self.host.close)
        self.device = BypassedDevice(near, self.bypass)
        stack.callback(self.device.close)
        self._stack = stack
        self.socket = self.open_socket()
        self.peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stack.callback(self.peer.close)
        self.peer.bind(("127.0.0.1", 0))
        self.peer.setblocking(False)
        self.peer_key = (b"\x7f\x00\x00\x01", self.peer.getsockname()[1], 0, b"")
        self.four_tuple: FourTuple = self.socket.received(self.peer_key, b"x", 1, 0).four_tuple

    def open_socket(self) -> UdpSocket:
        made = UdpSocket(SocketAddress("127.0.0.1", 0), UdpOptions())
        self._stack.callback(made.close)
        return made

    def arrive(self, data: bytes) -> None:
        """The peer sends a datagram."""
        self.peer.sendto(data, self.socket.local_address)

    def tell(self, happened: Happened) -> None:
        """The bypass wants a round."""
        self.bypass.happened = happened
        os.eventfd_write(self.bypass.news, 1)

    def open_lanes(self, lanes: FakeLanes) -> None:
        lanes.ways_in = [way_in(self.four_tuple)]
        lanes.ways_out = [way_out(self.four_tuple)]


@contextmanager
def bypass_scene() -> Iterator[BypassScene]:
    with ExitStack() as stack:
        yield BypassScene(stack)
