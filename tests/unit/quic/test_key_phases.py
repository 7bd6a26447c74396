"""Key updates: who may start one, and which keys open what comes across it (RFC 9001 s6)."""

import pytest

from mqvpn_core.dataplane.kernel import PacketKeys, ShortHeader, seal_batch
from mqvpn_core.errors import LocalProtocolError, RemoteProtocolError
from mqvpn_core.quic.key_schedule import key_schedule
from mqvpn_core.quic.protection import (
    PacketProtection,
)
from mqvpn_core.wire.code_points import TransportErrorCode
from tests.unit.quic.protected_ends import (
    CID,
    PTO,
    SUITE,
    VERSION_1,
    End,
    at,
    ends,
    secret_bytes,
    settle,
)


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
