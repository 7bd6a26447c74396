"""Real connections, a flow that wants more than its path has, and an idle path: which is better?

client --- link0 ---
                     >--- server       the same delay, but not the same rate
client --- link1 ---
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from mqvpn_core.ids import PathId
from mqvpn_core.testing.link_elements import Delay, RateLimit
from mqvpn_core.testing.multi_pair import MULTIPATH, MultiPair
from mqvpn_core.testing.pair import PairConfig

MEGABIT = 1e6 / 8
PAYLOAD_BYTES = 1000
SPACING = 0.005

pytestmark = pytest.mark.slow


@contextmanager
def two_links(*megabits: float) -> Iterator[MultiPair]:
    transport = replace(MULTIPATH, classify_datagram=lambda payload: payload[0], keep_alive=None)
    config = PairConfig(client=transport, server=transport)
    links = tuple(
        (Delay(0.01), RateLimit(rate * MEGABIT, queue_bytes=int(0.05 * rate * MEGABIT)))
        for rate in megabits
    )
    with MultiPair(7, config, links) as pair:
        pair.open_all()
        pair.simulator.run_for(1.0)
        yield pair


def send(pair: MultiPair, seconds: float, *, megabits: float) -> dict[PathId, int]:
    """Let one flow send at a steady rate; return what each path has sent meanwhile."""
    before = {path_id: path.sent_bytes for path_id, path in pair.client.paths.items()}
    count = round(megabits * MEGABIT * SPACING / PAYLOAD_BYTES)
    for _ in range(round(seconds / SPACING)):
        pair.client.send_datagrams([b"\1" * PAYLOAD_BYTES] * count, pair.simulator.now)
        pair.simulator.run_for(SPACING)
    return {
        path_id: path.sent_bytes - before[path_id] for path_id, path in pair.client.paths.items()
    }


@pytest.mark.parametrize("megabits", [(4, 10), (10, 4)])
def test_a_flow_gets_what_the_better_path_carries(megabits: tuple[float, float]) -> None:
    with two_links(*megabits) as pair:
        send(pair, 4, megabits=12)
        received = len(pair.server.received_datagrams)
        sent = send(pair, 3, megabits=12)
        goodput = (len(pair.server.received_datagrams) - received) * PAYLOAD_BYTES / 3
        best = PathId(megabits.index(max(megabits)))
        assert goodput > 0.85 * max(megabits) * MEGABIT
        assert sent[best] > 50 * sent[PathId(1 - best)]


def test_a_trial_leaves_nothing_behind() -> None:
    with two_links(10, 4) as pair:
        sent = send(pair, 4, megabits=12)
        # It was tried, for less than a second.
        assert 50_000 < min(sent.values()) < 4 * MEGABIT
        pair.simulator.run_for(1.0)
        for path in pair.client.paths.values():
            assert path.bytes_in_flight == 0


def test_who_wants_little_causes_no_trial() -> None:
    with two_links(10, 4) as pair:
        sent = send(pair, 4, megabits=2)
        assert min(sent.values()) < 10_000
