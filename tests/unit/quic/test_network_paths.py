"""Validation and anti-amplification of one four-tuple (RFC 9000 s8)."""

from mqvpn_core.ids import FourTuple, Instant, SocketAddress
from mqvpn_core.quic.network_paths import NetworkPath, NetworkPathFactory
from mqvpn_core.quic.transport_config import TransportConfig

V4 = FourTuple(SocketAddress("10.0.0.1", 1), SocketAddress("192.0.2.1", 443))
V6 = FourTuple(SocketAddress("fd00::1", 1), SocketAddress("2001:db8::1", 443))


def new_path() -> NetworkPath:
    return NetworkPathFactory(TransportConfig()).make(V4, 0)


def test_three_times_what_was_received_until_validated() -> None:
    path = new_path()
    assert path.amplification_room() == 0
    path.on_datagram_received(1000)
    path.on_sent(2500)
    assert path.amplification_room() == 500
    path.on_sent(900)
    assert path.amplification_room() == 0
    path.is_validated = True
    assert path.amplification_room() is None


def test_only_the_data_of_our_challenge_validates() -> None:
    path = new_path()
    path.start_validation(Instant(10.0), 0.3)
    assert path.challenge_is_due(Instant(10.0))
    path.next_challenge(b"12345678", Instant(10.0))
    assert not path.on_response(b"87654321")
    assert path.amplification_room() is not None
    assert path.on_response(b"12345678")
    assert path.is_validated
    assert path.next_timeout() is None


def test_challenges_are_repeated_ever_more_rarely_with_new_data() -> None:
    path = new_path()
    path.start_validation(Instant(0.0), 1.0)
    sent_at: list[float] = []
    now = Instant(0.0)
    while not path.has_failed(now):
        if path.challenge_is_due(now):
            path.next_challenge(len(sent_at).to_bytes(8, "big"), now)
            sent_at.append(now)
        due = path.next_timeout()
        assert due is not None
        now = max(due, now)
    assert sent_at == [0.0, 0.5, 1.5]
    assert now == 3.0  # RFC 9000 s8.2.4: three times the PTO
    assert path.next_timeout() is None


def test_an_answer_to_an_earlier_challenge_counts() -> None:
    path = new_path()
    path.start_validation(Instant(0.0), 1.0)
    path.next_challenge(b"first...", Instant(0.0))
    path.next_challenge(b"second..", Instant(0.5))
    assert path.on_response(b"first...")


def test_answers_due_are_bounded_and_in_order() -> None:
    path = new_path()
    for number in range(100):
        path.on_challenge(number.to_bytes(8, "big"))
    answers = []
    while (answer := path.next_response()) is not None:
        answers.append(int.from_bytes(answer, "big"))
    assert answers == list(range(92, 100))


def test_ipv6_leaves_room_for_its_longer_header_and_the_peers_limit_counts() -> None:
    factory = NetworkPathFactory(TransportConfig(max_udp_payload=1472))

    def ceiling(four_tuple: FourTuple) -> int:
        pmtu = factory.make(four_tuple, 0).pmtu
        pmtu.start(Instant(0.0))
        largest = pmtu.current
        while (size := pmtu.next_probe(Instant(0.0))) is not None:
            pmtu.on_probe_sent(size, Instant(0.0))
            pmtu.on_probe_acked(size, Instant(0.0))
            largest = size
        return largest

    assert ceiling(V4) == 1472
    assert ceiling(V6) == 1452
    factory.set_peer_limits(max_udp_payload=1300, max_ack_delay=0.025)
    assert ceiling(V4) == 1300
