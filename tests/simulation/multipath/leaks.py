"""Counts what a connection remembers: a path that is gone must leave nothing behind."""

from mqvpn_core.quic.connection import MultipathConnection
from mqvpn_core.quic.connection_id_exchange import ISSUED_FOR_UNUSED_PATH
from mqvpn_core.quic.connection_ids import ACTIVE_CONNECTION_ID_LIMIT, ISSUED_CONNECTION_IDS
from mqvpn_core.quic.paths import MAX_NETWORK_PATHS
from mqvpn_core.testing.multi_pair import MultiPair

INITIAL_LIMIT = 4


def assert_tidy(pair: MultiPair) -> None:
    """Both ends remember open paths and unused path IDs, and nothing else.

    To be asked when everything has come to rest: no path is being given up or validated.
    """
    for peer in (pair.client, pair.server):
        connection = peer.connection
        states = {path.state for path in peer.paths.values()}
        assert states <= {"active", "suspect"}, states
        _check_path_ids(connection)
        _check_connection_ids(connection)
        sources = connection._sources
        assert len(sources.control_frames) == 0
        assert not sources.control_frames._newest, "frames that were never acknowledged"
        for path in connection._paths.values():
            assert len(path.network_paths) <= MAX_NETWORK_PATHS
            assert not any(run.handlers for run in path.sent._runs)
    endpoint = pair.server_node.endpoint
    known = pair.server.connection.local_connection_ids.all_connection_ids
    first = endpoint._initial_cids.values()
    assert sorted(endpoint._routes) == sorted([*known, *first]), "routes that lead nowhere"
    client, server = pair.client.connection, pair.server.connection
    assert set(client._paths) == set(server._paths)


def _check_path_ids(connection: MultipathConnection) -> None:
    path_ids = connection._path_ids
    open_paths = set(connection._paths)
    candidates = set(range(path_ids.local_maximum + 1))
    gone = {path_id for path_id in candidates if path_ids.is_discarded(path_id)}
    assert path_ids.local_maximum == INITIAL_LIMIT + len(gone)
    assert len(path_ids._discarded) <= INITIAL_LIMIT + 1
    assert not open_paths & gone
    manager = connection._manager
    assert not manager._never_opened
    assert set(manager._peer_status) <= candidates - gone
    assert set(connection._protection._numbers) <= candidates - gone
    assert set(connection._exchange._peer) <= candidates - gone


def _check_connection_ids(connection: MultipathConnection) -> None:
    open_paths = set(connection._paths)
    local = connection.local_connection_ids
    per_path: dict[int, int] = {}
    for cid in local._by_bytes.values():
        per_path[cid.path_id] = per_path.get(cid.path_id, 0) + 1
    for path_id, count in per_path.items():
        assert not connection._path_ids.is_discarded(path_id)
        assert count <= (ISSUED_CONNECTION_IDS if path_id in open_paths else ISSUED_FOR_UNUSED_PATH)
    for known in connection._exchange._peer.values():
        assert len(known._active) <= ACTIVE_CONNECTION_ID_LIMIT
