"""What a comparison of ways makes of its runs: rates of UDP, medians, bars."""

from dataclasses import replace
from itertools import chain

import pytest

from benchmarks.measure import Load
from benchmarks.samples import Footprint, Middle, Result, Sample, ratio
from benchmarks.throughput_bars import Verdict, judge
from benchmarks.throughput_plan import DEFAULT_WAYS, LOADS, WAYS, make_loads, turned
from benchmarks.tunnels import Way
from benchmarks.udp_rates import MAX_LOSS, search_nearby, search_rate


class Line:
    """Carries a rate and no more."""

    def __init__(self, carried: float, sender: float = 1e9) -> None:
        self.carried = carried
        self.sender = sender
        self.offered: list[float] = []

    def send(self, rate: float) -> tuple[Sample, float]:
        self.offered.append(round(rate, 2))
        sent = min(rate, self.sender)
        return Sample(mbit=min(sent, self.carried)), 2 * MAX_LOSS * (sent > self.carried)


@pytest.mark.parametrize(
    ("carried", "found", "tried"),
    [
        (130.0, 118.92, [25.0, 50.0, 100.0, 200.0, 141.42, 118.92]),
        (190.0, 168.18, [25.0, 50.0, 100.0, 200.0, 141.42, 168.18]),
        # Where the first rate is too much already, one that is not is found below it.
        (7.0, 6.25, [25.0, 12.5, 6.25, 8.84, 7.43]),
        (0.1, None, [25.0, 12.5, 6.25, 3.12, 1.56, 0.78]),
        (1e9, 12_800.0, [25.0 * 2**step for step in range(10)]),
    ],
)
def test_the_best_rate_is_found(carried: float, found: float | None, tried: list[float]) -> None:
    line = Line(carried)
    best = search_rate(line.send)
    assert (best.sample and round(best.sample.mbit, 2)) == found
    assert line.offered == tried


def test_a_sender_that_gives_no_more_ends_the_search() -> None:
    line = Line(carried=1e9, sender=300.0)
    best = search_rate(line.send)
    assert best.sample == Sample(mbit=300.0)
    assert line.offered == [25.0, 50.0, 100.0, 200.0, 400.0]


@pytest.mark.parametrize(
    ("carried", "found", "tried"),
    [
        (110.0, 109.05, [100.0, 118.92, 109.05, 113.88]),
        (150.0, 147.68, [100.0, 118.92, 141.42, 168.18, 154.22, 147.68]),
        (75.0, 73.84, [100.0, 84.09, 70.71, 77.11, 73.84]),
    ],
)
def test_a_rate_is_found_again_near_by(carried: float, found: float, tried: list[float]) -> None:
    line = Line(carried)
    best = search_nearby(line.send, 100.0)
    assert best.sample is not None
    assert round(best.rate, 2) == round(best.sample.mbit, 2) == found
    assert line.offered == tried


TCP = Load(direction="up", proto="tcp", flows=1, seconds=4)
NATIVE, RAW, TWO = WAYS["native"], WAYS["raw"], WAYS["native-x2"]


def _result(way: Way, *mbit: float, cost: float | None = None, load: Load = TCP) -> Result:
    samples = [Sample(mbit=each, client_cost=cost, server_cost=cost) for each in mbit]
    return Result(way=way, load=load, samples=tuple(samples))


def test_results_are_summed_up() -> None:
    result = _result(NATIVE, 3.0, 1.0, 2.0, cost=1.5)
    assert result.mbit == Middle(median=2.0, lowest=1.0, highest=3.0)
    assert result.costs == (Middle(median=1.5, lowest=1.5, highest=1.5),) * 2
    assert result.mbit.text(0) == "2 (1-3)"
    assert Middle(median=1.5, lowest=1.5, highest=1.5).text(2) == "1.50"
    assert _result(RAW, 1.0).costs == (None, None)
    small = Load(direction="up", proto="udp", flows=1, seconds=2, payload_bytes=125)
    packets = _result(NATIVE, 10.0, load=small).kilopackets
    assert (packets and packets.median, result.kilopackets) == (10.0, None)


def test_rates_are_compared_within_a_round() -> None:
    # Half as fast in every round, and yet the medians are the same.
    one, other = _result(NATIVE, 2.0, 4.0, 8.0), _result(RAW, 4.0, 8.0, 16.0)
    assert ratio((one, other)) == Middle(median=0.5, lowest=0.5, highest=0.5)
    assert ratio((one, _result(RAW, 0.0, 8.0))) == Middle(median=0.5, lowest=0.5, highest=0.5)
    assert ratio((one, _result(RAW, 0.0))) is None


def _only(verdicts: list[Verdict], words: str) -> Verdict:
    (found,) = [verdict for verdict in verdicts if words in verdict.what]
    return found


def test_every_bar_is_judged() -> None:
    plain, bare_plain = WAYS["native-plain"], WAYS["raw-plain"]
    results = [
        _result(RAW, 10_000.0),
        _result(NATIVE, 1900.0, cost=1.0),
        _result(bare_plain, 5000.0),
        _result(plain, 1000.0, cost=2.3),
        _result(WAYS["reference"], 199.0, cost=20.0),
        _result(TWO, 1810.0, cost=1.2),
        _result(WAYS["wireguard-go"], 400.0, cost=15.0),
    ]
    middle = Middle(median=251.0, lowest=200.0, highest=300.0)
    footprint = Footprint(
        way=NATIVE, rtt_added_us=middle, idle_cpu_share=0.0, resident_mb=(70.0, 70.0)
    )
    unknown = replace(footprint, way=WAYS["native-plain"], rtt_added_us=None)
    others = [replace(footprint, way=WAYS["reference"]), unknown]
    verdicts = judge(results, [footprint, *others])
    expected = {
        "CPU-s/GB of the client, native tcp-1": True,
        "CPU-s/GB of the server, native tcp-1": True,
        "CPU-s/GB of the client, native-plain tcp-1": False,
        "CPU-s/GB of the server, native-plain tcp-1": False,
        "share of bare veth, native tcp-1": False,
        "share of bare veth, native-plain tcp-1": True,
        "idle round trip added in us, native": False,
        "Mbit/s, reference tcp-1": False,
        "two paths in relation to one, native-x2": True,
        "CPU-s/GB of the client against wireguard-go": True,
        "CPU-s/GB of the server against wireguard-go": True,
    }
    assert {words: _only(verdicts, words).is_met for words in expected} == expected
    assert len(verdicts) == len(expected)
    assert _only(verdicts, "share of bare veth, native tcp").text() == (
        "FAILED  share of bare veth, native tcp-1 up: 0.19 (bar >= 0.2)"
    )


def test_what_was_not_measured_is_not_judged() -> None:
    assert judge([_result(RAW, 10_000.0)], []) == []
    down = replace(TCP, direction="down")
    other_way_round = [_result(NATIVE, 1000.0), _result(TWO, 100.0, load=down)]
    assert judge(other_way_round, []) == []
    four = replace(TCP, flows=4)
    pair = [_result(NATIVE, 1000.0, load=four), _result(TWO, 940.0, load=four)]
    assert [verdict.is_met for verdict in judge(pair, [])] == [False]


def test_all_rows_have_names() -> None:
    loads = make_loads(LOADS, ("up", "down"), 4.0)
    assert [(load.direction, load.name) for load in loads] == [
        (direction, name) for direction in ("up", "down") for name in LOADS
    ]
    assert set(DEFAULT_WAYS) <= set(WAYS)
    assert all(name == way.name for name, way in WAYS.items())


def test_every_way_comes_first_some_time() -> None:
    ways = (RAW, NATIVE, TWO)
    orders = [turned(ways, number) for number in range(4)]
    assert [order[0] for order in orders] == [RAW, NATIVE, TWO, RAW]
    assert set(chain(*orders)) == set(ways)
