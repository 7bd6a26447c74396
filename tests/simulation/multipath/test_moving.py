"""A client that moves a path to another of its links (RFC 9000 s9): with multipath and without."""

from dataclasses import replace

import pytest

from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.ids import PathId
from mqvpn_core.quic.events import PathMigrated, PathValidated
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.testing.link_elements import Delay
from mqvpn_core.testing.multi_pair import MULTIPATH, MultiPair
from mqvpn_core.testing.pair import PairConfig

ZERO = PathId(0)
SINGLE = TransportConfig()
LINKS = ((Delay(0.01),), (Delay(0.05),))


def moved(pair: MultiPair) -> None:
    pair.client.connection.migrate_path(ZERO, pair.four_tuple(1), pair.simulator.now)


@pytest.mark.parametrize("settings", [SINGLE, MULTIPATH], ids=["single path", "multipath"])
def test_the_only_path_goes_on_over_another_link(settings: TransportConfig) -> None:
    with MultiPair(1, PairConfig(client=settings, server=settings), LINKS) as pair:
        pair.handshake()
        pair.simulator.run_for(1)
        pair.link(0).is_up = False
        moved(pair)
        pair.client.send_datagrams([b"still here"], pair.simulator.now)
        pair.simulator.run_for(1)
        pair.server.send_datagrams([b"so am I"], pair.simulator.now)
        pair.simulator.run_for(1)
        assert b"still here" in pair.server.received_datagrams
        assert b"so am I" in pair.client.received_datagrams
        (migrated,) = pair.client.events_of(PathMigrated)
        assert (migrated.old, migrated.new) == (pair.four_tuple(0), pair.four_tuple(1))
        assert migrated.new in {event.four_tuple for event in pair.client.events_of(PathValidated)}
        (path,) = pair.client.connection.statistics().paths
        assert path.path_id == ZERO
        assert path.min_rtt > 0.09, "what was learnt about the other link does not count here"
        assert not pair.client.connection.is_ending


def test_a_fresh_connection_id_is_used() -> None:
    with MultiPair(2, links=LINKS) as pair:
        pair.handshake()
        pair.simulator.run_for(1)
        before = pair.client.connection._exchange.peer_ids(ZERO).current
        moved(pair)
        assert pair.client.connection._exchange.peer_ids(ZERO).current != before


def test_what_cannot_be_moved() -> None:
    with MultiPair(3, links=LINKS) as pair:
        with pytest.raises(LocalProtocolError):
            moved(pair)
        pair.handshake()
        pair.simulator.run_for(1)
        now = pair.simulator.now
        with pytest.raises(LocalProtocolError):
            pair.client.connection.migrate_path(PathId(3), pair.four_tuple(1), now)
        with pytest.raises(LocalProtocolError):
            pair.server.connection.migrate_path(ZERO, pair.four_tuple(1), now)
        other = pair.open(1)
        pair.simulator.run_for(1)
        pair.abandon(int(other))
        with pytest.raises(LocalProtocolError):
            pair.client.connection.migrate_path(other, pair.four_tuple(0), now)


def test_a_server_that_forbids_it_is_obeyed() -> None:
    with MultiPair(4, links=LINKS) as pair:
        pair.handshake()
        pair.simulator.run_for(1)
        engine = pair.client.connection.engine
        engine.peer_parameters = replace(engine.peer_parameters, disable_active_migration=True)
        with pytest.raises(LocalProtocolError):
            moved(pair)
