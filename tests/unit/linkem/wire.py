"""Two machines with an emulated link between them, and numbered UDP datagrams to measure it."""

import errno
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mqvpn_core.demo.namespaces import NetworkNamespace, join, namespaces
from tests.linkem.emulated_link import EmulatedLink, End, Kind, LinkOptions, emulate
from tests.linkem.offloads import switch_offloads_off

NEAR = "192.0.2.1"
FAR = "192.0.2.2"
NEAR6 = "2001:db8::1"
FAR6 = "2001:db8::2"
HEADER_BYTES = 28
"""Of IPv4 and UDP."""

_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_NUMBER = struct.Struct("!Iq")
_SILENCE = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One datagram that came through."""

    number: int
    """Its number, from 0."""
    sent: float
    """When it was sent."""
    received: float
    """When the kernel got it."""
    ecn: int
    """Its ECN bits."""

    @property
    def delay(self) -> float:
        """How long it was under way."""
        return self.received - self.sent


class Wire:
    """The link, and a socket at each of its ends."""

    def __init__(
        self, link: EmulatedLink, machines: tuple[NetworkNamespace, NetworkNamespace]
    ) -> None:
        self.link = link
        self.machines = machines
        self.near = machines[0].call(lambda: _udp_socket(NEAR))
        self.far = machines[1].call(lambda: _udp_socket(FAR))

    def close(self) -> None:
        """Close the sockets."""
        self.near.close()
        self.far.close()

    def up(self, count: int, *, size: int = 100, interval: float = 0.0) -> list[Arrival]:
        """Send from the near to the far end; what arrived until it was quiet."""
        return _transfer(self.near, self.far, count, size, interval)

    def down(self, count: int, *, size: int = 100, interval: float = 0.0) -> list[Arrival]:
        """The same the other way."""
        return _transfer(self.far, self.near, count, size, interval)


@contextmanager
def open_wire(
    folder: Path, *, kind: Kind = Kind.TUN, options: LinkOptions | None = None
) -> Iterator[Wire]:
    """Hold two machines and the link between them for the length of a block."""
    with namespaces("near", "middle", "far") as (near, middle, far):
        for machine in (
            near,
            middle,
            far,
        ):  # the kernel's own IPv6 packets would be counted as well
            machine.write_sysctl("ipv6/conf/default/disable_ipv6", "1")
        ends = _veth_ends(near, middle, far) if kind is Kind.VETH else _device_ends(near, far, kind)
        with emulate(*ends, folder, options) as link:
            near.add_address("near0", f"{NEAR}/24")
            far.add_address("far0", f"{FAR}/24")
            with closing(Wire(link, (near, far))) as wire:
                yield wire


def _device_ends(near: NetworkNamespace, far: NetworkNamespace, kind: Kind) -> tuple[End, End]:
    return (
        End(namespace=near, interface="near0", kind=kind),
        End(namespace=far, interface="far0", kind=kind),
    )


def _veth_ends(
    near: NetworkNamespace, middle: NetworkNamespace, far: NetworkNamespace
) -> tuple[End, End]:
    """The emulator sits at the inner ends of two veth pairs, in a machine of its own."""
    join(near, "near0", middle, "inner0")
    join(far, "far0", middle, "inner1")
    switch_offloads_off(near, "near0")
    switch_offloads_off(far, "far0")
    return (
        End(namespace=middle, interface="inner0", kind=Kind.VETH),
        End(namespace=middle, interface="inner1", kind=Kind.VETH),
    )


def _udp_socket(address: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, 0))
    made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
    return made


def _transfer(
    sender: socket.socket, receiver: socket.socket, count: int, size: int, interval: float
) -> list[Arrival]:
    padding = bytes(size - HEADER_BYTES - _NUMBER.size)
    target = receiver.getsockname()
    started = time.perf_counter()
    for number in range(count):
        wait = started + number * interval - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        data = _NUMBER.pack(number, time.clock_gettime_ns(time.CLOCK_REALTIME)) + padding
        _send(sender, data, target)
    return list(_arrivals(receiver))


def _send(sender: socket.socket, data: bytes, target: tuple[str, int]) -> None:
    try:
        sender.sendto(data, target)
    except OSError as error:  # a link without carrier may say so
        if error.errno not in {errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH}:
            raise


def _arrivals(receiver: socket.socket) -> Iterator[Arrival]:
    receiver.settimeout(_SILENCE)
    while True:
        try:
            data, control, _, _ = receiver.recvmsg(2048, 256)
        except TimeoutError:
            return
        number, sent = _NUMBER.unpack_from(data)
        seconds = nanoseconds = ecn = 0
        for level, kind, value in control:
            if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                seconds, nanoseconds = struct.unpack("qq", value)
            elif (level, kind) == (socket.IPPROTO_IP, socket.IP_TOS):
                ecn = value[0] & 3
        received = (seconds * 1_000_000_000 + nanoseconds) / 1e9
        yield Arrival(number=number, sent=sent / 1e9, received=received, ecn=ecn)
