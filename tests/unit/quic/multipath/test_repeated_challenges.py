"""Validation of one four-tuple when the first challenges had to be small (RFC 9000 s8.2.1)."""

from mqvpn_core.ids import FourTuple, Instant, SocketAddress
from mqvpn_core.quic.network_paths import NetworkPath, NetworkPathFactory
from mqvpn_core.quic.transport_config import TransportConfig

FOUR_TUPLE = FourTuple(SocketAddress("192.0.2.1", 443), SocketAddress("10.0.0.2", 5000))
PROBE_TIMEOUT = 0.3


def validating(now: float = 100.0) -> NetworkPath:
    path = NetworkPathFactory(TransportConfig()).make(FOUR_TUPLE, 0)
    path.start_validation(Instant(now), PROBE_TIMEOUT)
    return path


def test_mp_35_an_answer_to_a_small_challenge_proves_the_address_only() -> None:
    path = validating()
    small = path.next_challenge(b"small  1", Instant(100.0))
    path.note_small_challenge(small)
    assert path.on_response(small)
    assert path.is_validated
    assert path.amplification_room() is None
    assert path.next_timeout() is not None
    assert path.challenge_is_due(Instant(100.1))
    full = path.next_challenge(b"full   1", Instant(100.1))
    assert path.on_response(full)
    assert not path.is_validating
    assert path.next_timeout() is None


def test_mp_35_the_size_may_be_proven_for_longer_than_the_address() -> None:
    path = validating()
    small = path.next_challenge(b"small  1", Instant(100.0))
    path.note_small_challenge(small)
    path.on_response(small)
    asked = 0
    for step in range(300):
        now = Instant(100.1 + step / 100)
        assert not path.has_failed(now)
        if path.challenge_is_due(now):
            path.next_challenge(b"full%4d" % asked, now)
            asked += 1
    assert asked >= 4
    assert path.has_failed(Instant(105.0))
    assert not path.has_failed(Instant(105.0)), "told once"


def test_mp_35_an_answer_to_a_full_challenge_is_enough() -> None:
    path = validating()
    full = path.next_challenge(b"full   1", Instant(100.0))
    assert path.on_response(full)
    assert not path.is_validating


def test_mp_33_an_answer_that_nobody_asked_for_proves_nothing() -> None:
    path = validating()
    path.next_challenge(b"question", Instant(100.0))
    assert not path.on_response(b"answer!!")
    assert not path.is_validated
    assert path.on_response(b"question")
    assert not path.on_response(b"question"), "once"
