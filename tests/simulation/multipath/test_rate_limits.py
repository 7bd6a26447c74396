"""A path that is told to send no faster than its user can afford."""

import pytest

from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.ids import PathId
from mqvpn_core.testing.multi_pair import MultiPair

LIMIT = 50_000.0


def carried(pair: MultiPair, path_id: int, seconds: float) -> float:
    """Bytes a second that a path carries while there is always something to send."""
    before = pair.client.paths[PathId(path_id)].sent_bytes
    for _ in range(int(seconds / 0.01)):
        pair.client.send_datagrams([bytes(1000)] * 5, pair.simulator.now)
        pair.simulator.run_for(0.01)
    return (pair.client.paths[PathId(path_id)].sent_bytes - before) / seconds


def test_a_limited_path_keeps_to_its_limit_and_the_other_takes_the_rest() -> None:
    with MultiPair(1) as pair:
        pair.open_all()
        pair.client.connection.set_scheduler("minrtt")
        carried(pair, 0, 1.0)
        pair.client.connection.limit_path_rate(PathId(0), LIMIT)
        limited = carried(pair, 0, 3.0)
        assert limited < 1.3 * LIMIT
        assert len(pair.server.received_datagrams) > 1500


def test_the_limit_stays_when_the_path_moves() -> None:
    with MultiPair(2) as pair:
        pair.handshake()
        pair.simulator.run_for(1)
        connection = pair.client.connection
        connection.limit_path_rate(PathId(0), LIMIT)
        connection.migrate_path(PathId(0), pair.four_tuple(1), pair.simulator.now)
        pair.simulator.run_for(1)
        assert carried(pair, 0, 3.0) < 1.3 * LIMIT
        connection.limit_path_rate(PathId(0), None)
        assert carried(pair, 0, 3.0) > 2 * LIMIT


def test_only_paths_that_exist_have_limits() -> None:
    with MultiPair(3) as pair:
        pair.open_all()
        with pytest.raises(LocalProtocolError):
            pair.client.connection.limit_path_rate(PathId(9), LIMIT)
        pair.abandon(1)
        with pytest.raises(LocalProtocolError):
            pair.client.connection.limit_path_rate(PathId(1), LIMIT)
