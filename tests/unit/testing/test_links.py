"""Each link element does to datagrams what its name says, and nothing else."""

from itertools import pairwise

import pytest

from mqvpn_core.ids import Instant, SocketAddress
from mqvpn_core.testing.entropy import seeded_dice
from mqvpn_core.testing.link_elements import (
    SIMULATION_START,
    Aggregate,
    Blackhole,
    Delay,
    Direction,
    DropNth,
    Duplicate,
    EcnBleach,
    EcnMark,
    Jitter,
    LinkElement,
    Loss,
    Mtu,
    OneWay,
    RateLimit,
    Reorder,
    UdpDatagram,
    Wander,
)
from mqvpn_core.testing.links import Link
from mqvpn_core.testing.nat import Nat, Rebinding

CLIENT = SocketAddress("10.0.0.2", 5000)
SERVER = SocketAddress("192.0.2.1", 443)


def datagram(size: int = 100, *, ecn: int = 0) -> UdpDatagram:
    return UdpDatagram(CLIENT, SERVER, bytes(size), ecn)


def after(seconds: float) -> Instant:
    return Instant(SIMULATION_START + seconds)


def delays_up(element: LinkElement, times: list[float], size: int = 100) -> list[list[float]]:
    """Send one datagram at each time; return the delays of what comes out."""
    stage, _ = element.new_stages()
    dice = seeded_dice(1, "test")
    return [
        [out.at - after(time) for out in stage.pass_on(datagram(size), after(time), dice)]
        for time in times
    ]


def test_delay_is_the_same_for_all() -> None:
    assert delays_up(Delay(0.25), [0.0, 1.0]) == [[0.25], [0.25]]


def test_wandering_delay_moves_slowly_and_keeps_the_order() -> None:
    times = [step / 1000 for step in range(500)]
    delays = [delay for out in delays_up(Wander(0.01, 0.02), times) for delay in out]
    assert len(delays) == 500
    assert 0 <= min(delays) < 0.002
    assert 0.008 < max(delays) <= 0.01
    arrivals = [time + delay for time, delay in zip(times, delays, strict=True)]
    assert arrivals == sorted(arrivals)
    steps = [later - earlier for earlier, later in pairwise(delays)]
    assert max(map(abs, steps)) < 0.01 / 20 + 1e-9


def test_jitter_stays_inside_its_bounds() -> None:
    delays = [delay for out in delays_up(Jitter(0.5), [0.0] * 200) for delay in out]
    assert len(delays) == 200
    assert 0 <= min(delays) < 0.05
    assert 0.45 < max(delays) < 0.5


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_loss_takes_its_share(probability: float) -> None:
    lost = delays_up(Loss(probability), [0.0] * 2000).count([])
    assert lost == pytest.approx(2000 * probability, abs=80)


def test_reorder_holds_a_share_for_its_time() -> None:
    delays = [out[0] for out in delays_up(Reorder(0.5, 0.125), [0.0] * 400)]
    assert set(delays) == {0.0, 0.125}
    assert delays.count(0.125) == pytest.approx(200, abs=50)


def test_duplicate_makes_a_later_copy() -> None:
    assert delays_up(Duplicate(1.0, 0.5), [0.0]) == [[0.0, 0.5]]
    assert delays_up(Duplicate(0.0, 0.5), [0.0]) == [[0.0]]


@pytest.mark.parametrize(
    ("destination", "payload_bytes", "passes"),
    [
        ("192.0.2.1", 1472, True),
        ("192.0.2.1", 1473, False),
        ("2001:db8::1", 1452, True),
        ("2001:db8::1", 1453, False),
    ],
)
def test_mtu_counts_the_headers(destination: str, payload_bytes: int, passes: bool) -> None:
    stage, _ = Mtu(1500).new_stages()
    sent = UdpDatagram(CLIENT, SocketAddress(destination, 443), bytes(payload_bytes), 0)
    assert bool(stage.pass_on(sent, after(0), seeded_dice(1, "test"))) is passes


def test_blackhole_has_a_beginning_and_an_end() -> None:
    assert delays_up(Blackhole(1.0, 2.0), [0.5, 1.0, 1.5, 2.0]) == [[0.0], [], [], [0.0]]


@pytest.mark.parametrize(("sent", "arrives"), [(0, 0), (1, 3), (2, 3), (3, 3)])
def test_ecn_mark_spares_what_is_not_capable(sent: int, arrives: int) -> None:
    stage, _ = EcnMark(1.0).new_stages()
    (departure,) = stage.pass_on(datagram(ecn=sent), after(0), seeded_dice(1, "test"))
    assert departure.datagram.ecn == arrives


def test_ecn_bleach_clears_the_field() -> None:
    stage, _ = EcnBleach().new_stages()
    (departure,) = stage.pass_on(datagram(ecn=2), after(0), seeded_dice(1, "test"))
    assert departure.datagram.ecn == 0


def test_aggregate_delivers_in_bursts() -> None:
    delays = delays_up(Aggregate(0.25), [0.0, 0.0625, 0.125, 0.25, 0.375])
    assert delays == [[0.0], [0.1875], [0.125], [0.0], [0.125]]


def test_rate_limit_serves_one_after_the_other() -> None:
    # 100 bytes of payload are 128 bytes on the wire: 0.125 s each at 1024 bytes a second.
    assert delays_up(RateLimit(1024, 10_000), [0.0, 0.0, 0.0, 1.0]) == [
        [0.125],
        [0.25],
        [0.375],
        [0.125],
    ]


def test_rate_limit_drops_at_the_tail_and_recovers() -> None:
    assert delays_up(RateLimit(1024, 256), [0.0, 0.0, 0.0, 0.125]) == [
        [0.125],
        [0.25],
        [],
        [0.25],
    ]


def test_rate_limit_has_a_queue_for_each_direction() -> None:
    up, down = RateLimit(1024, 10_000).new_stages()
    dice = seeded_dice(1, "test")
    assert up.pass_on(datagram(), after(0), dice)[0].at == after(0.125)
    assert down.pass_on(datagram(), after(0), dice)[0].at == after(0.125)


def test_drop_nth_counts_one_direction() -> None:
    up, down = DropNth(frozenset({1}), Direction.UP).new_stages()
    dice = seeded_dice(1, "test")
    assert [bool(up.pass_on(datagram(), after(0), dice)) for _ in range(3)] == [True, False, True]
    assert all(down.pass_on(datagram(), after(0), dice) for _ in range(3))


def test_one_way_leaves_the_other_way_alone() -> None:
    up, down = OneWay(Direction.DOWN, Loss(1.0)).new_stages()
    assert up.pass_on(datagram(), after(0), seeded_dice(1, "test"))
    assert not down.pass_on(datagram(), after(0), seeded_dice(1, "test"))


def test_nat_translates_both_ways() -> None:
    up, down = Nat("203.0.113.1").new_stages()
    dice = seeded_dice(1, "test")
    (out,) = up.pass_on(datagram(), after(0), dice)
    assert out.datagram.source == SocketAddress("203.0.113.1", 40000)
    (again,) = up.pass_on(datagram(), after(0), dice)
    assert again.datagram.source == out.datagram.source
    answer = UdpDatagram(SERVER, out.datagram.source, b"x", 0)
    (back,) = down.pass_on(answer, after(0), dice)
    assert back.datagram.destination == CLIENT


def test_nat_gives_each_socket_its_own_port() -> None:
    up, _ = Nat("203.0.113.1").new_stages()
    dice = seeded_dice(1, "test")
    other = datagram()._replace(source=CLIENT._replace(port=5001))
    sources = [up.pass_on(item, after(0), dice)[0].datagram.source for item in (datagram(), other)]
    assert sources[0] != sources[1]


@pytest.mark.parametrize("new_host", ["203.0.113.1", "203.0.113.9"])
def test_nat_rebinding_changes_the_mapping_and_forgets_the_old_one(new_host: str) -> None:
    nat = Nat("203.0.113.1", (Rebinding(2.0, new_host),))
    assert nat.public_hosts == {"203.0.113.1", new_host}
    up, down = nat.new_stages()
    dice = seeded_dice(1, "test")
    old = up.pass_on(datagram(), after(1.9), dice)[0].datagram.source
    answer = UdpDatagram(SERVER, old, b"x", 0)
    assert not down.pass_on(answer, after(2.0), dice)
    new = up.pass_on(datagram(), after(2.0), dice)[0].datagram.source
    assert new.host == new_host
    assert new != old
    assert down.pass_on(UdpDatagram(SERVER, new, b"x", 0), after(2.1), dice)


def test_nat_drops_what_no_mapping_knows() -> None:
    _, down = Nat("203.0.113.1").new_stages()
    stranger = UdpDatagram(SERVER, SocketAddress("203.0.113.1", 40000), b"x", 0)
    assert not down.pass_on(stranger, after(0), seeded_dice(1, "test"))


def test_link_runs_its_chain_backwards_on_the_way_down() -> None:
    link = Link("wifi", "10.0.0.2", [Delay(1.0), Nat("203.0.113.1")])
    up = [link.stage(Direction.UP, index) for index in range(3)]
    down = [link.stage(Direction.DOWN, index) for index in range(3)]
    assert [entry and entry[0] for entry in up] == ["Delay", "Nat", None]
    assert [entry and entry[0] for entry in down] == ["Nat", "Delay", None]
    assert link.public_hosts == {"10.0.0.2", "203.0.113.1"}
