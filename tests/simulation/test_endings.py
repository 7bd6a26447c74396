"""How connections end: close, idle timeout, keep-alive, stateless reset."""

import pytest

from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.ids import FourTuple, Instant
from mqvpn_core.quic.client import client_connection
from mqvpn_core.quic.events import ConnectionTerminated
from mqvpn_core.quic.transport_config import ClientTls, TransportConfig
from mqvpn_core.testing.entropy import SeededEntropy
from mqvpn_core.testing.link_elements import (
    Blackhole,
    Delay,
    Direction,
    LinkElement,
    Loss,
    OneWay,
    UdpDatagram,
)
from mqvpn_core.testing.pair import CLIENT_ADDRESS, SERVER_ADDRESS, Pair, PairConfig
from mqvpn_core.wire.code_points import FrameType
from tests.simulation.rules import PairRules

DELAY = Delay(0.02)
SILENT = TransportConfig(idle_timeout=10.0, keep_alive=None)
CLOSE_FRAMES = (FrameType.CONNECTION_CLOSE, FrameType.CONNECTION_CLOSE_APPLICATION)


def pair_of(
    client: TransportConfig, server: TransportConfig, *elements: LinkElement, seed: int = 1
) -> Pair:
    config = PairConfig(client=client, server=server, client_link=(*elements, DELAY))
    return Pair(seed, config)


@pytest.mark.parametrize("closer", ["client", "server"])
def test_a_close_ends_both_ends_soon(closer: str) -> None:
    with pair_of(SILENT, SILENT) as pair:
        pair.handshake()
        ends = {"client": pair.client, "server": pair.server}
        local = ends.pop(closer)
        (remote,) = ends.values()
        local.close(0x103, "that is all")
        start = pair.simulator.elapsed
        pair.simulator.run_until(
            lambda: local.connection.is_closed and remote.connection.is_closed, limit=5
        )
        # RFC 9000 s10.2: closing and draining last three PTOs.
        assert pair.simulator.elapsed - start < 2
        ended = ConnectionTerminated(
            error_code=0x103, reason="that is all", by_peer=False, is_application=True
        )
        assert local.events[-1] == ended
        assert remote.events[-1] == ConnectionTerminated(
            error_code=0x103, reason="that is all", by_peer=True, is_application=True
        )
        sent_before = pair.simulator.sent_count
        pair.simulator.run_for(60)
        assert pair.simulator.sent_count == sent_before


def test_a_close_before_the_first_packet_needs_nobody() -> None:
    trust = ClientTls(server_name="vpn.example")
    connection = client_connection(TransportConfig(), trust, entropy=SeededEntropy(1, "client"))
    connection.close(0x103, "never mind")
    assert connection.is_closed
    assert connection.is_ending
    assert connection.next_timeout() is None
    assert connection.transmits(Instant(1.0)) == []
    assert connection.next_event() == ConnectionTerminated(
        error_code=0x103, reason="never mind", by_peer=False, is_application=True
    )
    assert connection.next_event() is None
    connection.close(0, "again")
    connection.handle_timeout(Instant(100.0))
    assert connection.next_event() is None
    with pytest.raises(LocalProtocolError, match="closed already"):
        connection.connect(FourTuple(CLIENT_ADDRESS, SERVER_ADDRESS), Instant(2.0))


def test_the_close_is_repeated_for_a_peer_that_did_not_hear_it() -> None:
    """RFC 9000 s10.2.1: CONNECTION_CLOSE answers what still arrives in the closing state."""
    with pair_of(SILENT, SILENT) as pair:
        rules = PairRules(pair)
        pair.handshake()
        link = pair.simulator.link("client", "wifi")
        link.replace([OneWay(Direction.UP, Loss(1.0)), DELAY])
        pair.client.close(0x100, "bye")
        pair.simulator.run_for(0.01)
        link.replace([DELAY])
        for _ in range(8):
            pair.server.send_datagrams([b"still talking"], pair.simulator.now)
            pair.simulator.run_for(0.005)
        pair.simulator.run_for(0.1)
        assert pair.server.termination is not None
        assert pair.server.termination.by_peer
        closes = [
            packet
            for packet in rules.wiretap.of(is_from_client=True)
            if packet.frame_types & set(CLOSE_FRAMES)
        ]
        assert len(closes) == 1, "a repetition is the same packet, sealed once"
        repeated = rules.wiretap.repeated_count
        assert 1 <= repeated <= 4, "repetitions get rarer"


@pytest.mark.parametrize(("client_idle", "server_idle"), [(10.0, 30.0), (30.0, 10.0)])
def test_the_smaller_idle_timeout_ends_both(client_idle: float, server_idle: float) -> None:
    client = TransportConfig(idle_timeout=client_idle, keep_alive=None)
    server = TransportConfig(idle_timeout=server_idle, keep_alive=None)
    with pair_of(client, server) as pair:
        pair.handshake()
        pair.simulator.run_for(9.5)
        assert pair.client.termination is None
        assert pair.server.termination is None
        sent_before = pair.simulator.sent_count
        pair.simulator.run_for(1.5)
        for peer in (pair.client, pair.server):
            assert peer.termination is not None
            assert "idle" in peer.termination.reason.lower()
            assert peer.connection.is_closed
        # RFC 9000 s10.1: "silently closed".
        assert pair.simulator.sent_count == sent_before
        assert not pair.server_node.endpoint.connections


@pytest.mark.parametrize("who", ["client", "server"])
def test_keep_alive_by_either_side_holds_the_connection(who: str) -> None:
    chatty = TransportConfig(idle_timeout=10.0, keep_alive=3.0)
    client, server = (chatty, SILENT) if who == "client" else (SILENT, chatty)
    with pair_of(client, server) as pair:
        rules = PairRules(pair)
        pair.handshake()
        pair.simulator.run_for(100)
        assert pair.client.termination is None
        assert pair.server.termination is None
        pings = rules.wiretap.with_frame(FrameType.PING, is_from_client=who == "client")
        assert 25 <= len(pings) <= 50
        assert pair.simulator.sent_count < 150


def test_keep_alive_does_not_hide_a_dead_network() -> None:
    chatty = TransportConfig(idle_timeout=10.0, keep_alive=3.0)
    with pair_of(chatty, chatty) as pair:
        pair.handshake()
        pair.simulator.run_for(5)
        pair.simulator.link("client", "wifi").is_up = False
        start = pair.simulator.elapsed
        pair.simulator.run_until(lambda: pair.client.connection.is_closed, limit=60)
        # The timer restarts with the first ack-eliciting packet after a receipt, once.
        assert pair.simulator.elapsed - start <= 10 + 3 + 0.1
        assert pair.client.termination is not None


def test_an_outage_shorter_than_the_idle_timeout_is_survived() -> None:
    with pair_of(SILENT, SILENT) as pair:
        pair.handshake()
        start = pair.simulator.elapsed
        outage = Blackhole(start + 0.05, start + 6)
        pair.simulator.link("client", "wifi").replace([outage, DELAY])
        data = bytes(50_000)
        pair.client.send_stream(0, data, end_stream=True)
        pair.simulator.run_until(lambda: 0 in pair.server.ended_streams, limit=30)
        assert pair.simulator.elapsed - start > 6


def test_a_restarted_server_resets_its_old_clients_at_once() -> None:
    with pair_of(SILENT, SILENT) as pair:
        pair.handshake()
        pair.simulator.run_for(1)
        pair.restart_server("second server")
        pair.client.send_stream(0, b"are you there?" * 10)
        start = pair.simulator.elapsed
        pair.simulator.run_until(lambda: pair.client.termination is not None, limit=5)
        assert pair.simulator.elapsed - start < 0.1
        assert pair.client.termination is not None
        assert "stateless reset" in pair.client.termination.reason
        assert pair.client.termination.by_peer
        pair.simulator.run_for(5)
        assert pair.client.connection.is_closed
        pair.new_client("second client")
        pair.handshake()


def test_a_restarted_server_resets_an_idle_client_by_its_keep_alive() -> None:
    chatty = TransportConfig(idle_timeout=30.0, keep_alive=5.0)
    with pair_of(chatty, chatty) as pair:
        pair.handshake()
        pair.simulator.run_for(1)
        pair.restart_server("second server")
        pair.simulator.run_until(lambda: pair.client.termination is not None, limit=6)


def test_a_guessed_reset_changes_nothing() -> None:
    with pair_of(SILENT, SILENT) as pair:
        pair.handshake()
        for size in (21, 42, 100, 1200):
            forged = UdpDatagram(SERVER_ADDRESS, CLIENT_ADDRESS, b"\x41" + bytes(size - 1), 0)
            pair.simulator.inject(forged)
        pair.simulator.run_for(1)
        assert pair.client.termination is None
        pair.client.send_stream(0, b"alive", end_stream=True)
        pair.simulator.run_until(lambda: 0 in pair.server.ended_streams, limit=5)


def test_resets_do_not_start_a_storm() -> None:
    """RFC 9000 s10.3.3: each reset is smaller than what triggered it; tiny packets get none."""
    with pair_of(SILENT, SILENT) as pair:
        sizes: list[int] = []
        pair.simulator.add_tap(
            lambda _now, what, datagram: (
                sizes.append(len(datagram.payload)) if what == "sent" else None
            )
        )
        for size in range(1, 60):
            stranger = UdpDatagram(CLIENT_ADDRESS, SERVER_ADDRESS, b"\x41" * size, 0)
            pair.simulator.inject(stranger)
            before = len(sizes)
            pair.simulator.run_for(0.1)
            answers = sizes[before:]
            assert all(21 <= answer < size for answer in answers)
            assert len(answers) == (1 if size > 21 else 0)


def test_resets_are_limited_in_rate() -> None:
    with pair_of(SILENT, SILENT) as pair:
        for _ in range(2000):
            pair.simulator.inject(UdpDatagram(CLIENT_ADDRESS, SERVER_ADDRESS, b"\x41" * 40, 0))
            pair.simulator.inject(UdpDatagram(CLIENT_ADDRESS, SERVER_ADDRESS, b"\x42" * 50, 0))
        pair.simulator.run_for(1)
        assert pair.simulator.sent_count <= 200


def test_closing_before_the_handshake_ends_is_heard() -> None:
    with pair_of(SILENT, SILENT) as pair:
        pair.connect()
        pair.simulator.run_for(0.021)
        pair.client.close(0x100, "never mind")
        pair.simulator.run_for(10)
        assert pair.client.connection.is_closed
        assert pair.client.termination is not None
        assert not pair.server_node.endpoint.connections


@pytest.mark.parametrize("at", [0.0, 0.01, 0.021, 0.03, 0.041, 0.05, 0.061, 0.07])
def test_closing_at_any_moment_terminates_both(at: float) -> None:
    for closer in ("client", "server"):
        with pair_of(SILENT, SILENT) as pair:
            pair.connect()
            pair.simulator.run_for(at)
            has_server = bool(pair.server_node.peers)
            if closer == "server" and not has_server:
                continue
            (pair.client if closer == "client" else pair.server).close(0x100, "stop")
            pair.simulator.run_for(40)
            assert pair.client.connection.is_closed
            assert len(pair.client.events_of(ConnectionTerminated)) == 1
            assert not pair.server_node.endpoint.connections
            assert pair.client.connection.next_timeout() is None


def test_closing_an_unused_connection_is_quiet() -> None:
    with pair_of(SILENT, SILENT) as pair:
        pair.client.close(0x100, "unused")
        pair.simulator.run_for(40)
        assert pair.simulator.sent_count == 0
