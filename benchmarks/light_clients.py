"""Many clients in one process: connections and sessions as real ones, devices that are made up.

``python -m benchmarks.light_clients FOLDER NUMBER``: reads ``crowd-NUMBER.json`` there, connects,
writes ``ready-NUMBER.json``, begins when there is a file ``go``, sends until ``pause``, ends at
``stop`` and writes ``done-NUMBER.json``. A made-up device gives packets at a steady rate, and
counts what it is given.
"""

import json
import secrets
import struct
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address
from pathlib import Path

import trio
from typing_extensions import override

from mqvpn_core.app.quic_settings import client_trust, transport_config
from mqvpn_core.config import ClientConfig, HostPort
from mqvpn_core.config.parsing import pin
from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import count_packets
from mqvpn_core.ids import FourTuple, Instant, SocketAddress
from mqvpn_core.masque.client_config import ClientSessionConfig
from mqvpn_core.masque.client_session import ClientSession
from mqvpn_core.quic.client import client_connection
from mqvpn_core.quic.http3 import Http3Connection
from mqvpn_core.runtime.client_driver import ClientDriver
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.tun_device import PacketDevice, TunCounters
from mqvpn_core.runtime.udp_opening import UdpOptions
from mqvpn_core.runtime.udp_sockets import UdpSocket
from mqvpn_core.wire.uri_templates import default_uri_template

PAYLOAD_BYTES = 1200
"""UDP payload of the packets."""
PORT = 9
"""UDP port of both sides inside the tunnel."""
TICK = 0.02
"""Seconds between bursts of one client."""

_UP_PATIENCE = 60.0
_POLL = 0.02
_HEADERS = 28
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


class SteadyDevice(PacketDevice):
    """Gives one packet again and again at a rate, and counts what it is given."""

    def __init__(self, packet: bytes, packets_per_second: float) -> None:
        """Start silent."""
        self.is_sending = trio.Event()
        """Set to begin."""
        self.sent = 0
        self.received = 0
        self._packet = packet
        self._rate = packets_per_second
        self._began: float | None = None
        self._next = 0.0
        self._counters = TunCounters()

    @property
    @override
    def counters(self) -> TunCounters:
        return self._counters

    @override
    async def wait_readable(self) -> None:
        await self.is_sending.wait()
        if not self._rate:
            await trio.sleep_forever()
        now = trio.current_time()
        if self._began is None:
            # Spread over a tick: all clients at once would be a load that no crowd is.
            self._began = self._next = now + secrets.randbelow(1000) / 1000 * TICK
        await trio.sleep_until(self._next)
        self._next = max(self._next + TICK, now)

    @override
    def read_packets(self, max_count: int) -> Sequence[Parcel]:
        if self._began is None or trio.current_time() < self._began or not self._rate:
            return []
        due = int((trio.current_time() - self._began) * self._rate) - self.sent
        count = min(max(due, 0), max_count)
        self.sent += count
        return [self._packet] * count

    def stop(self) -> None:
        """Give nothing any more."""
        self._rate = 0.0

    @override
    def write_packets(self, packets: Sequence[Parcel]) -> int:
        self.received += count_packets(packets)
        return 0

    @override
    def close(self) -> None:
        self.stop()


def udp_packet(source: str, target: str) -> bytes:
    """Return an IPv4 packet with `PAYLOAD_BYTES` in it; without a UDP checksum (RFC 768)."""
    size = _HEADERS + PAYLOAD_BYTES
    header = struct.pack(
        "!BBHHHBBH4s4s",
        *(0x45, 0, size, 0, 0x4000, 64, 17, 0),
        *(IPv4Address(source).packed, IPv4Address(target).packed),
    )
    checksum = sum(struct.unpack("!10H", header))
    checksum = ~((checksum & 0xFFFF) + (checksum >> 16)) & 0xFFFF
    whole = bytearray(header)
    whole[10:12] = checksum.to_bytes(2)
    whole += struct.pack("!HHHH", PORT, PORT, size - len(header), 0)
    return bytes(whole) + bytes(PAYLOAD_BYTES)


class LightClient:
    """One client: a connection over a socket of its own, and a device that is made up."""

    def __init__(self, crowd: Crowd) -> None:
        """Begin to connect; runs with `run`."""
        self.device: SteadyDevice | None = None
        self._crowd = crowd
        config = ClientConfig(
            server=HostPort(host=crowd.server, port=crowd.port), pins=(pin(crowd.pin),)
        )
        self._socket = UdpSocket(SocketAddress(crowd.local, 0), UdpOptions())
        transport = transport_config(config)
        self._connection = client_connection(
            transport, client_trust(config), entropy=secrets.token_bytes
        )
        remote = SocketAddress(crowd.server, crowd.port)
        self.driver = ClientDriver(self._connection, [self._socket])
        self._connection.connect(FourTuple(self._socket.local_address, remote), read_clock())

    async def run(self) -> None:
        """Serve until cancelled, then close in order."""
        try:
            await self.driver.run()
        finally:
            self._socket.close()

    async def bring_up(self) -> str:
        """Wait for the tunnel and return the address inside."""
        await self.driver.settled.wait()
        authority = self._crowd.server
        session = ClientSession(
            config=ClientSessionConfig(
                template=default_uri_template(authority),
                authority=authority,
                authorization=f"Bearer {self._crowd.key}".encode(),
                want_ipv6=False,
                instance=secrets.token_hex(8),
            ),
            http3=Http3Connection(self._connection),
        )
        self._session = session
        self.driver.attach(session)
        while not session.assigned:
            await trio.sleep(_POLL)
            if self._connection.is_ending:
                raise ConnectionError("the server does not want this client")
        address = str(session.assigned[0].ip)
        rate = self._crowd.mbit * 1e6 / 8 / PAYLOAD_BYTES
        self.device = SteadyDevice(udp_packet(address, self._crowd.target), rate)
        self.driver.carry(self.device)
        return address

    def close(self, now: Instant) -> None:
        """Say goodbye."""
        self._session.close(now)
        self.driver.finish()


async def _main(folder: Path, number: int) -> None:
    crowd = Crowd(**json.loads((folder / f"crowd-{number}.json").read_text(encoding="utf-8")))
    async with trio.open_nursery() as nursery:
        clients: list[LightClient] = []
        addresses: dict[int, str] = {}
        with trio.fail_after(_UP_PATIENCE):
            while len(clients) < crowd.clients:
                some = [
                    LightClient(crowd) for _ in range(min(_AT_ONCE, crowd.clients - len(clients)))
                ]
                for client in some:
                    nursery.start_soon(client.run)
                for client in some:
                    addresses[id(client)] = await client.bring_up()
                clients += some
        _write(folder / f"ready-{number}.json", [addresses[id(client)] for client in clients])
        await _wait_for(folder / "go")
        for client in clients:
            assert client.device is not None
            client.device.is_sending.set()
        await _wait_for(folder / "pause")
        for client in clients:
            assert client.device is not None
            client.device.stop()
        await _wait_for(folder / "stop")
        counts = [
            ClientCount(
                address=addresses[id(client)],
                sent=client.device.sent,
                received=client.device.received,
            )
            for client in clients
            if client.device is not None
        ]
        _write(folder / f"done-{number}.json", [asdict(count) for count in counts])
        for client in clients:
            client.close(read_clock())


async def _wait_for(file: Path) -> None:
    while not await trio.Path(file).exists():  # noqa: ASYNC110 - another process makes it
        await trio.sleep(_POLL)


def _write(file: Path, value: object) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(value), encoding="utf-8")
    fresh.replace(file)


if __name__ == "__main__":
    trio.run(_main, Path(sys.argv[1]), int(sys.argv[2]))
