"""The laboratory of the namespace tests: the demonstration's world and a second client.

    client  wlan0 192.0.2.2   ---- w0 192.0.2.1   |
            lte0 198.51.100.2 ---- l0 198.51.100.1| router r0 203.0.113.1 ---- eth0 203.0.113.2
    second  wlan0 192.168.77.2 -- s77 192.168.77.1|                              server
                                                                              lan0 172.20.0.1
                                                                                 |
                                                                       eth0 172.20.0.2  web

IPv6 everywhere as well, see `mqvpn_core.demo.topology`. Inside the tunnel the server is 10.0.0.1
and fd00:6d71::1. Sockets made by `NetworkNamespace.call` belong to that namespace and can be used
from anywhere, so most tests need no helper process.
"""

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from mqvpn_core.demo.namespaces import NetworkNamespace, namespaces
from mqvpn_core.demo.programs import (
    Credentials,
    Program,
    start_client,
    start_server,
)
from mqvpn_core.demo.story import is_connected
from mqvpn_core.demo.topology import SERVER_IPV4, Access, World, attach, build_world
from mqvpn_core.runtime.status_values import Status

INNER_SERVER_IPV4 = "10.0.0.1"
INNER_SERVER_IPV6 = "fd00:6d71::1"
UP_PATIENCE = 20.0
_ETH_P_ALL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A command that ran to its end."""

    code: int
    """Exit code."""
    output: str
    """Standard output and error."""


class Lab:
    """One world with its programs; whatever a test starts ends with it."""

    def __init__(self, held: ExitStack, credentials: Credentials, directory: Path) -> None:
        self._held = held
        self.credentials = replace(credentials, directory=directory)
        self.directory = directory
        self.world: World = held.enter_context(build_world())
        self.programs: list[Program] = []

    def start_server(self, *options: str, has_ipv6: bool = True) -> Program:
        """Start the server and wait until it listens."""
        server = start_server(self.world.server, self.credentials, options, has_ipv6=has_ipv6)
        self.programs.append(server)
        server.wait_for(lambda _status: True, UP_PATIENCE, "listening socket")
        return server

    def start_client(
        self,
        *options: str,
        namespace: NetworkNamespace | None = None,
        credentials: Credentials | None = None,
        server: str = SERVER_IPV4,
        launcher: Sequence[str] = (),
    ) -> Program:
        """Start a client and return at once."""
        program = start_client(
            namespace or self.world.client,
            replace(credentials or self.credentials, directory=self.directory),
            server,
            options,
            launcher=launcher,
        )
        self.programs.append(program)
        return program

    def connect(self, *options: str) -> Program:
        """Start the client and wait until its tunnel is up."""
        client = self.start_client(*options)
        wait_connected(client)
        return client

    def second_client(self) -> NetworkNamespace:
        """Another machine with a link of its own to the router."""
        return self.another_machine("second", 77)

    def another_machine(self, label: str, number: int) -> NetworkNamespace:
        """A machine whose link to the router has a network of that number."""
        (machine,) = self._held.enter_context(namespaces(label))
        access = Access(
            interface="wlan0",
            router_interface=f"s{number}",
            ipv4=f"192.168.{number}",
            ipv6=f"2001:db8:{number}",
            metric=100,
        )
        attach(machine, self.world.router, access)
        return machine

    def run(
        self, namespace: NetworkNamespace, command: Sequence[str], seconds: float = 60.0
    ) -> Finished:
        """Run a command in a namespace to its end; killed when it takes longer than it may."""
        log = self.directory / f"command-{time.monotonic_ns()}.log"
        process = namespace.start(command, log)
        code = process.wait(seconds)
        return Finished(code=code, output=log.read_text(encoding="utf-8", errors="replace"))

    def ping(
        self, namespace: NetworkNamespace, destination: str, *options: str, count: int = 3
    ) -> Finished:
        """Ping; code 0 means that everything was answered."""
        command = ["ping", "-n", "-c", str(count), "-i", "0.2", "-W", "2", *options, destination]
        finished = self.run(namespace, command)
        complete = f" {count} received" in finished.output
        return finished if complete else replace(finished, code=finished.code or 1)

    def own_files(self) -> list[str]:
        """Sockets and other files of the programs that still exist."""
        return sorted(path.name for path in self.directory.glob("*.sock"))


def wait_connected(client: Program) -> Status:
    """Wait until a client's tunnel carries packets."""
    return client.wait_for(is_connected, UP_PATIENCE, "tunnel")


def inner_ipv4(client: Program) -> str:
    """The IPv4 address a client has inside."""
    return next(each for each in _addresses(client) if ":" not in each)


def inner_ipv6(client: Program) -> str:
    """The IPv6 address a client has inside."""
    return next(each for each in _addresses(client) if ":" in each)


def current_status(program: Program) -> Status:
    """The status, which must be there."""
    status = program.status()
    assert status is not None, program.log_tail()
    return status


def eventually(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait for a condition and return how long it took."""
    started = time.perf_counter()
    while not condition():
        assert time.perf_counter() - started < seconds, f"no {what} within {seconds} s"
        time.sleep(0.02)
    return time.perf_counter() - started


def udp_socket(namespace: NetworkNamespace, address: str, port: int = 0) -> socket.socket:
    """A bound UDP socket in a namespace."""
    return namespace.call(lambda: _bound_socket(socket.SOCK_DGRAM, address, port))


def packet_socket(namespace: NetworkNamespace, interface: str) -> socket.socket:
    """A socket that sees every IP packet of a link."""
    made = namespace.call(
        lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    )
    made.bind((interface, _ETH_P_ALL))
    return made


def tcp_listener(namespace: NetworkNamespace, address: str, port: int) -> socket.socket:
    """A listening TCP socket in a namespace."""
    listener = namespace.call(lambda: _bound_socket(socket.SOCK_STREAM, address, port))
    listener.listen()
    return listener


def tcp_connection(namespace: NetworkNamespace, address: str, port: int) -> socket.socket:
    """A TCP connection from a namespace."""
    return namespace.call(lambda: socket.create_connection((address, port), timeout=10))


def _bound_socket(kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    made.settimeout(10)
    return made


def _addresses(client: Program) -> list[str]:
    return [address.partition("/")[0] for address in current_status(client).addresses]
