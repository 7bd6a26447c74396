"""Seals arbitrary frames with the keys of a stock aioquic peer, which so breaks rules at will."""

from dataclasses import dataclass

from aioquic.quic.connection import QuicConnection
from aioquic.tls import Epoch

from mqvpn_core.ids import FourTuple
from mqvpn_core.testing.link_elements import UdpDatagram

_FIXED_BIT = 0x40
_RESERVED_BITS = 0x18
_PACKET_NUMBER_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Oddities:
    """What to do differently from an honest packet."""

    path_id: int = 0
    """Path ID that goes into the nonce (RFC 10069)."""
    reserved_bits: int = 0
    """The two bits of the first byte that must be zero."""
    destination_cid: bytes | None = None
    """Another connection ID than the one in use."""
    packet_number: int | None = None
    """Another packet number than the next one."""
    is_damaged: bool = False
    """The tag is wrong."""


class Injector:
    """Makes 1-RTT packets in the name of a stock connection, with its keys and packet numbers."""

    def __init__(self, quic: QuicConnection, four_tuple: FourTuple) -> None:
        """Speak for a connection.

        Args:
            quic: the stock connection; its handshake must be complete.
            four_tuple: its local and remote address.
        """
        self._quic = quic
        self._four_tuple = four_tuple

    def packet(self, frames: bytes, oddities: Oddities | None = None) -> bytes:
        """Seal frames into one packet; short payloads are not padded."""
        odd = oddities or Oddities()
        keys = self._quic._cryptos[Epoch.ONE_RTT].send
        assert keys.aead is not None
        assert keys.hp is not None
        number = odd.packet_number
        if number is None:
            number = self._quic._packet_number
            self._quic._packet_number += 1
        first = _FIXED_BIT | (keys.key_phase << 2) | (_PACKET_NUMBER_BYTES - 1)
        first |= odd.reserved_bits << 3 & _RESERVED_BITS
        cid = odd.destination_cid
        if cid is None:
            cid = self._quic._peer_cid.cid
        truncated = number & 0xFFFFFFFF
        header = bytes([first]) + cid + truncated.to_bytes(_PACKET_NUMBER_BYTES)
        sealed = keys.aead.encrypt(frames, header, (odd.path_id << 64) | number)
        if odd.is_damaged:
            sealed = sealed[:-1] + bytes([sealed[-1] ^ 1])
        return keys.hp.apply(header, sealed)

    def datagram(self, frames: bytes, oddities: Oddities | None = None) -> UdpDatagram:
        """Seal frames into one UDP datagram for `Simulator.inject`."""
        local, remote = self._four_tuple
        return UdpDatagram(local, remote, self.packet(frames, oddities), 0)
