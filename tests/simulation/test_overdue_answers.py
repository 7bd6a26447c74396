"""What is small does not wait until it is certain that a path is dead.

client --- link0,  5 ms (fast) ---
                                  >--- server
client --- link1, 40 ms (slow) ---
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from mqvpn_core.dataplane import kernel
from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.ids import Instant, PathId
from mqvpn_core.quic.ack_processing import MAX_COPIES, SMALL_DATAGRAM
from mqvpn_core.quic.events import PathSuspected
from mqvpn_core.quic.packet_room import Datagram
from mqvpn_core.quic.paths import MAX_ACK_DELAY, Path
from mqvpn_core.quic.schedulers import DatagramScheduler
from mqvpn_core.testing.link_elements import Delay, Jitter
from mqvpn_core.testing.multi_pair import MULTIPATH, MultiPair
from mqvpn_core.testing.pair import PairConfig
from tests.differential.ip_traffic import Draft

SPACING = 0.01
SLOW_DELAY = 0.040

pytestmark = pytest.mark.slow


@contextmanager
def two_links() -> Iterator[MultiPair]:
    transport = replace(MULTIPATH, classify_datagram=lambda payload: payload[0])
    links = ((Delay(0.005), Jitter(0.002)), (Delay(SLOW_DELAY),))
    with MultiPair(3, PairConfig(client=transport, server=transport), links) as pair:
        pair.open_all()
        send(pair, 300)
        yield pair


def send(pair: MultiPair, count: int) -> None:
    """Let both ends send like a voice call."""
    for number in range(count):
        payload = b"\1" + number.to_bytes(2) + bytes(60)
        for peer in (pair.client, pair.server):
            peer.send_datagrams([payload], pair.simulator.now)
        pair.simulator.run_for(SPACING)


def test_the_ledger_hears_how_late_a_peer_answers_and_for_how_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By that it tells a burst under load from an answer that is overdue."""
    heard: list[tuple[int, float]] = []
    note_answer = Path.note_answer

    def listen(path: Path, now: Instant, *, packet_count: int, delay: float) -> None:
        heard.append((packet_count, delay))
        note_answer(path, now, packet_count=packet_count, delay=delay)

    with two_links() as pair:
        pair.simulator.run_for(1.0)
        monkeypatch.setattr(Path, "note_answer", listen)
        pair.client.send_datagrams([b"\1" + bytes(1000)] * 40, pair.simulator.now)
        pair.simulator.run_for(0.5)
        assert sum(count for count, _ in heard) >= 40
        assert max(count for count, _ in heard) > 1
        heard.clear()
        pair.client.send_datagrams([b"\1alone"], pair.simulator.now)
        pair.simulator.run_for(0.5)
    # Who has nothing to answer with waits for as long as he may.
    ((count, delay),) = heard
    assert count == 1
    assert delay == pytest.approx(MAX_ACK_DELAY, abs=0.002)


def numbers(received: list[bytes]) -> list[int]:
    return [int.from_bytes(payload[1:3]) for payload in received]


def moments_of_a_loss(pair: MultiPair, size: int) -> tuple[float, float]:
    """Lose the fast link; tell when the client suspected that, and when it sent what was lost."""
    pair.link(0).is_up = False
    lost_at = pair.simulator.now
    arrived: float | None = None
    suspected: float | None = None
    for step in range(200):
        if step % 10 == 0:
            payload = b"\1" + (300 + step).to_bytes(2) + bytes(size)
            pair.client.send_datagrams([payload], pair.simulator.now)
        pair.simulator.run_for(0.001)
        now = pair.simulator.now - lost_at
        if suspected is None and pair.client.events_of(PathSuspected):
            suspected = now
        if arrived is None and 300 in numbers(pair.server.received_datagrams):
            arrived = now
    assert suspected is not None
    assert arrived is not None
    return suspected, arrived - SLOW_DELAY


def test_a_steady_path_gives_no_reason_for_copies() -> None:
    with two_links() as pair:
        pair.simulator.run_for(0.5)
        for peer in (pair.client, pair.server):
            assert sorted(numbers(peer.received_datagrams)) == list(range(300))


def test_what_is_small_takes_the_other_path_before_this_one_is_suspected() -> None:
    with two_links() as pair:
        suspected, sent = moments_of_a_loss(pair, 60)
        assert sent < suspected - 0.005


def test_what_is_large_is_not_sent_again_on_a_mere_doubt() -> None:
    with two_links() as pair:
        suspected, sent = moments_of_a_loss(pair, SMALL_DATAGRAM)
        assert sent > suspected - 0.002


def test_large_packets_of_a_train_are_not_sent_again_on_a_mere_doubt() -> None:
    (train,) = kernel.split_frames([Draft(payload=bytes(2000)).frame(1000)])
    with two_links() as pair:
        pair.simulator.run_for(0.5)
        pair.link(0).is_up = False
        before = pair.client.paths[PathId(1)].sent_bytes
        for step in range(100):
            if step % 10 == 0:
                pair.client.send_datagrams([train], pair.simulator.now)
            pair.simulator.run_for(0.001)
            if pair.client.events_of(PathSuspected):
                return
            assert pair.client.paths[PathId(1)].sent_bytes - before < 1000
    pytest.fail("the path that is dead was not suspected")


def test_of_small_packets_in_trains_no_more_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A train counts as the packets in it, and the newest are those that are of use."""
    copied: list[bytes] = []

    def listen(_: DatagramScheduler, _path_id: PathId, datagrams: Sequence[Datagram]) -> None:
        copied.extend(expand(payload for _, payload in datagrams))

    monkeypatch.setattr(DatagramScheduler, "copy_elsewhere", listen)
    (train,) = kernel.split_frames([Draft(payload=bytes(2000)).frame(40)])
    assert not isinstance(train, bytes)
    assert len(train) == 50
    with two_links() as pair:
        pair.simulator.run_for(0.5)
        pair.link(0).is_up = False
        pair.client.send_datagrams([train, train], pair.simulator.now)
        for _ in range(200):
            pair.simulator.run_for(0.001)
            if copied:
                break
    assert copied == train.packets()[-MAX_COPIES:]


def test_who_has_nothing_to_answer_with_gives_no_reason_for_copies() -> None:
    with two_links() as pair:
        before = len(pair.server.received_datagrams)
        for _ in range(50):
            pair.client.send_datagrams([b"\1" + bytes(60)], pair.simulator.now)
            pair.simulator.run_for(0.2)
        assert len(pair.server.received_datagrams) == before + 50
