"""Path MTU discovery: raised where the path allows, back down when the path turns black."""

import pytest

from mqvpn_core.ids import FourTuple, Instant, SocketAddress
from mqvpn_core.quic.events import PathMtuChanged, PathSuspected
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.quic.udp_datagrams import RefusedDatagram
from mqvpn_core.testing.link_elements import Delay, Jitter, LinkElement, Loss, Mtu, UdpDatagram
from mqvpn_core.testing.pair import CLIENT_ADDRESS, SERVER_ADDRESS, Pair, PairConfig
from tests.simulation.rules import PairRules

DELAY = Delay(0.02)
QUIET = TransportConfig(keep_alive=None, idle_timeout=2000.0)
CHATTY = TransportConfig(keep_alive=20.0, idle_timeout=60.0)
IPV4_OVERHEAD = 28


def pair_with(*elements: LinkElement, seed: int = 1, config: TransportConfig = QUIET) -> Pair:
    return Pair(seed, PairConfig(client=config, server=config, client_link=(*elements, DELAY)))


def sizes_of(pair: Pair) -> tuple[int, int]:
    """Return the maximum datagram sizes of client and server."""
    return pair.client.path.max_datagram_size, pair.server.path.max_datagram_size


def transfer(pair: Pair, stream_id: int, size: int, *, limit: float = 60.0) -> None:
    """Send data both ways and check it."""
    data = bytes(range(256)) * (size // 256)
    pair.client.send_stream(stream_id, data, end_stream=True)
    pair.server.send_stream(stream_id + 1, data, end_stream=True)
    pair.simulator.run_until(
        lambda: (
            stream_id in pair.server.ended_streams and stream_id + 1 in pair.client.ended_streams
        ),
        limit=limit,
    )
    assert pair.server.received_stream(stream_id) == data
    assert pair.client.received_stream(stream_id + 1) == data


@pytest.mark.parametrize(
    ("mtu", "smallest"),
    [
        (1500, 1472),
        (1492, 1464),
        (1480, 1452),
        (1450, 1402),
        (1400, 1372),
        (1330, 1252),
        (1280, 1252),
        (1260, 1232),
        (1228, 1200),
    ],
)
def test_the_search_finds_what_the_path_carries(mtu: int, smallest: int) -> None:
    with pair_with(Mtu(mtu)) as pair:
        rules = PairRules(pair)
        pair.handshake()
        assert sizes_of(pair) == (1200, 1200)
        pair.simulator.run_for(30)
        for size in sizes_of(pair):
            assert smallest <= size <= mtu - IPV4_OVERHEAD
        assert pair.client.connection.path_mtu_is_settled
        assert pair.server.connection.path_mtu_is_settled
        transfer(pair, 0, 100_000)
        rules.finish()


def test_the_search_is_short_and_reports_each_step() -> None:
    with pair_with(Mtu(1500)) as pair:
        pair.handshake()
        before = pair.simulator.sent_count
        pair.simulator.run_for(30)
        assert pair.simulator.sent_count - before < 20
        steps = [event.max_datagram_size for event in pair.client.events_of(PathMtuChanged)]
        assert steps == sorted(set(steps))
        assert steps[-1] == pair.client.path.max_datagram_size


def test_lost_probes_do_not_shrink_the_window() -> None:
    """RFC 9000 s14.4: their loss is no sign of congestion."""
    with pair_with(Mtu(1228)) as pair:
        pair.handshake()
        windows = pair.client.path.congestion_window, pair.server.path.congestion_window
        pair.simulator.run_for(30)
        after = pair.client.path.congestion_window, pair.server.path.congestion_window
        assert all(new >= old for new, old in zip(after, windows, strict=True))


def test_datagrams_fit_as_soon_as_the_path_is_known_to_carry_them() -> None:
    with pair_with(Mtu(1500)) as pair:
        pair.handshake()
        pair.simulator.run_for(30)
        limit = pair.client.connection.max_datagram_payload
        assert limit > 1400
        payloads = [bytes(limit), bytes(limit + 1), bytes(limit - 1)]
        pair.client.send_datagrams(payloads, pair.simulator.now)
        pair.simulator.run_for(1)
        assert [len(payload) for payload in pair.server.received_datagrams] == [limit, limit - 1]
        assert pair.client.connection.statistics().datagrams_dropped == 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_black_hole_is_noticed_and_left(seed: int) -> None:
    """The path shrinks in the middle of a transfer and tells nobody."""
    with pair_with(Mtu(1500), seed=seed) as pair:
        rules = PairRules(pair)
        pair.handshake()
        pair.simulator.run_for(30)
        assert sizes_of(pair) == (1472, 1472)
        link = pair.simulator.link("client", "wifi")
        start = pair.simulator.elapsed
        pair.simulator.at(start + 0.1, "the path shrinks", lambda: link.replace([Mtu(1300), DELAY]))
        transfer(pair, 0, 500_000, limit=60)
        assert pair.simulator.elapsed - start < 30
        pair.simulator.run_for(60)
        assert all(1200 <= size <= 1272 for size in sizes_of(pair))
        transfer(pair, 4, 100_000, limit=20)
        rules.finish()


@pytest.mark.parametrize("small_bytes", [[], [100]], ids=["large", "mixed"])
def test_a_black_hole_for_bulk_datagrams_is_noticed(small_bytes: list[int]) -> None:
    """DATAGRAM frames are not repeated: only the lost packets tell."""
    with pair_with(Mtu(1500), config=CHATTY) as pair:
        pair.handshake()
        pair.simulator.run_for(30)
        pair.simulator.link("client", "wifi").replace([Mtu(1300), DELAY])
        for _ in range(300):
            payloads = [bytes(size) for size in (1400, *small_bytes)]
            pair.client.send_datagrams(payloads, pair.simulator.now)
            pair.simulator.run_for(0.02)
        assert pair.client.path.max_datagram_size <= 1272
        assert pair.client.connection.max_datagram_payload < 1272


def refuse_above(pair: Pair, largest: int) -> list[int]:
    """Let the client's host refuse what is larger; return the sizes that it refuses."""
    refused: list[int] = []
    client_path = FourTuple(CLIENT_ADDRESS, SERVER_ADDRESS)

    def refuse(now: Instant, what: str, datagram: UdpDatagram) -> None:
        size = len(datagram.payload)
        if what == "sent" and datagram.source == CLIENT_ADDRESS and size > largest:
            refused.append(size)
            # As the driver: when everything of this round was handed to the sockets.
            pair.simulator.at(
                pair.simulator.elapsed,
                "the host refuses",
                lambda: pair.client.connection.on_send_refused(
                    RefusedDatagram(client_path, size), now
                ),
            )

    pair.simulator.add_tap(refuse)
    return refused


def test_the_search_believes_the_host() -> None:
    with pair_with(Mtu(1400)) as pair:
        refused = refuse_above(pair, 1372)
        pair.handshake()
        pair.simulator.run_for(30)
        assert 1330 <= pair.client.path.max_datagram_size <= 1372
        assert len(refused) == len(set(refused)), "asked once, not three times"
        assert pair.client.events_of(PathSuspected) == []
        assert pair.client.path.bytes_in_flight == 0


def test_a_link_that_shrinks_under_our_eyes_is_noticed_at_once() -> None:
    with pair_with(Mtu(1500), config=CHATTY) as pair:
        pair.handshake()
        pair.simulator.run_for(30)
        assert sizes_of(pair) == (1472, 1472)
        pair.simulator.link("client", "wifi").replace([Mtu(1300), DELAY])
        refuse_above(pair, 1272)
        pair.client.send_datagrams([bytes(1400)], pair.simulator.now)
        pair.simulator.run_for(0.001)
        assert pair.client.path.max_datagram_size == 1200
        pair.simulator.run_for(30)
        assert 1230 <= pair.client.path.max_datagram_size <= 1272


def test_what_was_sent_elsewhere_is_refused_elsewhere() -> None:
    with pair_with(Mtu(1500)) as pair:
        pair.handshake()
        stranger = FourTuple(CLIENT_ADDRESS, SocketAddress("192.0.2.99", 443))
        refused = RefusedDatagram(stranger, 1300)
        assert not pair.client.connection.on_send_refused(refused, pair.simulator.now)
        pair.simulator.run_for(30)
        assert sizes_of(pair) == (1472, 1472)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_plain_loss_is_no_black_hole(seed: int) -> None:
    with pair_with(Mtu(1500), seed=seed) as pair:
        pair.handshake()
        pair.simulator.run_for(30)
        link = pair.simulator.link("client", "wifi")
        link.replace([Mtu(1500), Loss(0.05), Jitter(0.005), DELAY])
        transfer(pair, 0, 300_000, limit=120)
        assert sizes_of(pair) == (1472, 1472)


def test_the_search_begins_again_after_a_while() -> None:
    with pair_with(Mtu(1300)) as pair:
        pair.handshake()
        pair.simulator.run_for(60)
        assert all(size <= 1272 for size in sizes_of(pair))
        pair.simulator.link("client", "wifi").replace([Mtu(1500), DELAY])
        pair.simulator.run_for(700)
        assert sizes_of(pair) == (1472, 1472)


def test_our_own_limit_is_kept() -> None:
    small = TransportConfig(keep_alive=None, max_udp_payload=1300, idle_timeout=2000.0)
    config = PairConfig(client=small, server=QUIET, client_link=(Mtu(1500), DELAY))
    with Pair(1, config) as pair:
        largest: dict[str, int] = {}

        def note(now: Instant, what: str, datagram: UdpDatagram) -> None:
            del now
            if what == "sent":
                host = datagram.source.host
                largest[host] = max(largest.get(host, 0), len(datagram.payload))

        pair.simulator.add_tap(note)
        pair.handshake()
        pair.simulator.run_for(30)
        transfer(pair, 0, 100_000)
        assert largest["10.0.0.2"] == 1300
        assert largest["192.0.2.1"] == 1472
