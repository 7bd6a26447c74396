"""A real server and real clients over loopback, each on a machine in memory."""

import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Network, ip_address
from pathlib import Path
from types import MappingProxyType

import trio

from mqvpn_core.app.client import ClientSurroundings, run_client
from mqvpn_core.app.server import run_server
from mqvpn_core.app.server_requisites import ServerOrders, ServerSurroundings
from mqvpn_core.config import ClientConfig, HashedKey, HostPort, Pin, Secret, ServerConfig
from mqvpn_core.ids import IfIndex
from mqvpn_core.quic.aioquic_bridge.credentials import spki_digest
from mqvpn_core.runtime.host_operations import LinkInfo
from mqvpn_core.runtime.name_resolution import NameResolver
from mqvpn_core.testing.certificates import make_certificate
from mqvpn_core.testing.fake_host import FakeHost
from mqvpn_core.tunnel.lifecycle import Failure

LOOPBACK = "127.0.0.1"
OUTSIDE = IPv4Address("203.0.113.9")
KEYS = {name: f"{name}-0123456789-0123456789" for name in ("alice", "bob", "shared")}
CERTIFICATE = make_certificate(1, "vpn.test")
PATIENCE = 20.0


def key_of(name: str) -> Secret:
    return Secret(KEYS[name])


def hash_of(name: str) -> HashedKey:
    return HashedKey.from_key(key_of(name), bytes(16))


def ip_packet(source: IPv4Address, destination: IPv4Address, content: bytes) -> bytes:
    """Compose a UDP packet."""
    udp = struct.pack("!HHHH", 7000, 7000, 8 + len(content), 0) + content
    header = struct.pack(
        "!BBHHHBBH4s4s",
        0x45,
        0,
        20 + len(udp),
        0,
        0,
        64,
        socket.IPPROTO_UDP,
        0,
        source.packed,
        destination.packed,
    )
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return header[:10] + struct.pack("!H", total ^ 0xFFFF) + header[12:] + udp


def machine() -> FakeHost:
    """A machine whose only link is the real loopback."""
    host = FakeHost()
    address = ip_address(LOOPBACK)
    host.links[address] = LinkInfo(ifindex=IfIndex(1), name="lo", source=address, mtu=1500)
    return host


def open_descriptors() -> int:
    """Count what this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something outside trio's sight has happened."""
    with trio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 - nobody would set an event
            await trio.sleep(0.005)


@dataclass
class RunningServer:
    """A server and what may be done to it."""

    config: ServerConfig
    host: FakeHost
    stop: trio.Event
    reloads: trio.MemorySendChannel[ServerConfig]
    port: int
    over: trio.Event
    hand_over: trio.Event = field(default_factory=trio.Event)


@dataclass
class RunningClient:
    """A client and what became of it."""

    host: FakeHost
    stop: trio.Event
    over: trio.Event
    result: Failure | None = None

    @property
    def address(self) -> IPv4Address:
        plan = self.host.plan
        assert plan is not None
        found = [each.ip for each in plan.addresses if isinstance(each.ip, IPv4Address)]
        return found[0]


class World:
    """Starts servers and clients in one nursery."""

    def __init__(self, nursery: trio.Nursery, folder: Path) -> None:
        self.nursery = nursery
        self.folder = folder
        self.names: dict[str, list[str]] = {}
        """What the servers' name service knows."""

    def server_config(self) -> ServerConfig:
        cert, key = self.folder / "cert.pem", self.folder / "key.pem"
        cert.write_bytes(CERTIFICATE.certificate_pem)
        key.write_bytes(CERTIFICATE.private_key_pem)
        return ServerConfig(
            cert_file=cert,
            key_file=key,
            listen=(HostPort(host=LOOPBACK, port=0),),
            shared_key=hash_of("shared"),
            users=MappingProxyType({"alice": hash_of("alice"), "bob": hash_of("bob")}),
            subnet6=IPv6Network("fd00:7::/64"),
            lease_file=self.folder / "leases.json",
            control_socket=None,
        )

    async def serve(self, config: ServerConfig | None = None) -> RunningServer:
        config = config or self.server_config()
        send, receive = trio.open_memory_channel[ServerConfig](1)
        server = RunningServer(config, FakeHost(), trio.Event(), send, 0, trio.Event())
        listening = await self.nursery.start(self._run_server, server, receive)
        server.port = listening[0].port
        # Another one started with this configuration comes back at the same place.
        server.config = replace(config, listen=(HostPort(host=LOOPBACK, port=server.port),))
        return server

    def connect(self, config: ClientConfig) -> RunningClient:
        client = RunningClient(machine(), trio.Event(), trio.Event())
        self.nursery.start_soon(self._run_client, client, config)
        return client

    def client_config(self, server: RunningServer, user: str = "alice") -> ClientConfig:
        return ClientConfig(
            server=HostPort(host=LOOPBACK, port=server.port),
            server_name="vpn.test",
            pins=(Pin(sha256=spki_digest(CERTIFICATE.certificate)),),
            auth_key=key_of(user),
            control_socket=None,
            usage_file=None,
        )

    async def _run_server(
        self,
        server: RunningServer,
        reloads: trio.MemoryReceiveChannel[ServerConfig],
        *,
        task_status: "trio.TaskStatus[tuple[object, ...]]" = trio.TASK_STATUS_IGNORED,
    ) -> None:
        resolver = NameResolver(lambda name: self.names.get(name, []))
        surroundings = ServerSurroundings(host=server.host, resolver=resolver)
        try:
            orders = ServerOrders(stop=server.stop, reloads=reloads, hand_over=server.hand_over)
            await run_server(server.config, surroundings, orders, task_status=task_status)
        finally:
            server.host.close()
            server.over.set()

    async def _run_client(self, client: RunningClient, config: ClientConfig) -> None:
        surroundings = ClientSurroundings(host=client.host, resolver=NameResolver(lambda _: []))
        try:
            client.result = await run_client(config, surroundings, client.stop)
        finally:
            client.host.close()
            client.over.set()


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """A world that ends with the block, or fails when it takes too long."""
    with trio.fail_after(2 * PATIENCE):
        async with trio.open_nursery() as nursery:
            yield World(nursery, folder)
            nursery.cancel_scope.cancel()
