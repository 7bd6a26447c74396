"""Protection of 1-RTT packets: keys, numbers, forgeries, limits (RFC 9001 s5, s6.6)."""

import pytest
from aioquic._crypto import AEAD, HeaderProtection
from aioquic.quic.crypto import derive_key_iv_hp
from aioquic.tls import CipherSuite as StockSuite

from mqvpn_core.dataplane.kernel import CipherSuite, PacketKeys, ShortHeader, seal_batch
from mqvpn_core.errors import LocalProtocolError, RemoteProtocolError
from mqvpn_core.ids import FourTuple, SocketAddress
from mqvpn_core.quic.key_phases import RESERVED_PACKETS
from mqvpn_core.quic.key_schedule import QUIC_VERSION_2, aead_limits, key_schedule
from mqvpn_core.quic.protection import (
    OpenedPacket,
    PacketProtection,
    packet_number_length,
    sealed_overhead,
)
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams
from mqvpn_core.wire.code_points import TransportErrorCode
from tests.unit.quic.protected_ends import (
    CID,
    PTO,
    SUITE,
    VERSION_1,
    End,
    at,
    ends,
    make_pair,
    secret_bytes,
    settle,
)

FOUR_TUPLE = FourTuple(SocketAddress("192.0.2.1", 443), SocketAddress("192.0.2.2", 5000))


class TestKeySchedule:
    def test_vectors_of_rfc_9001(self) -> None:
        # RFC 9001 appendix A.5.
        secret = bytes.fromhex("9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b")
        schedule = key_schedule(CipherSuite.CHACHA20_POLY1305_SHA256, secret, VERSION_1)
        assert schedule.header_protection_key.hex() == (
            "25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4"
        )
        assert schedule.updated().secret.hex() == (
            "1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9"
        )
        (packet,) = seal_batch(
            schedule.packet_keys(), ShortHeader(b"", 0, 3), 0, 654360564, [b"\x01"]
        )
        assert packet.hex() == "4cfe4189655e5cd55c41f69080575d7999c25a5bfb"

    @pytest.mark.parametrize("version", [VERSION_1, QUIC_VERSION_2])
    @pytest.mark.parametrize("suite", list(CipherSuite))
    def test_keys_are_those_of_aioquic(self, suite: CipherSuite, version: int) -> None:
        secret = secret_bytes(suite, 7)
        key, iv, header_key = derive_key_iv_hp(
            cipher_suite=StockSuite(suite), secret=secret, version=version
        )
        schedule = key_schedule(suite, secret, version)
        assert schedule.header_protection_key == header_key
        ours, stock = schedule.packet_keys(), PacketKeys(suite, key, iv, header_key)
        common = (ShortHeader(CID, 0, 4), 1, 2, [b"payload"])
        assert seal_batch(ours, *common) == seal_batch(stock, *common)

    def test_the_versions_have_different_update_labels(self) -> None:
        secret = secret_bytes(SUITE, 7)
        updated = {
            key_schedule(SUITE, secret, version).updated().secret
            for version in (VERSION_1, QUIC_VERSION_2)
        }
        assert len(updated) == 2

    def test_updates_keep_the_header_protection_key(self) -> None:
        schedule = key_schedule(SUITE, secret_bytes(SUITE, 7), VERSION_1)
        assert schedule.updated().header_protection_key == schedule.header_protection_key
        assert schedule.updated().secret != schedule.secret

    def test_other_suites_are_refused(self) -> None:
        with pytest.raises(LocalProtocolError, match="0x1304"):
            key_schedule(0x1304, bytes(32), VERSION_1)


class TestSizes:
    @pytest.mark.parametrize(
        ("first", "count", "acknowledged", "length"),
        [
            (0, 1, -1, 2),
            (0xAC5C02, 1, 0xABE8B3, 2),  # RFC 9000 appendix A.2
            (0xACE8FE, 1, 0xABE8B3, 3),
            (1000, 1, 999, 2),
            (32_766, 1, -1, 2),
            (32_767, 1, -1, 3),
            (32_700, 67, -1, 2),
            (32_700, 68, -1, 3),
            ((1 << 23) - 2, 1, -1, 3),
            ((1 << 23) - 1, 1, -1, 4),
        ],
    )
    def test_packet_numbers_are_as_long_as_needed(
        self, first: int, count: int, acknowledged: int, length: int
    ) -> None:
        assert packet_number_length(first, count, acknowledged) == length

    def test_four_bytes_are_the_end(self) -> None:
        assert packet_number_length((1 << 31) - 2, 1, -1) == 4
        with pytest.raises(LocalProtocolError):
            packet_number_length((1 << 31) - 1, 1, -1)

    def test_overhead_is_what_sealing_adds(self) -> None:
        client, _ = make_pair()
        (packet,) = client.seal(
            path_id=0,
            first_packet_number=0,
            destination_cid=CID,
            largest_acknowledged=-1,
            payloads=[bytes(100)],
        )
        assert len(packet) == 100 + sealed_overhead(len(CID), 2)
        assert sealed_overhead(len(CID)) == 1 + 8 + 4 + 16


class TestSealAndOpen:
    @pytest.mark.parametrize("suite", list(CipherSuite))
    @pytest.mark.parametrize("version", [VERSION_1, QUIC_VERSION_2])
    def test_both_directions(self, suite: CipherSuite, version: int) -> None:
        client, server = (End(protection) for protection in make_pair(suite, version))
        assert server.open(client.seal(0, 3)) == [0, 1, 2]
        assert client.open(server.seal(5, 2), 5) == [0, 1]

    def test_plaintexts_come_back(self) -> None:
        client, server = ends()
        assert server.protection.open(
            path_id=0, largest_received=-1, cid_length=8, packets=client.seal(), now=at(0)
        ) == [OpenedPacket(0, b"packet 0", has_reserved_bits=False)]

    def test_without_keys_it_is_our_mistake(self) -> None:
        protection = PacketProtection(is_client=True)
        assert not protection.can_send
        assert not protection.can_receive
        assert not protection.needs_update
        assert protection.next_timeout(PTO) is None
        assert not protection.may_initiate_update(at(99), PTO)
        with pytest.raises(LocalProtocolError):
            End(protection).seal()
        with pytest.raises(LocalProtocolError):
            End(protection).open([bytes(40)])

    def test_one_direction_may_have_keys_before_the_other(self) -> None:
        protection = PacketProtection(is_client=False)
        protection.install_send(
            cipher_suite=SUITE, secret=secret_bytes(SUITE, 1), version=VERSION_1
        )
        assert protection.can_send
        assert not protection.can_receive

    def test_garbage_is_dropped_and_counted(self) -> None:
        client, server = ends()
        good = client.seal(0, 2)
        batch = [good[0], b"\x40" + bytes(60), b"", good[1]]
        assert server.open(batch) == [0, None, None, 1]
        # What is too short or has no fixed bit never reaches the AEAD.
        assert server.protection.failed_open_count == 1

    @pytest.mark.parametrize("count", [1, 2])
    def test_reserved_bits_are_a_violation(self, count: int) -> None:
        """Of a packet alone, and of one among several that were read at once."""
        _, server = ends()
        key, iv, header_key = derive_key_iv_hp(
            cipher_suite=StockSuite(SUITE), secret=secret_bytes(SUITE, 1), version=VERSION_1
        )
        plain_header = b"\x4b" + CID + bytes(4)
        sealed = AEAD(b"aes-128-gcm", key, iv).encrypt(b"payload", plain_header, 0)
        packet = HeaderProtection(b"aes-128-ecb", header_key).apply(plain_header, sealed)
        run = ReceivedDatagrams(FOUR_TUPLE, packet * count, len(packet), 0)

        def open_all() -> None:
            if count == 1:
                server.open([packet])
            server.protection.open_run(
                path_id=0, largest_received=-1, cid_length=len(CID), run=run, now=at(0.0)
            )

        with pytest.raises(RemoteProtocolError) as caught:
            open_all()
        assert caught.value.error_code == TransportErrorCode.PROTOCOL_VIOLATION

    def test_forgeries_of_another_key_phase_count_too(self) -> None:
        client, server = ends()
        settle(client, server, 0.0)
        client.protection.initiate_update(at(1.0))
        (packet,) = client.seal()
        before = server.protection.failed_open_count
        assert server.open([packet[:-1] + bytes([packet[-1] ^ 1])], now=1.0) == [None]
        assert server.protection.failed_open_count == before + 1
        assert server.protection.receive_key_phase == 0

    def test_too_many_forgeries_end_the_connection(self) -> None:
        _, server = ends()
        limit = aead_limits(SUITE).integrity
        server.protection.failed_open_count = limit - 1
        forgery = b"\x40" + bytes(60)
        server.open([forgery])
        with pytest.raises(RemoteProtocolError) as caught:
            server.open([forgery])
        assert caught.value.error_code == TransportErrorCode.AEAD_LIMIT_REACHED


class TestLimits:
    def test_limits_are_those_of_rfc_9001(self) -> None:
        # RFC 9001 s6.6.
        for suite in (CipherSuite.AES_128_GCM_SHA256, CipherSuite.AES_256_GCM_SHA384):
            assert aead_limits(suite).confidentiality == 2**23
            assert aead_limits(suite).integrity == 2**52
        assert aead_limits(CipherSuite.CHACHA20_POLY1305_SHA256).integrity == 2**36

    def test_an_update_is_wanted_at_half_of_the_limit_over_all_paths(self) -> None:
        client, _ = ends()
        assert client.protection._send is not None
        client.protection._send.sealed_count = 2**22 - 3
        client.seal(0)
        client.seal(1)
        assert not client.protection.needs_update
        client.seal(2)
        assert client.protection.needs_update

    def test_an_update_starts_the_count_anew(self) -> None:
        client, server = ends()
        assert client.protection._send is not None
        client.protection._send.sealed_count = 2**22
        settle(client, server, 0.0)
        client.protection.initiate_update(at(1.0))
        assert not client.protection.needs_update

    def test_without_an_update_there_is_enough_left_to_close(self) -> None:
        client, _ = ends()
        assert client.protection._send is not None
        client.protection._send.sealed_count = 2**23 - RESERVED_PACKETS
        with pytest.raises(RemoteProtocolError) as caught:
            client.seal()
        assert caught.value.error_code == TransportErrorCode.AEAD_LIMIT_REACHED
        for _ in range(RESERVED_PACKETS):
            client.seal()
        with pytest.raises(LocalProtocolError):
            client.seal()
