"""Programs of a user that try to get out by every way there is, all the time."""

import errno
import select
import socket
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from benchmarks.leak_capture import MARK
from mqvpn_core.demo.namespaces import NetworkNamespace
from mqvpn_core.demo.topology import SERVER_IPV4, SERVER_IPV6

_PAUSE = 0.01
_ECHO = bytes([8, 0]) + bytes(6) + MARK
_LINKS = ("", "wlan0", "lte0")
_QUESTION = bytes(2) + bytes.fromhex("01000001000000000000") + b"\x0fnot-for-outside\0\0\x01\0\x01"


@dataclass(frozen=True, slots=True)
class Try:
    """One thing that a program might do."""

    what: str
    """Its kind, for the count."""
    address: str
    """Where to."""
    port: int
    """Port there."""
    data: bytes = MARK
    """What is sent."""


_DATAGRAMS = (
    Try("name", "192.0.2.1", 53, _QUESTION),
    Try("name", "198.51.100.1", 53, _QUESTION),
    Try("name", "203.0.113.1", 53, _QUESTION),
    Try("name", "2001:db8:3::1", 53, _QUESTION),
    Try("name", "224.0.0.251", 5353, _QUESTION),
    Try("datagram", "203.0.113.1", 9),
    Try("datagram", "192.0.2.1", 9),
    Try("datagram", "2001:db8:3::1", 9),
    Try("datagram", "2001:db8:1::1", 9),
    Try("to the server", SERVER_IPV4, 443),
    Try("to the server", SERVER_IPV6, 443),
    Try("to the server", SERVER_IPV4, 444),
)
_CONNECTIONS = (
    Try("connection", "203.0.113.1", 80),
    Try("connection", SERVER_IPV4, 443),
    Try("connection", "2001:db8:3::1", 80),
    Try("name", "203.0.113.1", 53),
)


class Noise:
    """Senders in a namespace, from creation to ``close``."""

    def __init__(self, namespace: NetworkNamespace) -> None:
        """Begin to send.

        Args:
            namespace: where the programs run.
        """
        self.tries: Counter[str] = Counter()
        """How often what was tried."""
        self.refusals: Counter[str] = Counter()
        """How often the machine refused on the spot."""
        self._namespace = namespace
        self._is_over = threading.Event()
        # Some sockets are older than anything that happens later.
        self._old = {
            (link, family): self._namespace.call(lambda: _udp(family, link))  # noqa: B023 - at once
            for link in _LINKS
            for family in (socket.AF_INET, socket.AF_INET6)
        }
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def close(self) -> None:
        """Send no more."""
        self._is_over.set()
        self._thread.join()
        for each in self._old.values():
            each.close()

    def _send(self) -> None:
        rounds = 0
        while not self._is_over.wait(_PAUSE):
            rounds += 1
            link = _LINKS[rounds % len(_LINKS)]
            for one in _DATAGRAMS:
                self._count(one, self._send_old(one, link))
            with suppress(OSError):
                self._namespace.call(lambda: self._send_new(link))  # noqa: B023 - at once

    def _send_old(self, one: Try, link: str) -> bool:
        family = socket.AF_INET6 if ":" in one.address else socket.AF_INET
        try:
            self._old[link, family].sendto(one.data, (one.address, one.port))
        except OSError as error:
            return error.errno not in {errno.EPERM, errno.EACCES}
        return True

    def _send_new(self, link: str) -> None:
        opened: list[socket.socket] = []
        for one in _CONNECTIONS:
            family = socket.AF_INET6 if ":" in one.address else socket.AF_INET
            made = _bound(socket.socket(family, socket.SOCK_STREAM), link)
            opened.append(made)
            code = made.connect_ex((one.address, one.port))
            self._count(one, code not in {errno.EPERM, errno.EACCES})
        echo = _bound(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP), link)
        opened.append(echo)
        one = Try("echo", "203.0.113.1", 0)
        try:
            echo.sendto(_ECHO, (one.address, 0))
        except OSError as error:
            self._count(one, error.errno != errno.EPERM)
        else:
            self._count(one, True)
        select.select([], [], [], 0.002)
        for made in opened:
            made.close()

    def _count(self, one: Try, passed: bool) -> None:
        self.tries[one.what] += 1
        self.refusals[one.what] += not passed


def _udp(family: socket.AddressFamily, link: str) -> socket.socket:
    return _bound(socket.socket(family, socket.SOCK_DGRAM), link)


def _bound(made: socket.socket, link: str) -> socket.socket:
    made.setblocking(False)
    if link:
        with suppress(OSError):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
    return made
