"""When the kernel of a machine tells by netlink that a link or an address is lost.

A carrier that goes is told at once, but only once in a second for the whole machine (Linux,
net/core/link_watch.c): whoever measures an outage should know how much of it was that.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from benchmarks.probe import wall_clock
from mqvpn_core.demo.namespaces import NetworkNamespace

_RTM_NEWLINK = 16
_RTM_DELLINK = 17
_RTM_DELADDR = 21
_GROUPS = 0x1 | 0x10 | 0x100
"""Links, IPv4 addresses, IPv6 addresses."""
_IFF_LOWER_UP = 0x10000
_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBi")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A loss."""

    interface: str
    """The link that has lost its carrier or an address."""
    moment: float
    """When the kernel told it, seconds of the wall clock."""


class KernelReports:
    """What was lost so far; `kernel_reports` makes one for the length of a block."""

    def __init__(self, listener: socket.socket, names: dict[int, str]) -> None:
        """Begin to listen.

        Args:
            listener: a netlink socket of the machine.
            names: its links by their index.
        """
        self._losses: list[Report] = []
        self._names = names
        self._listener = listener
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def delay(self, interface: str, since: float) -> float | None:
        """How long after a moment the kernel told that ``interface`` lost something."""
        moments = (loss.moment for loss in self._losses if loss.interface == interface)
        return min((moment - since for moment in moments if moment >= since), default=None)

    def stop(self) -> None:
        """End it."""
        self._is_over.set()
        self._thread.join()

    def _listen(self) -> None:
        while not self._is_over.is_set():
            try:
                data = self._listener.recv(65536)
            except TimeoutError:
                continue
            moment = wall_clock()
            while len(data) >= _HEADER.size:
                length, kind, *_ = _HEADER.unpack_from(data)
                index = _lost_index(kind, data[_HEADER.size : length])
                if index in self._names:
                    self._losses.append(Report(interface=self._names[index], moment=moment))
                data = data[(length + 3) & ~3 :]


@contextmanager
def kernel_reports(machine: NetworkNamespace) -> Iterator[KernelReports]:
    """Listen to the kernel for the length of a block."""
    with closing(machine.call(_netlink_socket)) as listener:
        running = KernelReports(listener, dict(machine.call(socket.if_nameindex)))
        try:
            yield running
        finally:
            running.stop()


def _lost_index(kind: int, body: bytes) -> int:
    """The link that the message reports as lost; 0: it reports something else."""
    if kind == _RTM_DELADDR:
        return int(_ADDRESS.unpack_from(body)[4])
    if kind in {_RTM_NEWLINK, _RTM_DELLINK}:
        _, _, index, flags, _ = _LINK.unpack_from(body)
        return 0 if kind == _RTM_NEWLINK and flags & _IFF_LOWER_UP else int(index)
    return 0


def _netlink_socket() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    made.bind((0, _GROUPS))
    made.settimeout(0.25)
    return made
