"""Long-header packets outside any connection: parsing, Retry, version negotiation (RFC 9000 s17.2).

Server side of the time before a connection exists; stateless but for the Retry key.
"""

from dataclasses import dataclass

from aioquic._buffer import Buffer, BufferReadError
from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import (
    QuicPacketType,
    QuicProtocolVersion,
    encode_quic_retry,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.retry import QuicRetryTokenHandler

from mqvpn_core.errors import DecodeError
from mqvpn_core.ids import Instant, SocketAddress
from mqvpn_core.wire.code_points import FrameType, TransportErrorCode

_CLOSE_CAPACITY = 1 + 3 * 8

SUPPORTED_VERSIONS = (int(QuicProtocolVersion.VERSION_1), int(QuicProtocolVersion.VERSION_2))


@dataclass(frozen=True, slots=True, kw_only=True)
class LongHeader:
    """What routing needs from a long header."""

    version: int
    """QUIC version; 0 in a Version Negotiation packet."""
    is_initial: bool
    """An Initial packet."""
    destination_cid: bytes
    """Whom it is for."""
    source_cid: bytes
    """What to answer to."""
    token: bytes
    """Address validation token of an Initial packet."""
    packet_length: int
    """Bytes of this packet in the datagram."""


def decode_long_header(datagram: bytes) -> LongHeader:
    """Parse the first packet of a datagram.

    Raises:
        DecodeError: it is no valid long header.
    """
    try:
        header = pull_quic_header(Buffer(data=datagram), host_cid_length=0)
    except (ValueError, BufferReadError) as error:
        raise DecodeError(f"invalid long header: {error}") from error
    if header.version is None:
        raise DecodeError("not a long header")
    return LongHeader(
        version=header.version,
        is_initial=header.packet_type == QuicPacketType.INITIAL,
        destination_cid=header.destination_cid,
        source_cid=header.source_cid,
        token=header.token,
        packet_length=header.packet_length,
    )


def long_header_prefix(datagram: bytes) -> int:
    """Bytes of the coalesced long-header packets at the start of a datagram (RFC 9000 s12.2)."""
    buffer = Buffer(data=datagram)
    end = 0
    try:
        while end < len(datagram) and datagram[end] & 0x80:
            header = pull_quic_header(buffer, host_cid_length=0)
            end += header.packet_length
            buffer.seek(end)
    except (ValueError, BufferReadError):
        return len(datagram)
    return end


def encode_version_negotiation(header: LongHeader) -> bytes:
    """Answer a packet of a version we do not speak (RFC 9000 s6.1)."""
    return encode_quic_version_negotiation(
        source_cid=header.destination_cid,
        destination_cid=header.source_cid,
        supported_versions=list(SUPPORTED_VERSIONS),
    )


class RetryTokens:
    """Makes Retry packets and checks the tokens that come back (RFC 9000 s8.1.2)."""

    def __init__(self) -> None:
        self._handler = QuicRetryTokenHandler()

    def encode_retry(
        self, header: LongHeader, client: SocketAddress, source_cid: bytes, now: Instant
    ) -> bytes:
        """Ask the client to prove that it receives at its address."""
        token = self._handler.create_token(
            address=client,
            original_destination_connection_id=header.destination_cid,
            retry_source_connection_id=source_cid,
            now=now,
        )
        return encode_quic_retry(
            version=header.version,
            source_cid=source_cid,
            destination_cid=header.source_cid,
            original_destination_cid=header.destination_cid,
            retry_token=token,
        )

    def original_destination_cid(
        self, header: LongHeader, client: SocketAddress, now: Instant
    ) -> bytes:
        """Check the token of an Initial packet.

        Raises:
            DecodeError: the token is forged, expired or of another client.
        """
        try:
            return self._handler.validate_token(
                address=client,
                destination_cid=header.destination_cid,
                token=header.token,
                now=now,
            )
        except (ValueError, BufferReadError) as error:
            raise DecodeError(f"invalid Retry token: {error}") from error


def encode_invalid_token_close(header: LongHeader) -> bytes:
    """Refuse an Initial whose token is invalid, at once (RFC 9000 s8.1.3)."""
    crypto = CryptoPair()
    # The Initial keys come from the connection ID that the client chose (RFC 9001 s5.2).
    crypto.setup_initial(cid=header.destination_cid, is_client=False, version=header.version)
    builder = QuicPacketBuilder(
        host_cid=header.destination_cid,
        is_client=False,
        max_datagram_size=SMALLEST_MAX_DATAGRAM_SIZE,
        peer_cid=header.source_cid,
        version=header.version,
    )
    builder.start_packet(QuicPacketType.INITIAL, crypto)
    frame = builder.start_frame(FrameType.CONNECTION_CLOSE, capacity=_CLOSE_CAPACITY)
    for field in (TransportErrorCode.INVALID_TOKEN, FrameType.PADDING, 0):
        frame.push_uint_var(field)
    datagrams, _ = builder.flush()
    return datagrams[0]
