"""What the connection says when a path fails and another one takes over."""

from collections.abc import Iterator
from contextlib import contextmanager

from mqvpn_core.ids import FourTuple, PathId, SocketAddress
from mqvpn_core.quic.client import client_connection
from mqvpn_core.quic.events import (
    PathAbandoned,
    PathRecovered,
    PathSuspected,
    PathUseChanged,
    TrafficMoved,
)
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.quic.transport_config import ClientTls, TransportConfig
from mqvpn_core.testing.entropy import SeededEntropy
from mqvpn_core.testing.link_elements import Delay
from mqvpn_core.testing.links import Link
from mqvpn_core.testing.pair import SERVER_ADDRESS, ClientNode, Pair, PairConfig
from mqvpn_core.wire.code_points import TransportErrorCode

WIFI, LTE = PathId(0), PathId(1)
LTE_ADDRESS = SocketAddress("10.1.0.2", 5001)
MULTIPATH = TransportConfig(initial_max_path_id=4, keep_alive=None)
SPACING = 0.01


@contextmanager
def two_links(config: TransportConfig = MULTIPATH) -> Iterator[Pair]:
    """A client with a path over each of its two links, the first of them the faster one."""
    with Pair(1, PairConfig(client=config, server=config, client_link=(Delay(0.01),))) as pair:
        trust = ClientTls(
            server_name="vpn.example", ca_data=pair.config.certificate.certificate_pem
        )
        connection = client_connection(config, trust, entropy=SeededEntropy(1, "two links"))
        pair.client_node = ClientNode(connection)
        links = [pair.simulator.link("client", "wifi"), Link("lte", "10.1.0.2", (Delay(0.03),))]
        pair.simulator.add_host("client", pair.client_node, links)
        pair.handshake()
        pair.simulator.run_for(0.5)
        pair.client.connection.open_path(FourTuple(LTE_ADDRESS, SERVER_ADDRESS), pair.simulator.now)
        pair.simulator.run_for(0.5)
        yield pair


def talk(pair: Pair, seconds: float) -> None:
    """Let both sides say something at a steady pace."""
    for _ in range(round(seconds / SPACING)):
        pair.client.send_datagrams([b"up"], pair.simulator.now)
        pair.server.send_datagrams([b"down"], pair.simulator.now)
        pair.simulator.run_for(SPACING)


def test_a_silent_path_in_use_is_succeeded_within_a_measured_gap() -> None:
    with two_links() as pair:
        talk(pair, 1.0)
        pair.simulator.link("client", "wifi").is_up = False
        talk(pair, 1.0)
        (suspected,) = pair.client.events_of(PathSuspected)
        assert suspected.path_id == WIFI
        (moved,) = pair.client.events_of(TrafficMoved)
        assert (moved.path_id, moved.to_path_id) == (WIFI, LTE)
        assert moved.reason == "it is silent"
        # The suspicion comes a probe time-out after the first packet without an answer.
        assert 0.02 < moved.gap < 0.2
        (seen_by_server,) = pair.server.events_of(TrafficMoved)
        assert (seen_by_server.path_id, seen_by_server.to_path_id) == (WIFI, LTE)


def test_a_path_given_up_leaves_a_gap_of_the_time_nothing_came() -> None:
    with two_links() as pair:
        talk(pair, 1.0)
        pair.simulator.link("client", "wifi").is_up = False
        now = pair.simulator.now
        pair.client.connection.abandon_path(WIFI, TransportErrorCode.PATH_UNSTABLE_OR_POOR, now)
        talk(pair, 0.5)
        (abandoned,) = pair.client.events_of(PathAbandoned)
        (moved,) = pair.client.events_of(TrafficMoved)
        assert (moved.path_id, moved.to_path_id) == (WIFI, LTE)
        assert moved.reason == abandoned.reason
        assert moved.gap <= 2 * SPACING
        assert not pair.client.events_of(PathSuspected)


def test_a_path_that_was_not_in_use_moves_no_traffic() -> None:
    with two_links() as pair:
        talk(pair, 0.5)
        pair.simulator.run_for(3.0)
        now = pair.simulator.now
        pair.client.connection.abandon_path(WIFI, TransportErrorCode.PATH_UNSTABLE_OR_POOR, now)
        talk(pair, 0.5)
        assert pair.client.events_of(PathAbandoned)
        assert not pair.client.events_of(TrafficMoved)


def test_a_path_that_recovers_before_anything_else_carries_data_has_no_successor() -> None:
    with two_links() as pair:
        pair.client.connection.set_path_use(LTE, PathUse.BACKUP)
        assert pair.client.connection.next_event() == PathUseChanged(
            path_id=LTE, use=PathUse.BACKUP
        )
        talk(pair, 0.5)
        wifi = pair.simulator.link("client", "wifi")
        wifi.is_up = False
        # One packet without an answer, and nothing more to send while the path is suspected.
        pair.client.send_datagrams([b"up"], pair.simulator.now)
        pair.simulator.run_until(lambda: bool(pair.client.events_of(PathSuspected)), limit=1)
        wifi.is_up = True
        pair.simulator.run_until(lambda: bool(pair.client.events_of(PathRecovered)), limit=2)
        before = len(pair.client.events_of(TrafficMoved))
        talk(pair, 0.5)
        assert len(pair.client.events_of(TrafficMoved)) == before
