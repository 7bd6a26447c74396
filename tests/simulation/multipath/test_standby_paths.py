"""Paths that carry nothing: known to work while others are in use, left alone while nothing is.

client --- link0, 10 ms ---
                           >--- server
client --- link1, 30 ms ---
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mqvpn_core.ids import PathId
from mqvpn_core.quic.events import PathRecovered, PathStatusChanged, PathSuspected
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.testing.link_elements import Delay
from mqvpn_core.testing.multi_pair import MultiPair
from mqvpn_core.testing.pair import PairConfig

KEEP_ALIVE = 15.0
STANDBY = PathId(1)

pytestmark = pytest.mark.slow


@contextmanager
def tunnel(keep_alive: float | None = KEEP_ALIVE) -> Iterator[MultiPair]:
    """A client that sends signs of life and a server that does not, as they are shipped."""
    client = TransportConfig(initial_max_path_id=4, keep_alive=keep_alive, idle_timeout=100.0)
    server = TransportConfig(initial_max_path_id=4, keep_alive=None, idle_timeout=100.0)
    links = ((Delay(0.01),), (Delay(0.03),))
    with MultiPair(5, PairConfig(client=client, server=server), links) as pair:
        pair.open_all()
        # Path MTU discovery has done its work.
        pair.simulator.run_for(5.0)
        yield pair


def use(pair: MultiPair, seconds: float) -> None:
    """Let the other path carry something."""
    for _ in range(round(seconds / 0.1)):
        pair.server.send_datagrams([bytes(100)], pair.simulator.now)
        pair.simulator.run_for(0.1)


def sent_packets(pair: MultiPair) -> int:
    return pair.client.paths[STANDBY].sent_packets


def carries_nothing(pair: MultiPair) -> bool:
    before = pair.server.paths[STANDBY].sent_bytes
    use(pair, 1.0)
    return pair.server.paths[STANDBY].sent_bytes - before < 1000


def test_the_end_of_an_unused_path_is_noticed_before_it_is_needed() -> None:
    with tunnel() as pair:
        assert carries_nothing(pair)
        pair.link(1).is_up = False
        use(pair, 1.5)
        (suspected,) = pair.client.events_of(PathSuspected)
        assert suspected.path_id == STANDBY
        # The server would not find out by itself.
        assert PathStatusChanged(path_id=STANDBY, is_backup=True) in pair.server.events_of(
            PathStatusChanged
        )
        pair.link(1).is_up = True
        use(pair, 1.0)
        assert pair.client.events_of(PathRecovered)
        assert not pair.server.paths[STANDBY].peer_is_backup


@pytest.mark.parametrize(("path_use", "most"), [(PathUse.PRIMARY, 22), (PathUse.BACKUP, 5)])
def test_an_unused_path_costs_little(path_use: PathUse, most: int) -> None:
    with tunnel() as pair:
        pair.client.set_path_use(STANDBY, path_use)
        use(pair, 1.0)
        before = sent_packets(pair)
        use(pair, 20.0)
        assert 3 <= sent_packets(pair) - before <= most


def test_an_idle_tunnel_is_left_alone() -> None:
    with tunnel() as pair:
        use(pair, 1.0)
        pair.simulator.run_for(3.0)
        before = sent_packets(pair)
        pair.simulator.run_for(2 * KEEP_ALIVE)
        assert 1 <= sent_packets(pair) - before <= 3


def test_the_first_packet_after_a_long_silence_asks_the_other_path() -> None:
    with tunnel() as pair:
        pair.simulator.run_for(KEEP_ALIVE - 2)
        pair.link(1).is_up = False
        use(pair, 0.4)
        assert [event.path_id for event in pair.client.events_of(PathSuspected)] == [STANDBY]


def test_who_wants_no_signs_of_life_sends_none() -> None:
    with tunnel(keep_alive=None) as pair:
        before = sent_packets(pair)
        use(pair, 10.0)
        assert sent_packets(pair) == before
