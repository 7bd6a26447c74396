"""Sockets that close by themselves, and what is sent through them."""

from typing import Protocol

from mqvpn_core.ids import FourTuple, SocketAddress
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, Transmit
from mqvpn_core.runtime.udp_sockets import UdpSocket

LOOPBACK = ("127.0.0.1", "::1")
SO_NO_CHECK = 11

ANY4 = "0.0.0.0"  # noqa: S104 - what these tests are about


class Opener(Protocol):
    """Opens sockets that the test need not close."""

    def __call__(
        self,
        host: str,
        port: int = 0,
        *,
        interface: str | None = None,
        buffer_bytes: int | None = None,
        segmentation: bool = True,
    ) -> UdpSocket:
        """Open one."""


def to(
    sender: UdpSocket,
    remote: SocketAddress,
    data: bytes,
    *,
    segment_size: int | None = None,
    ecn: int = 0,
) -> Transmit:
    return Transmit(
        four_tuple=FourTuple(local=sender.local_address, remote=remote),
        data=data,
        segment_size=segment_size or len(data),
        ecn=ecn,
    )


def segments(batches: list[ReceivedDatagrams]) -> list[bytes]:
    return [
        batch.data[offset : offset + batch.segment_size]
        for batch in batches
        for offset in range(0, len(batch.data), batch.segment_size)
    ]


def numbered(count: int, size: int, last: int) -> list[bytes]:
    return [bytes([n]) * (last if n == count - 1 else size) for n in range(count)]
