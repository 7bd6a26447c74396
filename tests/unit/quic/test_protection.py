from collections.abc import Sequence

import pytest
from aioquic._crypto import AEAD, HeaderProtection
from aioquic.quic.crypto import derive_key_iv_hp
from aioquic.tls import CipherSuite as StockSuite

from mqvpn_core.dataplane.kernel import CipherSuite, PacketKeys, ShortHeader, seal_batch
from mqvpn_core.errors import LocalProtocolError, RemoteProtocolError
from mqvpn_core.ids import Instant
from mqvpn_core.quic.key_phases import RESERVED_PACKETS
from mqvpn_core.quic.key_schedule import QUIC_VERSION_2, aead_limits, key_schedule
from mqvpn_core.quic.protection import (
    OpenedPacket,
    PacketProtection,
    packet_number_length,
    sealed_overhead,
)
from mqvpn_core.wire.code_points import TransportErrorCode

VERSION_1 = 1
CID = b"12345678"
PTO = 0.3
SUITE = CipherSuite.AES_128_GCM_SHA256


def at(seconds: float) -> Instant:
    return Instant(seconds)


def secret_bytes(suite: CipherSuite, seed: int) -> bytes:
    return bytes([seed]) * (48 if suite is CipherSuite.AES_256_GCM_SHA384 else 32)


def make_pair(
    suite: CipherSuite = SUITE, version: int = VERSION_1
) -> tuple[PacketProtection, PacketProtection]:
    client, server = PacketProtection(is_client=True), PacketProtection(is_client=False)
    for sender, receiver, seed in ((client, server, 1), (server, client, 2)):
        secret = secret_bytes(suite, seed)
        sender.install_send(cipher_suite=suite, secret=secret, version=version)
        receiver.install_receive(cipher_suite=suite, secret=secret, version=version)
        sender.on_handshake_confirmed()
    return client, server


class End:
    """A protection with the packet numbers of its paths."""

    def __init__(self, protection: PacketProtection) -> None:
        self.protection = protection
        self.next_number: dict[int, int] = {}
        self.largest_received: dict[int, int] = {}

    def seal(self, path_id: int = 0, count: int = 1) -> list[bytes]:
        first = self.next_number.get(path_id, 0)
        self.next_number[path_id] = first + count
        return self.protection.seal(
            path_id=path_id,
            first_packet_number=first,
            destination_cid=CID,
            largest_acknowledged=-1,
            payloads=[b"packet %d" % number for number in range(first, first + count)],
        )

    def open(
        self, packets: Sequence[bytes], path_id: int = 0, now: float = 0.0
    ) -> list[int | None]:
        """Return the packet numbers of what opened."""
        opened = self.protection.open(
            path_id=path_id,
            largest_received=self.largest_received.get(path_id, -1),
            cid_length=len(CID),
            packets=packets,
            now=at(now),
        )
        numbers = [packet.packet_number if packet else None for packet in opened]
        known = [number for number in numbers if number is not None]
        self.largest_received[path_id] = max(known, default=-1)
        return numbers


def ends() -> tuple[End, End]:
    client, server = make_pair()
    return End(client), End(server)


def settle(starter: End, other: End, now: float) -> None:
    """Let both sides exchange a packet in the current phase, acknowledgments included."""
    other.open(starter.seal(), now=now)
    starter.open(other.seal(), now=now)
    for end in (starter, other):
        end.protection.on_ack_of_phase(end.protection.send_key_phase, at(now))


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

    def test_reserved_bits_are_a_violation(self) -> None:
        _, server = ends()
        key, iv, header_key = derive_key_iv_hp(
            cipher_suite=StockSuite(SUITE), secret=secret_bytes(SUITE, 1), version=VERSION_1
        )
        plain_header = b"\x4b" + CID + bytes(4)
        sealed = AEAD(b"aes-128-gcm", key, iv).encrypt(b"payload", plain_header, 0)
        packet = HeaderProtection(b"aes-128-ecb", header_key).apply(plain_header, sealed)
        with pytest.raises(RemoteProtocolError) as caught:
            server.open([packet])
        assert caught.value.error_code == TransportErrorCode.PROTOCOL_VIOLATION

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


class TestInitiatingUpdates:
    def test_not_before_the_handshake_is_confirmed(self) -> None:
        protection = PacketProtection(is_client=True)
        secret = secret_bytes(SUITE, 1)
        protection.install_send(cipher_suite=SUITE, secret=secret, version=VERSION_1)
        protection.install_receive(cipher_suite=SUITE, secret=secret, version=VERSION_1)
        protection.on_ack_of_phase(0, at(0.0))
        assert not protection.may_initiate_update(at(9.0), PTO)
        with pytest.raises(LocalProtocolError):
            protection.initiate_update(at(9.0))
        protection.on_handshake_confirmed()
        assert protection.may_initiate_update(at(9.0), PTO)

    def test_not_before_the_phase_is_acknowledged(self) -> None:
        client, _ = ends()
        client.seal()
        assert not client.protection.may_initiate_update(at(9.0), PTO)
        with pytest.raises(LocalProtocolError):
            client.protection.initiate_update(at(9.0))
        client.protection.on_ack_of_phase(0, at(9.0))
        assert client.protection.may_initiate_update(at(9.0), PTO)

    def test_the_next_one_waits_three_probe_timeouts_after_confirmation(self) -> None:
        # RFC 9001 s6.5, with the largest PTO of all paths.
        client, server = ends()
        settle(client, server, 0.0)
        client.protection.initiate_update(at(1.0))
        assert not client.protection.may_initiate_update(at(99.0), PTO)
        settle(client, server, 100.0)
        assert not client.protection.may_initiate_update(at(100.0 + 3 * PTO - 0.01), PTO)
        assert client.protection.may_initiate_update(at(100.0 + 3 * PTO + 0.01), PTO)
        assert not client.protection.may_initiate_update(at(100.0 + 3 * PTO + 0.01), 2 * PTO)

    def test_both_sides_follow_and_report(self) -> None:
        client, server = ends()
        settle(client, server, 0.0)
        client.protection.initiate_update(at(1.0))
        assert (client.protection.send_key_phase, client.protection.receive_key_phase) == (1, 0)
        assert server.open(client.seal(), now=1.0) == [1]
        assert (server.protection.send_key_phase, server.protection.receive_key_phase) == (1, 1)
        assert client.open(server.seal(), now=1.1) == [1]
        assert (client.protection.send_key_phase, client.protection.receive_key_phase) == (1, 1)
        assert client.protection.take_update_events() == [(1, True)]
        assert server.protection.take_update_events() == [(1, False)]
        assert server.protection.take_update_events() == []

    def test_a_local_update_drops_nothing_the_peer_has_in_flight(self) -> None:
        client, server = ends()
        settle(client, server, 0.0)
        in_flight = server.seal(0, 10)
        client.protection.initiate_update(at(1.0))
        assert client.open(in_flight, now=1.1) == list(range(1, 11))

    def test_both_sides_may_start_at_once(self) -> None:
        client, server = ends()
        settle(client, server, 0.0)
        client.protection.initiate_update(at(1.0))
        server.protection.initiate_update(at(1.0))
        from_client, from_server = client.seal(0, 3), server.seal(0, 3)
        assert server.open(from_client, now=1.1) == [1, 2, 3]
        assert client.open(from_server, now=1.1) == [1, 2, 3]
        assert client.protection.send_key_phase == server.protection.send_key_phase == 1

    def test_many_updates_in_a_row(self) -> None:
        client, server = ends()
        for round_number in range(1, 8):
            now = 10.0 * round_number
            settle(client, server, now)
            starter = client if round_number % 2 else server
            assert starter.protection.may_initiate_update(at(now + 5), PTO)
            starter.protection.initiate_update(at(now + 5))
            other = server if starter is client else client
            assert None not in other.open(starter.seal(0, 2), now=now + 5)
            assert None not in starter.open(other.seal(0, 2), now=now + 5)
            assert client.protection.receive_key_phase == round_number
            for end in (client, server):
                end.protection.handle_timeout(at(now + 9), PTO)
                assert end.protection.next_timeout(PTO) is None

    def test_an_ack_of_new_keys_under_old_keys_is_an_error(self) -> None:
        # RFC 9001 s6.2.
        client, server = ends()
        settle(client, server, 0.0)
        client.protection.initiate_update(at(1.0))
        client.open(server.seal(), now=1.1)
        with pytest.raises(RemoteProtocolError) as caught:
            client.protection.on_ack_of_phase(1, at(1.1))
        assert caught.value.error_code == TransportErrorCode.KEY_UPDATE_ERROR


class TestReceivingAcrossPhases:
    def updated(self) -> tuple[End, End, list[bytes], list[bytes]]:
        """Return both ends, five packets of phase 0 and five of phase 1, all from the client."""
        client, server = ends()
        settle(client, server, 0.0)
        old = client.seal(0, 5)
        client.protection.initiate_update(at(1.0))
        return client, server, old, client.seal(0, 5)

    def test_one_batch_may_span_an_update(self) -> None:
        _, server, old, new = self.updated()
        assert server.open(old + new, now=1.0) == list(range(1, 11))
        assert server.protection.receive_key_phase == 1

    def test_order_within_the_batch_does_not_matter(self) -> None:
        _, server, old, new = self.updated()
        mixed = [packet for pair in zip(new, old, strict=True) for packet in pair]
        assert sorted(number or 0 for number in server.open(mixed, now=1.0)) == list(range(1, 11))

    def test_packets_delayed_past_the_update_still_open(self) -> None:
        _, server, old, new = self.updated()
        assert server.open(new, now=1.0) == list(range(6, 11))
        assert server.open(old, now=1.5) == list(range(1, 6))
        assert server.protection.failed_open_count == 0

    def test_old_keys_go_after_three_probe_timeouts(self) -> None:
        _, server, old, new = self.updated()
        assert server.protection.next_timeout(PTO) is None
        server.open(new, now=1.0)
        due = server.protection.next_timeout(PTO)
        assert due == pytest.approx(1.0 + 3 * PTO)
        server.protection.handle_timeout(at(1.0 + 3 * PTO - 0.01), PTO)
        assert server.open(old[:1], now=1.8) == [1]
        server.protection.handle_timeout(at(1.0 + 3 * PTO), PTO)
        assert server.open(old[1:], now=2.0) == [None] * 4
        assert server.protection.next_timeout(PTO) is None

    def test_a_slow_path_is_read_with_the_keys_it_was_sealed_with(self) -> None:
        client, server = ends()
        settle(client, server, 0.0)
        slow_old = client.seal(1, 4)
        client.protection.initiate_update(at(1.0))
        slow_new, fast_new = client.seal(1, 4), client.seal(0, 4)
        assert server.open(fast_new, 0, 1.01) == [1, 2, 3, 4]
        # Path 1 was never heard of before: no packet number tells the phase.
        assert server.open(slow_old[:2], 1, 1.2) == [0, 1]
        assert server.open(slow_new[:2], 1, 1.2) == [4, 5]
        assert server.open(slow_old[2:], 1, 1.2) == [2, 3]
        assert server.open(slow_new[2:], 1, 1.2) == [6, 7]
        assert server.protection.receive_key_phase == 1

    def test_a_fresh_path_may_be_the_first_with_new_keys(self) -> None:
        client, server = ends()
        settle(client, server, 0.0)
        client.protection.initiate_update(at(1.0))
        assert server.open(client.seal(9, 3), 9, 1.1) == [0, 1, 2]
        assert server.protection.receive_key_phase == 1

    def test_forged_phases_change_nothing(self) -> None:
        client, server = ends()
        settle(client, server, 0.0)
        (packet,) = client.seal()
        flipped = bytes([packet[0] ^ 0x04]) + packet[1:]
        assert server.open([flipped], now=1.0) == [None]
        assert server.protection.receive_key_phase == 0
        assert server.protection.send_key_phase == 0
        assert server.open([packet], now=1.0) == [1]

    def test_two_updates_without_an_answer_are_an_error(self) -> None:
        # RFC 9001 s6.2: the client cannot have had an acknowledgment under the first new keys.
        client, server = ends()
        settle(client, server, 0.0)
        client.protection.initiate_update(at(1.0))
        server.open(client.seal(), now=1.1)
        client.protection._update_send(initiated_locally=True)
        with pytest.raises(RemoteProtocolError) as caught:
            server.open(client.seal(), now=1.1)
        assert caught.value.error_code == TransportErrorCode.KEY_UPDATE_ERROR

    def test_a_path_that_is_forgotten_leaves_no_history(self) -> None:
        client, server = ends()
        server.open(client.seal(3), 3)
        server.protection.forget_path(3)
        server.protection.forget_path(3)
        assert server.protection._numbers == {}


class TestPhaseOrder:
    """RFC 9001 s6.4: higher packet numbers never have older keys."""

    def keys(self, phase: int) -> PacketKeys:
        schedule = key_schedule(SUITE, secret_bytes(SUITE, 1), VERSION_1)
        for _ in range(phase):
            schedule = schedule.updated()
        return schedule.packet_keys()

    def packet(self, phase: int, number: int, path_id: int = 0) -> bytes:
        header = ShortHeader(CID, phase & 1, 4)
        (packet,) = seal_batch(self.keys(phase), header, path_id, number, [b"payload"])
        return packet

    @pytest.mark.parametrize(
        "arrivals",
        [
            pytest.param([(0, 0), (1, 10), (0, 11)], id="old keys behind new ones"),
            pytest.param([(0, 10), (1, 9)], id="new keys in front of old ones"),
            pytest.param([(0, 10), (1, 11), (1, 9)], id="new keys in front of old ones, later"),
            pytest.param([(1, 10), (0, 11)], id="fresh path"),
        ],
    )
    def test_breaches_end_the_connection(self, arrivals: list[tuple[int, int]]) -> None:
        _, server = ends()
        for phase, number in arrivals[:-1]:
            assert server.open([self.packet(phase, number)]) == [number]
        with pytest.raises(RemoteProtocolError) as caught:
            server.open([self.packet(*arrivals[-1])])
        assert caught.value.error_code == TransportErrorCode.KEY_UPDATE_ERROR

    def test_each_path_has_an_order_of_its_own(self) -> None:
        _, server = ends()
        assert server.open([self.packet(0, 0)]) == [0]
        assert server.open([self.packet(1, 3)]) == [3]
        assert server.open([self.packet(0, 900, path_id=1)], path_id=1) == [900]
        assert server.open([self.packet(1, 901, path_id=1)], path_id=1) == [901]
