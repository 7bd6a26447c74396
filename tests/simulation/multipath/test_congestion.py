"""Congestion controls side by side, between whole endpoints."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from mqvpn_core.testing.link_elements import Delay, LinkElement, Loss, RateLimit, Wander
from mqvpn_core.testing.multi_pair import MULTIPATH, MultiPair
from mqvpn_core.testing.pair import PairConfig

RATE = 625_000.0
"""Five megabits a second."""
RADIO: Sequence[LinkElement] = (
    RateLimit(RATE, 50_000),
    Delay(0.028),
    Wander(0.024),
    Loss(0.005),
)
"""Like a cellular link: 40 ms and 12 up and down, 0.5 % lost."""
LINE: Sequence[LinkElement] = (RateLimit(RATE, 31_250), Delay(0.025))
"""A clean line with a queue of one bandwidth-delay product."""
PAYLOAD = bytes(1100)

pytestmark = pytest.mark.slow


@dataclass(frozen=True, kw_only=True)
class Outcome:
    share: float
    """Of the links' rates, as payload."""
    queue_seconds: float
    """By which round trips of the slowest path are longer than its shortest, on average."""
    paths_share: list[float]
    """The part of each path."""


def upload(
    congestion: str, links: Sequence[Sequence[LinkElement]], *, seed: int = 1, nap: float = 0.005
) -> Outcome:
    """Send as much as goes for six seconds, of which the last four count."""
    transport = replace(MULTIPATH, congestion_control=congestion)
    config = PairConfig(client=transport, server=transport)
    with MultiPair(seed, config, links) as pair:
        pair.open_all()
        pair.client.connection.set_scheduler("minrtt")
        simulator = pair.simulator
        excess: list[float] = []

        def offer(seconds: float) -> None:
            for _ in range(round(seconds / nap)):
                waiting = pair.client.connection.statistics().datagrams_waiting
                pair.client.send_datagrams([PAYLOAD] * (40 - waiting), simulator.now)
                simulator.run_for(nap)
                paths = pair.client.paths.values()
                excess.append(max(path.smoothed_rtt - path.min_rtt for path in paths))

        offer(2.0)
        excess.clear()
        before = len(pair.server.received_datagrams)
        sent = {path.path_id: path.sent_bytes for path in pair.client.paths.values()}
        offer(4.0)
        arrived = len(pair.server.received_datagrams) - before
        moved = [path.sent_bytes - sent[path.path_id] for path in pair.client.paths.values()]
        return Outcome(
            share=arrived * len(PAYLOAD) / 4.0 / (RATE * len(links)),
            queue_seconds=sum(excess) / len(excess),
            paths_share=[each / sum(moved) for each in moved],
        )


def test_a_radio_link_is_filled_by_the_one_and_left_idle_by_the_other() -> None:
    model, losses = (upload(name, [RADIO]) for name in ("bbr", "cubic"))
    assert model.share > 0.8
    assert model.share > 1.5 * losses.share
    # The wandering alone makes round trips 24 ms longer on average.
    assert model.queue_seconds < 0.024 + 0.025


def test_two_lines_carry_as_much_with_shorter_queues() -> None:
    model, losses = (upload(name, [LINE, LINE]) for name in ("bbr", "cubic"))
    assert model.share > 0.97 * losses.share
    assert model.share > 0.85
    assert model.queue_seconds < 0.02
    assert model.queue_seconds < losses.queue_seconds
    assert min(model.paths_share) > 0.45
