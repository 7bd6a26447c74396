"""A desk with a scripted bypass, and a connection with lanes over real sockets."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import trio

from mqvpn_core.dataplane.bypass import Happened
from mqvpn_core.ids import ConnectionHandle, FourTuple, Instant, PathId, SocketAddress
from mqvpn_core.runtime.bypass_desk import BypassDesk, Returned, Subject
from mqvpn_core.runtime.udp_opening import UdpOptions
from mqvpn_core.runtime.udp_sockets import UdpSocket
from tests.runtime.scripted_bypass import (
    NOTHING,
    FakeBypassed,
    ScriptedBypass,
    open_tunnel,
    way_in,
    way_out,
)

T = TypeVar("T")
ONE = ConnectionHandle(1)
NOW = Instant(1000.0)
PEER_KEY = (b"\x7f\x00\x00\x01", 4433, 0, b"")


def happened(**parts: object) -> Happened:
    names = ("sent", "arrivals", "unsent", "packets", "counts", "refused", "error", "urgent")
    assert set(parts) <= set(names)
    told = [parts.get(name, nothing) for name, nothing in zip(names, NOTHING, strict=True)]
    return tuple(told)  # type: ignore[return-value] # of the parts' types


class DeskScene:
    """A desk with a scripted bypass, a socket and a connection that has lanes over it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.bypass = ScriptedBypass()
        self.subjects: dict[ConnectionHandle, Subject] = {}
        self.desk = BypassDesk(self.bypass, self.subjects.get)
        self.socket = self.open_socket()
        self.desk.add_socket(self.socket)
        self.four_tuple = self.hear_from(self.socket)
        self.connection = FakeBypassed()
        self.lanes = self.connection.own_lanes
        self.lanes.ways_in = [way_in(self.four_tuple)]
        self.lanes.ways_out = [way_out(self.four_tuple)]
        self.tunnel = open_tunnel()
        self.subjects[ONE] = Subject(self.connection, self.tunnel)

    def open_socket(self) -> UdpSocket:
        socket = UdpSocket(SocketAddress("127.0.0.1", 0), UdpOptions())
        self._stack.callback(socket.close)
        return socket

    @staticmethod
    def hear_from(socket: UdpSocket) -> FourTuple:
        """A datagram of the peer has come."""
        return socket.received(PEER_KEY, b"hello", 5, 0).four_tuple

    def round(self, told: Happened = NOTHING, *touched: ConnectionHandle) -> Returned | None:
        return self.round_at(NOW, told, *touched)

    def round_at(
        self, now: float, told: Happened = NOTHING, *touched: ConnectionHandle
    ) -> Returned | None:
        self.bypass.happened = told
        returned = self._in_time(self.desk.hold)
        self.desk.release(touched or (ONE,), Instant(now))
        return returned

    def close(self) -> None:
        self._in_time(self.desk.close)

    @staticmethod
    def _in_time(act: Callable[[], T]) -> T:
        """Do something that asks what time it is."""

        async def main() -> T:
            return act()

        return act() if trio.lowlevel.in_trio_run() else trio.run(main)

    def approve(self, packet: bytes = b"packet", key: int = 5, path_id: int = 0) -> int:
        """Let a flow on the lane of its path; return what the bypass calls it."""
        self.lanes.places[packet] = key, PathId(path_id)
        self.desk.offer(ONE, [packet])
        self.round()
        (lane,) = [it for it in self.bypass.outbound.values() if it.path_id == path_id]
        return lane.approved[packet]

    def reads_device(self) -> tuple[bool, bool]:
        return self.desk.device_is_armed, self.bypass.device_is_armed

    @property
    def lane(self) -> int:
        (number,) = self.bypass.outbound
        return number


@contextmanager
def desk_scene() -> Iterator[DeskScene]:
    """A scene that ends with the block, unless the test has ended it."""
    with ExitStack() as stack:
        made = DeskScene(stack)
        yield made
        if not made.bypass.is_closed:
            made.close()
