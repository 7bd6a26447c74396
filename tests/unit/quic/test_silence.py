"""When silence on a path counts, and when our own process may simply not have read the answer."""

import pytest

from mqvpn_core.ids import FourTuple, Instant, PathId, SocketAddress
from mqvpn_core.quic.connection_ids import PeerConnectionIds
from mqvpn_core.quic.network_paths import NetworkPathFactory
from mqvpn_core.quic.paths import GRACE, MAX_GRACES, MIN_SILENCE, STALL, Path
from mqvpn_core.quic.sent_run import SentRun
from mqvpn_core.quic.transport_config import TransportConfig

SENT_AT = 100.0
LATE = STALL + 0.03


def waiting_path(rtt: float) -> Path:
    """Make a path on which a packet waits for its acknowledgement."""
    path = Path(
        PathId(1),
        peer_cids=PeerConnectionIds(initial=bytes(8)),
        make_network_path=NetworkPathFactory(TransportConfig()).make,
        four_tuple=FourTuple(SocketAddress("10.0.0.1", 1), SocketAddress("10.0.0.2", 2)),
    )
    for _ in range(50):
        path.current.recovery.rtt.update(rtt, 0.0, Instant(SENT_AT))
    run = SentRun(
        first=path.sent.reserve(1),
        count=1,
        sent_at=Instant(SENT_AT),
        packet_bytes=100,
        total_bytes=100,
        ack_eliciting=True,
        in_flight=True,
    )
    path.sent.record(run)
    path.unanswered_since = Instant(SENT_AT)
    return path


def due_at(path: Path) -> float:
    due = path.suspicion_due_at()
    assert due is not None
    return due


def test_a_fast_path_may_be_silent_for_as_long_as_a_busy_host_takes() -> None:
    assert due_at(waiting_path(0.001)) == SENT_AT + MIN_SILENCE


def test_a_slow_path_may_be_silent_for_a_probe_timeout() -> None:
    path = waiting_path(0.2)
    assert due_at(path) == SENT_AT + path.current.recovery.probe_timeout()
    assert due_at(path) > SENT_AT + 0.2


def test_a_timer_in_time_is_believed() -> None:
    path = waiting_path(0.001)
    due = due_at(path)
    assert not path.is_silent(Instant(due - 0.001))
    assert path.is_silent(Instant(due))
    assert path.is_silent(Instant(due + STALL))


def test_a_late_timer_gives_time_to_read_what_has_come() -> None:
    path = waiting_path(0.001)
    late = Instant(due_at(path) + LATE)
    assert not path.is_silent(late)
    assert due_at(path) == late + GRACE
    assert path.is_silent(Instant(late + GRACE))


def test_a_process_that_is_always_late_notices_silence_as_well() -> None:
    path = waiting_path(0.001)
    refused = 0
    while not path.is_silent(Instant(due_at(path) + LATE)):
        refused += 1
    assert refused == MAX_GRACES


def test_each_silence_has_excuses_of_its_own() -> None:
    path = waiting_path(0.001)
    while not path.is_silent(Instant(due_at(path) + LATE)):
        pass
    path.unanswered_since = Instant(SENT_AT + 5)
    assert due_at(path) == SENT_AT + 5 + MIN_SILENCE
    assert not path.is_silent(Instant(due_at(path) + LATE))


def doubt_at(path: Path) -> float:
    due = path.doubt_due_at()
    assert due is not None
    return due


def test_doubt_comes_before_suspicion_and_once_in_a_silence() -> None:
    path = waiting_path(0.02)
    due = doubt_at(path)
    assert SENT_AT + 0.02 < due < due_at(path)
    assert not path.takes_to_doubt(Instant(due - 0.001))
    assert path.takes_to_doubt(Instant(due))
    assert not path.takes_to_doubt(Instant(due + 0.001))
    assert path.doubt_due_at() is None
    path.unanswered_since = Instant(SENT_AT + 1)
    assert path.takes_to_doubt(Instant(doubt_at(path)))


def test_a_late_timer_is_no_reason_for_doubt() -> None:
    path = waiting_path(0.02)
    assert not path.takes_to_doubt(Instant(doubt_at(path) + LATE))
    assert path.doubt_due_at() is None


def test_of_two_packets_the_answer_is_not_delayed() -> None:
    """RFC 9000 s13.2.2: the second one is acknowledged at once, the first may have to wait."""
    path = waiting_path(0.02)
    alone = doubt_at(path)
    path.note_question(1, Instant(SENT_AT + 0.004), is_first=False)
    owed = doubt_at(path)
    assert SENT_AT + 0.004 + 0.02 < owed < alone
    path.note_question(1, Instant(SENT_AT + 0.006), is_first=False)
    assert doubt_at(path) == owed
    path.note_answer(Instant(SENT_AT + 0.008), packet_count=1, delay=0.0)
    assert doubt_at(path) == pytest.approx(alone + 0.008)


def test_a_second_packet_that_comes_late_delays_no_doubt() -> None:
    path = waiting_path(0.02)
    alone = doubt_at(path)
    path.note_question(1, Instant(alone - 0.001), is_first=False)
    assert doubt_at(path) == alone


def test_two_packets_at_once_are_owed_an_answer_at_once() -> None:
    path = waiting_path(0.02)
    alone = doubt_at(path)
    path.note_question(2, Instant(SENT_AT), is_first=True)
    assert doubt_at(path) < alone
    path.note_question(1, Instant(SENT_AT), is_first=True)
    assert doubt_at(path) == alone


def test_who_acknowledges_in_bursts_under_load_is_given_the_time() -> None:
    path = waiting_path(0.02)
    path.note_question(2, Instant(SENT_AT), is_first=True)
    prompt = doubt_at(path)
    path.note_answer(Instant(SENT_AT), packet_count=32, delay=0.015)
    path.note_question(2, Instant(SENT_AT), is_first=True)
    assert doubt_at(path) == pytest.approx(prompt + 0.015)
    # It never counts for more than the peer has promised, and for nothing without load.
    path.note_answer(Instant(SENT_AT), packet_count=32, delay=3.0)
    path.note_question(2, Instant(SENT_AT), is_first=True)
    assert doubt_at(path) <= prompt + path.current.recovery.max_ack_delay
    path.note_answer(Instant(SENT_AT), packet_count=31, delay=0.015)
    path.note_question(2, Instant(SENT_AT), is_first=True)
    assert doubt_at(path) == pytest.approx(prompt)
