"""A link that comes back carries traffic again soon, in both directions, with the usual strategy.

client --- link0,  5 ms (fast) ---
                                  >--- server
client --- link1, 40 ms (slow) ---
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from mqvpn_core.ids import PathId
from mqvpn_core.quic.events import PathRecovered
from mqvpn_core.testing.link_elements import Delay, RateLimit
from mqvpn_core.testing.multi_pair import MULTIPATH, MultiPair
from mqvpn_core.testing.pair import PairConfig, Peer

IN_USE_WITHIN = 2.0
USED_BYTES = 65_536
SPACING = 0.02
INITIAL_WINDOW = 12_000
FAST, SLOW = 0, 1

pytestmark = pytest.mark.slow


@contextmanager
def two_links() -> Iterator[MultiPair]:
    transport = replace(MULTIPATH, classify_datagram=lambda payload: payload[0])
    links = (
        (Delay(0.005), RateLimit(10_000_000, 200_000)),
        (Delay(0.040), RateLimit(3_750_000, 300_000)),
    )
    with MultiPair(11, PairConfig(client=transport, server=transport), links) as pair:
        pair.open_all()
        pair.simulator.run_for(1.0)
        yield pair


def send(pair: MultiPair, flows: range, seconds: float) -> None:
    """Let each flow send 200 kB/s in each direction."""
    for _ in range(round(seconds / SPACING)):
        for peer in (pair.client, pair.server):
            peer.send_datagrams([bytes([flow]) * 1000 for flow in flows] * 4, pair.simulator.now)
        pair.simulator.run_for(SPACING)


def carried(peer: Peer, path_id: PathId) -> int:
    path = peer.paths.get(path_id)
    return 0 if path is None else path.sent_bytes


@pytest.mark.parametrize("lost", [FAST, SLOW])
def test_a_link_that_was_silent_is_in_use_again(lost: int) -> None:
    with two_links() as pair:
        send(pair, range(8), 2)
        pair.link(lost).is_up = False
        send(pair, range(8), 2)
        pair.link(lost).is_up = True
        before = [carried(peer, PathId(lost)) for peer in (pair.client, pair.server)]
        send(pair, range(8), IN_USE_WITHIN)
        assert pair.client.events_of(PathRecovered)
        for peer, old in zip((pair.client, pair.server), before, strict=True):
            assert carried(peer, PathId(lost)) - old > USED_BYTES


def test_a_link_that_is_back_starts_with_an_initial_window_again() -> None:
    with two_links() as pair:
        send(pair, range(8), 1)
        pair.link(SLOW).is_up = False
        send(pair, range(8), 3)
        pair.link(SLOW).is_up = True
        # Nothing but signs of life until both ends have seen that it works.
        pair.simulator.run_for(1.0)
        for peer in (pair.client, pair.server):
            assert peer.paths[PathId(SLOW)].congestion_window >= INITIAL_WINDOW


def test_a_link_that_gets_a_new_path_is_in_use_again() -> None:
    lost = SLOW
    with two_links() as pair:
        send(pair, range(8), 2)
        pair.link(lost).is_up = False
        pair.abandon(lost)
        send(pair, range(8), 2)
        pair.link(lost).is_up = True
        new = pair.open(lost)
        send(pair, range(8), IN_USE_WITHIN)
        for peer in (pair.client, pair.server):
            assert carried(peer, new) > USED_BYTES


@pytest.mark.parametrize("flows", [range(1), range(2)])
def test_few_flows_return_to_the_fast_link_and_stay(flows: range) -> None:
    with two_links() as pair:
        send(pair, flows, 2)
        pair.link(FAST).is_up = False
        send(pair, flows, 2)
        pair.link(FAST).is_up = True
        send(pair, flows, IN_USE_WITHIN)
        on_slow = [carried(peer, PathId(SLOW)) for peer in (pair.client, pair.server)]
        send(pair, flows, 10)
        for peer, old in zip((pair.client, pair.server), on_slow, strict=True):
            assert carried(peer, PathId(SLOW)) - old < USED_BYTES
