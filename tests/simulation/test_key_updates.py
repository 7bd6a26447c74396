"""Key updates while packets fly: reordered, lost, from both sides at once, forced by the AEAD."""

import itertools
from functools import partial

import pytest
from aioquic.tls import CipherSuite

from mqvpn_core.ids import PathId
from mqvpn_core.quic import key_phases, key_schedule
from mqvpn_core.quic.events import KeysUpdated
from mqvpn_core.quic.key_schedule import AeadLimits
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.testing.link_elements import (
    Blackhole,
    Delay,
    Direction,
    Duplicate,
    Jitter,
    LinkElement,
    Loss,
    OneWay,
    Reorder,
)
from mqvpn_core.testing.pair import Pair, PairConfig
from mqvpn_core.wire.code_points import TransportErrorCode
from tests.simulation.rules import PairRules

pytestmark = pytest.mark.slow

DELAY = Delay(0.02)
SUITES = [
    CipherSuite.AES_128_GCM_SHA256,
    CipherSuite.AES_256_GCM_SHA384,
    CipherSuite.CHACHA20_POLY1305_SHA256,
]


def pair_with(*elements: LinkElement, seed: int = 1, suite: CipherSuite = SUITES[0]) -> Pair:
    config = TransportConfig(keep_alive=None, cipher_suites=(suite,))
    return Pair(seed, PairConfig(client=config, server=config, client_link=(*elements, DELAY)))


def chat(pair: Pair, rounds: int) -> None:
    """Send numbered datagrams both ways, one every 5 ms."""
    for index in range(rounds):
        payload = b"%06d" % index
        pair.client.send_datagrams([payload], pair.simulator.now)
        pair.server.send_datagrams([payload], pair.simulator.now)
        pair.simulator.run_for(0.005)


@pytest.mark.parametrize("suite", SUITES)
def test_an_update_loses_nothing_that_is_in_flight(suite: CipherSuite) -> None:
    with pair_with(suite=suite) as pair:
        rules = PairRules(pair, suite)
        pair.handshake()
        for asker in (pair.client, pair.server, pair.client):
            asker.request_key_update(pair.simulator.now)
            chat(pair, 200)
        pair.simulator.run_for(1)
        expected = [b"%06d" % index for index in range(200)] * 3
        assert pair.client.received_datagrams == expected
        assert pair.server.received_datagrams == expected
        by_client = [event.initiated_locally for event in pair.client.events_of(KeysUpdated)]
        by_server = [event.initiated_locally for event in pair.server.events_of(KeysUpdated)]
        assert by_client == [True, False, True]
        assert by_server == [False, True, False]
        assert pair.client.connection.statistics().undecryptable_packets == 0
        assert pair.server.connection.statistics().undecryptable_packets == 0
        rules.finish()


@pytest.mark.parametrize("seed", range(10))
def test_packets_reordered_round_an_update_are_still_opened(seed: int) -> None:
    with pair_with(Reorder(0.3, 0.03), Jitter(0.02), Duplicate(0.1), seed=seed) as pair:
        rules = PairRules(pair)
        pair.handshake()
        for asker in (pair.client, pair.server):
            asker.request_key_update(pair.simulator.now)
            chat(pair, 150)
        pair.simulator.run_for(1)
        expected = sorted([b"%06d" % index for index in range(150)] * 2)
        # Nothing is lost on this link, only mixed up.
        assert sorted(pair.client.received_datagrams) == expected
        assert sorted(pair.server.received_datagrams) == expected
        assert pair.client.connection.statistics().undecryptable_packets == 0
        assert pair.server.connection.statistics().undecryptable_packets == 0
        rules.finish()


@pytest.mark.parametrize("seed", range(10))
def test_updates_survive_loss(seed: int) -> None:
    with pair_with(Loss(0.2), seed=seed) as pair:
        rules = PairRules(pair)
        pair.handshake()
        data = bytes(30_000)
        for stream_id in (0, 4, 8):
            pair.client.request_key_update(pair.simulator.now)
            pair.server.request_key_update(pair.simulator.now)
            pair.client.send_stream(stream_id, data, end_stream=True)
            is_done = partial(pair.server.ended_streams.__contains__, stream_id)
            pair.simulator.run_until(is_done, limit=60)
            pair.simulator.run_for(10)
        updates = [event.key_phase for event in pair.client.events_of(KeysUpdated)]
        assert updates == list(range(1, len(updates) + 1))
        assert len(updates) >= 3
        rules.finish()


def test_simultaneous_updates_are_one_update() -> None:
    with pair_with() as pair:
        rules = PairRules(pair)
        pair.handshake()
        chat(pair, 20)
        pair.client.request_key_update(pair.simulator.now)
        pair.server.request_key_update(pair.simulator.now)
        chat(pair, 100)
        pair.simulator.run_for(1)
        for peer in (pair.client, pair.server):
            assert [event.key_phase for event in peer.events_of(KeysUpdated)] == [1]
            assert len(peer.received_datagrams) == 120
        rules.finish()


def test_an_update_whose_packets_are_lost_is_not_repeated_until_heard() -> None:
    with pair_with() as pair:
        pair.handshake()
        chat(pair, 20)
        start = pair.simulator.elapsed
        outage = OneWay(Direction.UP, Blackhole(start, start + 1.0))
        pair.simulator.link("client", "wifi").replace([outage, DELAY])
        for _ in range(3):
            pair.client.request_key_update(pair.simulator.now)
            chat(pair, 20)
        assert [event.key_phase for event in pair.client.events_of(KeysUpdated)] == [1]
        assert not pair.server.events_of(KeysUpdated)
        chat(pair, 300)
        pair.simulator.run_for(2)
        # The wish from the outage is granted once the first update is through.
        assert [event.key_phase for event in pair.client.events_of(KeysUpdated)] == [1, 2]
        assert [event.key_phase for event in pair.server.events_of(KeysUpdated)] == [1, 2]


def test_updates_keep_their_distance() -> None:
    """RFC 9001 s6.1, s6.5: three PTOs after the acknowledgment of the last one."""
    with pair_with() as pair:
        pair.handshake()
        times: list[float] = []
        for _ in range(400):
            pair.client.request_key_update(pair.simulator.now)
            before = len(pair.client.events_of(KeysUpdated))
            chat(pair, 1)
            if len(pair.client.events_of(KeysUpdated)) > before:
                times.append(pair.simulator.elapsed)
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert len(gaps) >= 3
        assert min(gaps) >= 3 * 0.04
        assert pair.server.connection.statistics().undecryptable_packets == 0


def test_keys_are_updated_regularly_when_asked_to() -> None:
    config = TransportConfig(keep_alive=0.5, key_update_interval=2.0)
    passive = TransportConfig(keep_alive=None)
    with Pair(1, PairConfig(client=config, server=passive, client_link=(DELAY,))) as pair:
        pair.handshake()
        pair.simulator.run_for(21)
        updates = pair.client.events_of(KeysUpdated)
        assert 8 <= len(updates) <= 11
        assert all(event.initiated_locally for event in updates)


def limit_keys(monkeypatch: pytest.MonkeyPatch, *, seals: int, forgeries: int = 1 << 36) -> None:
    """Let keys wear out early."""
    limits = AeadLimits(confidentiality=seals, integrity=forgeries)
    for module in (key_phases, key_schedule):
        monkeypatch.setattr(module, "aead_limits", lambda _suite: limits)


def test_the_confidentiality_limit_forces_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_keys(monkeypatch, seals=2200)
    with pair_with() as pair:
        rules = PairRules(pair)
        pair.handshake()
        chat(pair, 2500)
        pair.simulator.run_for(1)
        assert len(pair.client.received_datagrams) == 2500
        assert len(pair.server.received_datagrams) == 2500
        assert len(pair.client.events_of(KeysUpdated)) >= 2
        for is_client in (True, False):
            packets = rules.wiretap.of(is_from_client=is_client)
            phases = [packet.key_phase for packet in packets]
            assert max(phases.count(phase) for phase in set(phases)) <= 2200
        rules.finish()


def test_worn_out_keys_close_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer never acknowledges: no update is possible, and the limit must hold."""
    limit_keys(monkeypatch, seals=1100)
    with pair_with() as pair:
        pair.handshake()
        chat(pair, 5)
        pair.simulator.link("client", "wifi").replace([OneWay(Direction.DOWN, Loss(1.0)), DELAY])
        for _ in range(1200):
            pair.client.connection._paths[PathId(0)].ping_is_due = True
            pair.simulator.run_for(0.01)
            if pair.client.termination is not None:
                break
        assert pair.client.termination is not None
        assert pair.client.termination.error_code == TransportErrorCode.AEAD_LIMIT_REACHED
        pair.simulator.run_for(5)
        # The server's keys wear out as well: each side says so, whichever comes first.
        assert pair.server.termination is not None
        assert pair.server.termination.error_code == TransportErrorCode.AEAD_LIMIT_REACHED


def test_too_many_forgeries_close_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_keys(monkeypatch, seals=1 << 23, forgeries=50)
    with pair_with() as pair:
        rules = PairRules(pair)
        pair.handshake()
        chat(pair, 5)
        sample = rules.wiretap.of(is_from_client=True)[-1].datagram
        for index in range(60):
            forged = sample.payload[:-1] + bytes([sample.payload[-1] ^ (index + 1)])
            pair.simulator.inject(sample._replace(payload=forged))
        pair.simulator.run_for(5)
        assert pair.server.termination is not None
        assert pair.server.termination.error_code == TransportErrorCode.AEAD_LIMIT_REACHED
        assert pair.client.termination is not None
