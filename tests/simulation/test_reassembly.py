"""A peer that sends streams in crumbs: what waits for the missing pieces stays within bounds.

Every piece costs a look at all that wait already (RFC 9000 s21.7).
"""

import pytest
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicPacketBuilder

from mqvpn_core.ids import FourTuple, Instant
from mqvpn_core.quic.aioquic_bridge.credentials import ServerCertificate
from mqvpn_core.quic.aioquic_bridge.flow_control import MAX_RECEIVED_RANGES
from mqvpn_core.quic.endpoint import ConnectionAccepted, EndpointConfig, ServerEndpoint
from mqvpn_core.quic.transport_config import ServerTls, TransportConfig
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams
from mqvpn_core.testing.certificates import make_certificate
from mqvpn_core.testing.entropy import SeededEntropy, seeded_libraries
from mqvpn_core.wire.code_points import FrameType, TransportErrorCode
from tests.simulation.misbehaviour import (
    CLIENT,
    SERVER,
    assert_alive,
    assert_closed_with,
    inject,
    make_scene,
    v,
)

STREAM_WITH_OFFSET_AND_LENGTH = 0x0E
CRUMBS_A_PACKET = 100
DCID = b"original"
CERTIFICATE = make_certificate(1, "vpn.example")
IDENTITY = ServerCertificate(chain=(CERTIFICATE.certificate,), private_key=CERTIFICATE.private_key)


def crumbs(head: bytes, count: int) -> list[bytes]:
    """Frames of one byte each, with a gap before every one of them."""
    return [head + v(2 * number, 1) + b"x" for number in range(1, count + 1)]


def packets(frames: list[bytes]) -> list[bytes]:
    return [
        b"".join(frames[start : start + CRUMBS_A_PACKET])
        for start in range(0, len(frames), CRUMBS_A_PACKET)
    ]


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (v(STREAM_WITH_OFFSET_AND_LENGTH, 0), TransportErrorCode.INTERNAL_ERROR),
        (v(FrameType.CRYPTO), TransportErrorCode.CRYPTO_BUFFER_EXCEEDED),
    ],
    ids=["stream", "crypto"],
)
def test_a_stream_in_crumbs_ends_the_connection(head: bytes, code: int) -> None:
    with seeded_libraries(1):
        scene = make_scene("server")
        inject(scene, *packets(crumbs(head, MAX_RECEIVED_RANGES)))
        assert_alive(scene)
        inject(scene, *packets(crumbs(head, MAX_RECEIVED_RANGES + 1)))
        assert_closed_with(scene, code)


def initial(frames: bytes, number: int) -> bytes:
    """An Initial packet of a client, with keys that everybody can derive."""
    keys = CryptoPair()
    keys.setup_initial(cid=DCID, is_client=True, version=1)
    builder = QuicPacketBuilder(
        host_cid=b"client00",
        is_client=True,
        max_datagram_size=1200,
        packet_number=number,
        peer_cid=DCID,
        version=1,
    )
    builder.start_packet(QuicPacketType.INITIAL, keys)
    builder.start_frame(FrameType.CRYPTO).push_bytes(frames[1:])
    (datagram,), _ = builder.flush()
    return datagram


def test_a_handshake_in_crumbs_is_refused_before_anybody_is_known() -> None:
    with seeded_libraries(1):
        server = ServerEndpoint(
            EndpointConfig(
                transport=TransportConfig(),
                identity=ServerTls(certificate=IDENTITY),
                reset_key=b"r" * 32,
            ),
            SeededEntropy(1, "server"),
        )
        now = Instant(1.0)
        for number, payload in enumerate(packets(crumbs(v(FrameType.CRYPTO), 1000))):
            data = initial(payload, number)
            batch = ReceivedDatagrams(FourTuple(SERVER, CLIENT), data, len(data), 0)
            server.receive_datagrams(batch, now)
            server.transmits(now)
        accepted = server.next_event()
        assert isinstance(accepted, ConnectionAccepted)
        cause = accepted.connection.engine.close_cause
        assert cause is not None
        assert cause.error_code == TransportErrorCode.CRYPTO_BUFFER_EXCEEDED
        assert accepted.connection.is_ending
