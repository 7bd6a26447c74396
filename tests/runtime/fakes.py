"""In-memory twins of what the drivers hold: sockets, a TUN device, a connection, a session."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import trio
from typing_extensions import override

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.errors import HostError
from mqvpn_core.ids import FourTuple, Instant, SocketAddress
from mqvpn_core.masque.tunnel_bypass import TunnelBypass
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, RefusedDatagram, Transmit

LOCAL = SocketAddress("192.0.2.10", 5000)
REMOTE = SocketAddress("192.0.2.1", 443)
FOUR_TUPLE = FourTuple(LOCAL, REMOTE)


def datagram(data: bytes, four_tuple: FourTuple = FOUR_TUPLE) -> ReceivedDatagrams:
    return ReceivedDatagrams(four_tuple, data, len(data), 0)


def transmit(data: bytes, four_tuple: FourTuple = FOUR_TUPLE) -> Transmit:
    return Transmit(four_tuple=four_tuple, data=data, segment_size=len(data), ecn=0)


class Gate:
    """Something to wait for that opens and closes."""

    def __init__(self, *, is_open: bool) -> None:
        self._event = trio.Event()
        if is_open:
            self._event.set()

    def open(self) -> None:
        self._event.set()

    def shut(self) -> None:
        if self._event.is_set():
            self._event = trio.Event()

    async def wait(self) -> None:
        while not self._event.is_set():
            await self._event.wait()
        await trio.lowlevel.checkpoint()


class FakeSocket:
    """A UDP socket; ``room`` is how many transmits its buffer takes."""

    def __init__(self, local: SocketAddress = LOCAL) -> None:
        self.local = local
        self.sent: list[bytes] = []
        self.room = 1_000_000
        self.is_closed = False
        self.rate: float | None = None
        self.reads: list[int] = []
        self.largest = 65535
        self._refused: list[RefusedDatagram] = []
        self._incoming: deque[ReceivedDatagrams] = deque()
        self._readable = Gate(is_open=False)
        self._writable = Gate(is_open=True)

    @property
    def local_address(self) -> SocketAddress:
        return self.local

    def arrive(self, *batches: ReceivedDatagrams) -> None:
        self._incoming.extend(batches)
        self._readable.open()

    def make_room(self, room: int) -> None:
        self.room = room
        self._writable.open()

    async def wait_readable(self) -> None:
        await self._readable.wait()

    async def wait_writable(self) -> None:
        await self._writable.wait()

    def receive(self, max_reads: int) -> list[ReceivedDatagrams]:
        taken = [self._incoming.popleft() for _ in range(min(max_reads, len(self._incoming)))]
        self.reads.append(len(taken))
        if not self._incoming:
            self._readable.shut()
        return taken

    def send(self, transmits: Sequence[Transmit]) -> list[Transmit]:
        taken = transmits[: self.room]
        for each in taken:
            if len(each.data) > self.largest:
                self._refused.append(RefusedDatagram(each.four_tuple, len(each.data)))
            else:
                self.sent.append(each.data)
        self.room -= len(taken)
        if self.room == 0:
            self._writable.shut()
        return list(transmits[len(taken) :])

    def take_refused(self) -> list[RefusedDatagram]:
        refused, self._refused = self._refused, []
        return refused

    def limit(self, bytes_per_second: float | None) -> None:
        self.rate = bytes_per_second

    def close(self) -> None:
        self.is_closed = True


class FakeTun:
    """A TUN device; refuses packets that start with ``bad``."""

    def __init__(self) -> None:
        self.is_closed = False
        self.is_removed = False
        self.written: list[bytes] = []
        self.write_sizes: list[int] = []
        self._outgoing: deque[bytes] = deque()
        self._readable = Gate(is_open=False)

    def route_in(self, *packets: bytes) -> None:
        """The host routed these packets into the device."""
        self._outgoing.extend(packets)
        self._readable.open()

    @property
    def waiting(self) -> list[bytes]:
        return list(self._outgoing)

    async def wait_readable(self) -> None:
        await self._readable.wait()

    def remove(self) -> None:
        """Somebody deleted the device."""
        self.is_removed = True
        self._readable.open()

    def close(self) -> None:
        self.is_closed = True

    def read_packets(self, max_count: int) -> list[bytes]:
        if self.is_removed:
            raise HostError("the device has been removed")
        taken = [self._outgoing.popleft() for _ in range(min(max_count, len(self._outgoing)))]
        if not self._outgoing:
            self._readable.shut()
        return taken

    def write_packets(self, packets: Sequence[Parcel]) -> int:
        good = [packet for packet in expand(packets) if not packet.startswith(b"bad")]
        self.written += good
        self.write_sizes.append(len(packets))
        return len(packets) - len(good)


class AnsweringTun(FakeTun):
    """A host that answers packets while they are written; nobody is told that it can be read."""

    @override
    def write_packets(self, packets: Sequence[Parcel]) -> int:
        self.route_in(*[packet + b" back" for packet in expand(packets)])
        return super().write_packets(packets)

    @override
    async def wait_readable(self) -> None:
        await trio.sleep_forever()


class FakeTransport:
    """A connection whose bytes mean what the test says.

    ``hello`` completes the handshake, ``bye`` closes; ``timer`` makes a deadline. Everything
    received is echoed with an ``re:`` in front unless ``quiet``.
    """

    def __init__(self, *, quiet: bool = True) -> None:
        self.handshake_complete = False
        self.is_ending = False
        self.received: list[tuple[float, bytes]] = []
        self.timeouts: list[float] = []
        self.outgoing: list[Transmit] = []
        self.deadline: Instant | None = None
        self.probe_timeouts = 0
        self.shortest_round_trip = 0.0
        self.is_behind = self.has_events = False
        # Leave with the second call only, and something happens then.
        self.puts_off: list[Transmit] = []
        self.has_given_up_path = False
        self.period: float | None = None
        self._quiet = quiet

    def on_send_refused(self, refused: RefusedDatagram, now: Instant) -> bool:
        del now
        self.outgoing.append(transmit(b"instead of %d" % refused.size))
        return True

    def receive_datagrams(self, batch: ReceivedDatagrams, now: Instant) -> None:
        data = bytes(batch.data)
        self.received.append((now, data))
        if data == b"hello":
            self.handshake_complete = True
        elif data == b"bye":
            self.is_ending = True
        elif data.startswith(b"timer "):
            self.deadline = Instant(now + float(data[6:]))
        elif data == b"crash":
            raise RuntimeError("planted")
        if not self._quiet:
            self.outgoing.append(transmit(b"re:" + data))

    def handle_timeout(self, now: Instant) -> None:
        self.timeouts.append(now)
        if self.deadline is not None and self.deadline <= now:
            self.deadline = None if self.period is None else Instant(now + self.period)

    def transmits(self, now: Instant) -> list[Transmit]:
        del now
        taken, self.outgoing = self.outgoing, []
        if self.is_behind:
            self.is_behind, self.has_events = False, True
            taken, self.puts_off = [*taken, *self.puts_off], []
        self.is_behind = bool(self.puts_off)
        return taken

    def next_timeout(self) -> Instant | None:
        return self.deadline

    def statistics(self) -> "FakeNumbers":
        paths = [FakePathNumbers(probe_timeouts=self.probe_timeouts)]
        if self.has_given_up_path:
            paths.append(FakePathNumbers(probe_timeouts=0, is_in_use=False))
        return FakeNumbers(paths=paths)


@dataclass(frozen=True)
class FakePathNumbers:
    """Of one path."""

    probe_timeouts: int
    is_in_use: bool = True


@dataclass(frozen=True)
class FakeNumbers:
    """Of one connection."""

    paths: Sequence[FakePathNumbers]


class FakeSession:
    """Turns IP packets into transmits ``ip:...`` of its transport, and ``ip:...`` into packets."""

    def __init__(self, transport: FakeTransport) -> None:
        self.transport = transport
        self.deadline: Instant | None = None
        self.timeouts: list[float] = []
        self.fail_on: bytes | None = None
        self.bypass: TunnelBypass | None = None
        self._seen = 0

    def receive_events(self, now: Instant) -> None:
        del now
        self.transport.has_events = False

    def handle_timeout(self, now: Instant) -> None:
        self.timeouts.append(now)
        self.deadline = None

    def next_timeout(self) -> Instant | None:
        return self.deadline

    def send_ip_packets(self, packets: Sequence[Parcel], now: Instant) -> None:
        del now
        if self.fail_on in packets:
            raise RuntimeError("planted")
        self.transport.outgoing += [transmit(b"ip:" + packet) for packet in expand(packets)]

    def take_ip_packets(self) -> list[bytes]:
        new = self.transport.received[self._seen :]
        self._seen = len(self.transport.received)
        if any(data == b"poison" for _, data in new):
            raise RuntimeError("planted")
        return [data[3:] for _, data in new if data.startswith(b"ip:")]
