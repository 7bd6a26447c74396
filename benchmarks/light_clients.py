"""Many clients in one process: connections and sessions as real ones, devices that are made up.

One loop serves all of them, as the drivers do under load: what a task for each would cost belongs
to no client and would be taken from the server, with which they share a machine.

``python -m benchmarks.light_clients FOLDER NUMBER``: reads ``crowd-NUMBER.json`` there, connects,
writes ``ready-NUMBER.json``, begins when there is a file ``go``, sends until ``pause``, ends at
``stop`` and writes ``done-NUMBER.json``. A made-up device gives packets at a steady rate, and
counts what it is given.
"""

import json
import secrets
import select
import struct
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address
from pathlib import Path

import trio

from mqvpn_core.app.quic_settings import client_trust, transport_config
from mqvpn_core.config import ClientConfig, HostPort
from mqvpn_core.config.parsing import pin
from mqvpn_core.dataplane import kernel
from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import count_packets
from mqvpn_core.ids import FourTuple, Instant, SocketAddress
from mqvpn_core.masque.client_config import ClientSessionConfig
from mqvpn_core.masque.client_session import ClientSession
from mqvpn_core.quic.client import client_connection
from mqvpn_core.quic.deadline_queue import DeadlineQueue
from mqvpn_core.quic.http3 import Http3Connection
from mqvpn_core.runtime.client_driver import MAX_READS_UNDER_LOAD, earlier
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.short_sleep import ShortSleep
from mqvpn_core.runtime.udp_opening import UdpOptions
from mqvpn_core.runtime.udp_sockets import UdpSocket
from mqvpn_core.wire.uri_templates import default_uri_template

PAYLOAD_BYTES = 1200
"""UDP payload of the packets."""
PORT = 9
"""UDP port of both sides inside the tunnel."""
TICK = 0.02
"""Seconds between bursts of one client."""
ROUND = 0.002
"""Seconds between two looks at all clients: no more than a client under load would wait."""

_UP_PATIENCE = 60.0
_POLL = 0.02
_IP_HEADER = 20
_UDP_HEADER = 8
_MAX_BURST = 50
"""Packets of a flow that a host hands over as one: 64 KB."""
_NEEDS_CHECKSUM = 1  # linux/virtio_net.h
_GSO_UDP_L4 = 5
_AT_ONCE = 4
"""Handshakes at the same time: the server has two processors at most here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """What the clients of one process are to do."""

    server: str
    """Address of the server."""
    port: int
    """Its UDP port."""
    local: str
    """Address that the clients use."""
    pin: str
    """Of its certificate."""
    key: str
    """What it wants to see."""
    target: str
    """Whom packets inside the tunnel go to."""
    clients: int
    """How many."""
    mbit: float
    """Rate of each, in UDP payload; 0 sends nothing."""
    key_update_interval: float = 3600.0
    """Seconds between key updates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCount:
    """What one client has seen."""

    address: str
    """Its address inside."""
    sent: int
    """Packets given to the tunnel."""
    received: int
    """Packets that came out of it."""


class SteadyDevice:
    """Gives packets of one flow at a rate, as a host does, and counts what it is given."""

    def __init__(self, packets_per_second: float) -> None:
        """Start silent."""
        self.addresses = ("", "")
        """Source and destination of its packets."""
        self.sent = 0
        self.received = 0
        self.due_at: Instant | None = None
        """When the next burst is to be read."""
        self._rate = packets_per_second
        self._began = Instant(0.0)
        self._frames: dict[int, bytes] = {}

    def start(self, now: Instant) -> None:
        """Give packets from now on."""
        if self._rate:
            # Spread over a tick: all clients at once would be a load that no crowd is.
            self.due_at = self._began = Instant(now + secrets.randbelow(1000) / 1000 * TICK)

    def stop(self) -> None:
        """Give nothing any more."""
        self.due_at = None

    def read_packets(self, now: Instant) -> Sequence[Parcel]:
        """Return what is due."""
        if self.due_at is None or now < self.due_at:
            return []
        self.due_at = Instant(max(self.due_at + TICK, now))
        count = max(int((now - self._began) * self._rate) - self.sent, 0)
        self.sent += count
        frames = []
        while count:
            part = min(count, _MAX_BURST)
            if part not in self._frames:
                self._frames[part] = udp_frame(*self.addresses, part)
            frames.append(self._frames[part])
            count -= part
        return kernel.split_frames(frames)

    def write_packets(self, packets: Sequence[Parcel]) -> None:
        """Count packets."""
        self.received += count_packets(packets)


def udp_frame(source: str, target: str, count: int) -> bytes:
    """Return packets with `PAYLOAD_BYTES` each as a host hands them over that was asked to split.

    What it leaves to the device is in front, as linux/virtio_net.h has it.
    """
    size = _UDP_HEADER + count * PAYLOAD_BYTES
    addresses = IPv4Address(source).packed + IPv4Address(target).packed
    header = struct.pack("!BBHHHBBH", 0x45, 0, _IP_HEADER + size, 0, 0x4000, 64, 17, 0) + addresses
    header = header[:10] + (0xFFFF ^ _sum(header)).to_bytes(2) + header[12:]
    pseudo_header = _sum(addresses + struct.pack("!HH", 17, size))
    udp = struct.pack("!HHHH", PORT, PORT, size, pseudo_header)
    kind = _GSO_UDP_L4 if count > 1 else 0
    offload = struct.pack(
        "=BBHHHH", _NEEDS_CHECKSUM, kind, _IP_HEADER + _UDP_HEADER, PAYLOAD_BYTES, _IP_HEADER, 6
    )
    return offload + header + udp + bytes(count * PAYLOAD_BYTES)


def _sum(data: bytes) -> int:
    """Add up 16-bit words as the Internet does (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:  # noqa: PLR2004 - what does not fit is carried round
        total = (total & 0xFFFF) + (total >> 16)
    return total


class LightClient:
    """One client: a connection over a socket of its own, and a device that is made up.

    C: `attach`, `close`. B, D: `look`, to be called when the socket is readable and at `due_at`.
    """

    def __init__(self, crowd: Crowd) -> None:
        """Begin to connect."""
        self.socket = UdpSocket(SocketAddress(crowd.local, 0), UdpOptions())
        self.device = SteadyDevice(crowd.mbit * 1e6 / 8 / PAYLOAD_BYTES)
        self.address = ""
        """Inside the tunnel; empty until it is up."""
        self.due_at: Instant | None = None
        """When to look although nothing has come."""
        self._crowd = crowd
        self._session: ClientSession | None = None
        config = ClientConfig(
            server=HostPort(host=crowd.server, port=crowd.port), pins=(pin(crowd.pin),)
        )
        self._connection = client_connection(
            transport_config(config), client_trust(config), entropy=secrets.token_bytes
        )
        remote = SocketAddress(crowd.server, crowd.port)
        self._connection.connect(FourTuple(self.socket.local_address, remote), read_clock())

    def look(self, now: Instant) -> None:
        """Do in one round what `ClientDriver` does in one under load.

        Raises:
            ConnectionError: the server does not want this client.
        """
        connection, session = self._connection, self._session
        for batch in self.socket.receive(MAX_READS_UNDER_LOAD):
            connection.receive_datagrams(batch, now)
        if self.due_at is not None and self.due_at <= now:
            connection.handle_timeout(now)
            if session is not None:
                session.handle_timeout(now)
        if session is not None:
            session.receive_events(now)
            self._carry(session, now)
        elif connection.handshake_complete:
            self._attach()
        self.socket.send(connection.transmits(now))
        if connection.is_behind:
            self.socket.send(connection.transmits(now))
        for refused in self.socket.take_refused():
            connection.on_send_refused(refused, now)
        if connection.is_ending:
            raise ConnectionError("the server does not want this client")
        self.due_at = connection.next_timeout()
        if self._session is not None:
            self.due_at = earlier(self.due_at, self._session.next_timeout())
        self.due_at = earlier(self.due_at, self.device.due_at)

    def close(self, now: Instant) -> None:
        """Say goodbye."""
        if self._session is not None:
            self._session.close(now)
            self.socket.send(self._connection.transmits(now))
        self.socket.close()

    def _attach(self) -> None:
        authority = self._crowd.server
        self._session = ClientSession(
            config=ClientSessionConfig(
                template=default_uri_template(authority),
                authority=authority,
                authorization=f"Bearer {self._crowd.key}".encode(),
                want_ipv6=False,
                instance=secrets.token_hex(8),
            ),
            http3=Http3Connection(self._connection),
        )

    def _carry(self, session: ClientSession, now: Instant) -> None:
        self.device.write_packets(session.take_ip_packets())
        if packets := self.device.read_packets(now):
            session.send_ip_packets(packets, now)
        if not self.address and session.assigned:
            self.address = str(session.assigned[0].ip)
            self.device.addresses = (self.address, self._crowd.target)


class Rounds:
    """Looks at the clients that something has come for, or for which something is due.

    Tasks: `run`. C: `add`, `look`.
    """

    def __init__(self) -> None:
        """Start with nobody."""
        self._clients: dict[int, LightClient] = {}
        self._deadlines: DeadlineQueue[int] = DeadlineQueue()
        self._waiting = select.epoll()

    def add(self, client: LightClient) -> None:
        """Look after one more client."""
        descriptor = client.socket.fileno()
        self._clients[descriptor] = client
        self._waiting.register(descriptor, select.EPOLLIN)
        self.look(descriptor, read_clock())

    def look(self, descriptor: int, now: Instant) -> None:
        """Let a client do what there is to do."""
        client = self._clients[descriptor]
        client.look(now)
        self._deadlines.set(descriptor, client.due_at)

    async def run(self) -> None:
        """Look until cancelled."""
        with closing(ShortSleep()) as sleep, self._waiting:
            while True:
                now = read_clock()
                due = set(self._deadlines.take_due(now))
                for descriptor in due.union(number for number, _ in self._waiting.poll(0)):
                    self.look(descriptor, now)
                await sleep.until(Instant(now + ROUND))


async def _main(folder: Path, number: int) -> None:
    crowd = Crowd(**json.loads((folder / f"crowd-{number}.json").read_text(encoding="utf-8")))
    rounds = Rounds()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rounds.run)
        with trio.fail_after(_UP_PATIENCE):
            clients = await _bring_up(crowd, rounds)
        _write(folder / f"ready-{number}.json", [client.address for client in clients])
        await _wait_for(folder / "go")
        for client in clients:
            client.device.start(read_clock())
            rounds.look(client.socket.fileno(), read_clock())
        await _wait_for(folder / "pause")
        for client in clients:
            client.device.stop()
        await _wait_for(folder / "stop")
        counts = [
            ClientCount(
                address=client.address, sent=client.device.sent, received=client.device.received
            )
            for client in clients
        ]
        _write(folder / f"done-{number}.json", [asdict(count) for count in counts])
        nursery.cancel_scope.cancel()
    for client in clients:
        client.close(read_clock())


async def _bring_up(crowd: Crowd, rounds: Rounds) -> list[LightClient]:
    clients: list[LightClient] = []
    while len(clients) < crowd.clients:
        some = [LightClient(crowd) for _ in range(min(_AT_ONCE, crowd.clients - len(clients)))]
        for client in some:
            rounds.add(client)
        while not all(client.address for client in some):  # noqa: ASYNC110 - they are looked at here
            await trio.sleep(_POLL)
        clients += some
    return clients


async def _wait_for(file: Path) -> None:
    while not await trio.Path(file).exists():  # noqa: ASYNC110 - another process makes it
        await trio.sleep(_POLL)


def _write(file: Path, value: object) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(value), encoding="utf-8")
    fresh.replace(file)


if __name__ == "__main__":
    trio.run(_main, Path(sys.argv[1]), int(sys.argv[2]))
