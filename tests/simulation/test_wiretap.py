"""The wiretap opens what aioquic seals, and sees what it must see."""

import pytest
from aioquic.tls import CipherSuite

from mqvpn_core.ids import FourTuple, Instant, SocketAddress
from mqvpn_core.testing.entropy import seeded_libraries
from mqvpn_core.testing.link_elements import Delay
from mqvpn_core.testing.links import Link
from mqvpn_core.testing.simulator import Simulator
from mqvpn_core.wire.code_points import FrameType
from tests.interop.stock import (
    StockClient,
    StockServer,
    client_configuration,
    server_configuration,
)
from tests.simulation.injector import Injector, Oddities
from tests.simulation.wiretap import Wiretap, split_frames

CLIENT = SocketAddress("10.0.0.2", 5000)
SERVER = SocketAddress("192.0.2.1", 443)
SUITES = [
    CipherSuite.AES_128_GCM_SHA256,
    CipherSuite.AES_256_GCM_SHA384,
    CipherSuite.CHACHA20_POLY1305_SHA256,
]


class TappedPair:
    """A stock pair after its handshake, with a wiretap between."""

    def __init__(self, suite: CipherSuite) -> None:
        self.simulator = Simulator(1)
        self.wiretap = Wiretap(SERVER.port, suite)
        configuration = client_configuration([suite])
        configuration.secrets_log_file = self.wiretap.secrets_log
        self.client = StockClient(configuration, FourTuple(CLIENT, SERVER), is_http=False)
        self.server = StockServer(server_configuration([suite]), is_http=False)
        self.simulator.add_host("client", self.client, [Link("wifi", CLIENT.host, [Delay(0.02)])])
        self.simulator.add_host("server", self.server, [Link("eth0", SERVER.host)])
        self.simulator.add_tap(self.wiretap.on_datagram)
        self.client.connect(self.simulator.now)
        self.simulator.run_for(1)


@pytest.mark.parametrize("suite", SUITES)
def test_every_packet_is_opened_through_key_updates(suite: CipherSuite) -> None:
    with seeded_libraries(1):
        pair = TappedPair(suite)
        for turn in range(4):
            pair.client.connection.quic.send_stream_data(0, b"x" * 5000)
            if turn == 2:
                pair.client.connection.quic.request_key_update()
            pair.simulator.run_for(1)
        pair.client.connection.quic.close()
        pair.simulator.run_for(1)
    assert not pair.wiretap.unopened
    from_client = pair.wiretap.of(is_from_client=True)
    assert [packet.key_phase for packet in (from_client[0], from_client[-1])] == [0, 1]
    assert pair.wiretap.with_frame(FrameType.STREAM_LAST - 1, is_from_client=True)
    assert pair.wiretap.with_frame(FrameType.HANDSHAKE_DONE, is_from_client=False)
    assert pair.wiretap.with_frame(FrameType.ACK, is_from_client=False)


def test_a_repeated_packet_number_is_seen() -> None:
    with seeded_libraries(1):
        pair = TappedPair(SUITES[0])
    injector = Injector(pair.client.connection.quic, FourTuple(CLIENT, SERVER))
    fresh = injector.datagram(bytes([FrameType.PING]) * 20)
    repeated = injector.datagram(bytes(20), Oddities(packet_number=1))
    pair.wiretap.on_datagram(Instant(0), "sent", fresh)
    with pytest.raises(AssertionError, match="packet number 1 after"):
        pair.wiretap.on_datagram(Instant(0), "sent", repeated)


def test_reserved_bits_are_seen() -> None:
    with seeded_libraries(1):
        pair = TappedPair(SUITES[0])
    injector = Injector(pair.client.connection.quic, FourTuple(CLIENT, SERVER))
    odd = injector.datagram(bytes(20), Oddities(reserved_bits=1))
    with pytest.raises(AssertionError):
        pair.wiretap.on_datagram(Instant(0), "sent", odd)


def test_what_does_not_authenticate_is_not_opened() -> None:
    with seeded_libraries(1):
        pair = TappedPair(SUITES[0])
    injector = Injector(pair.client.connection.quic, FourTuple(CLIENT, SERVER))
    for oddities in (Oddities(is_damaged=True), Oddities(path_id=1)):
        pair.wiretap.on_datagram(Instant(0), "sent", injector.datagram(bytes(20), oddities))
    assert len(pair.wiretap.unopened) == 2


def test_frames_are_split() -> None:
    payload = bytes.fromhex("0000011a01020304050607080a040268693102686930616263")
    assert [(kind, len(data)) for kind, data in split_frames(payload)] == [
        (FrameType.PING, 1),
        (FrameType.PATH_CHALLENGE, 9),
        (0x0A, 5),
        (FrameType.DATAGRAM_WITH_LENGTH, 4),
        (FrameType.DATAGRAM, 4),
    ]
