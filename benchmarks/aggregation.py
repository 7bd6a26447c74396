"""Do two links carry as much as both together? ``python -m benchmarks.aggregation`` (root).

The same TCP transfers through the tunnel over the first link alone, over the second alone, and
over both, one after the other for each load, so that they meet the same machine. Once with two
equal links, once with a WiFi-like and an LTE-like one. Takes six minutes for each of the
``--rounds``. A machine that does anything else meanwhile is not worth measuring: both ends of the
tunnel, two emulated links and 32 ends of TCP flows share its processors.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.machine import describe_machine
from benchmarks.measure import Load, MeasureError, Pair, processor_seconds, transfer
from benchmarks.two_link_tunnel import TwoLinkTunnel, two_link_tunnel
from mqvpn_core.demo.topology import WEB_IPV4
from mqvpn_core.errors import MqvpnError
from tests.linkem.building import EmulatorError
from tests.linkem.impairments import MEGABIT, Impairments
from tests.linkem.two_links import EQUAL, LTE_LIKE, WIFI_LIKE

_DIRECTIONS = ("up", "down")

SUM_BAR = 0.85
"""Share of the links' rates that many flows reach on the equal pair."""
SUM_BAR_FLOWS = 16
BEST_SINGLE_BAR = 0.95
"""Share of the best single path that two paths never fall below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How thoroughly to measure."""

    seconds: float = 6.0
    """Length of one transfer, as far as it counts."""
    ramp: float = 1.5
    """Seconds of it before that: each begins in a fresh tunnel."""
    rounds: int
    """How often everything; the median counts."""
    flows: tuple[int, ...]
    """Numbers of parallel TCP flows."""
    directions: tuple[str, ...]
    """``up``, ``down`` or both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Two links."""

    name: str
    """As in the results."""
    wlan: Impairments
    """The first."""
    lte: Impairments
    """The second."""
    is_equal: bool
    """Whether the bar on the sum holds."""

    @property
    def sum_mbit(self) -> float:
        """What the links carry together, headers included."""
        return (self.wlan.bits_per_second + self.lte.bits_per_second) / MEGABIT


SCENARIOS = (
    Scenario(name="equal", wlan=EQUAL, lte=EQUAL, is_equal=True),
    Scenario(name="wifi+lte", wlan=WIFI_LIKE, lte=LTE_LIKE, is_equal=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One load in one scenario."""

    scenario: str
    """Which links."""
    direction: str
    """``up`` or ``down``."""
    flows: int
    """Parallel TCP flows."""
    first_mbit: float
    """Payload a second over the first link alone."""
    second_mbit: float
    """Over the second alone."""
    both_mbit: float
    """Over both."""
    paths: int
    """Usable paths in the last case."""
    of_best_single: float
    """Both, as a share of the better of the two alone."""
    of_singles: float
    """Both, as a share of the two alone, added."""
    of_links: float
    """Both, as a share of the links' rates, added; headers alone cost 8 %."""
    cpu_client: float
    """Processors that the client kept busy over both."""
    cpu_server: float
    """The same of the server."""
    cpu_seconds_per_gigabyte: float
    """Processor time of client and server together for a gigabyte of payload over both."""
    kernel: str
    """Which kernel sealed and opened the packets."""
    bars: dict[str, bool]
    """The bars that hold here, and whether they are passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    mbit: float
    paths: int
    cpu_client: float
    cpu_server: float
    kernel: str


def main() -> int:
    """Measure, print a table, write the file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.aggregation", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only 1 and 16 flows, 4 minutes")
    parser.add_argument("--rounds", type=int, default=1, help="how often; the median counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there as well")
    parser.add_argument(
        "--scenario", action="append", choices=[each.name for each in SCENARIOS], help="only this"
    )
    parser.add_argument("--flows", type=int, action="append", help="only this number")
    parser.add_argument("--direction", choices=_DIRECTIONS, help="only this one")
    parser.add_argument(
        "--option", action="append", default=[], help="more for client and server, like --option=-x"
    )
    arguments = parser.parse_args()
    plan = Plan(
        rounds=arguments.rounds,
        flows=tuple(arguments.flows or ((1, 16) if arguments.quick else (1, 4, 16))),
        directions=(arguments.direction,) if arguments.direction else _DIRECTIONS,
    )
    machine = describe_machine()
    print("  ".join(f"{name}: {value}" for name, value in machine.items()))
    print(_ROW.format(*_HEADINGS))
    results: list[Result] = []
    code = 0
    try:
        for scenario in SCENARIOS:
            if not arguments.scenario or scenario.name in arguments.scenario:
                for result in _measure(scenario, plan, arguments.option):
                    results.append(result)
                    print(_line(result), flush=True)
    except (MqvpnError, EmulatorError, MeasureError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 130
    verdicts = [held for result in results for held in result.bars.values()]
    print(f"{sum(verdicts)} of {len(verdicts)} bars passed")
    if arguments.json is not None:
        report = {
            "machine": machine,
            "plan": asdict(plan),
            "results": [asdict(result) for result in results],
        }
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(f"written: {arguments.json}")
    return code


def _measure(scenario: Scenario, plan: Plan, options: Sequence[str]) -> Iterator[Result]:
    with (
        tempfile.TemporaryDirectory(prefix="mq-bench-") as folder,
        two_link_tunnel(Path(folder), options, scenario.wlan, scenario.lte) as tunnel,
    ):
        for direction in plan.directions:
            for flows in plan.flows:
                load = Load(
                    direction=direction,
                    proto="tcp",
                    flows=flows,
                    seconds=plan.seconds,
                    ramp=plan.ramp,
                )
                rounds = [_three_ways(tunnel, load, Path(folder)) for _ in range(plan.rounds)]
                yield _summary(scenario, load, rounds)


def _three_ways(
    tunnel: TwoLinkTunnel, load: Load, folder: Path
) -> tuple[_Sample, _Sample, _Sample]:
    """The load over the first link, over the second, over both; each in a fresh tunnel."""
    first, second = (link.name for link in tunnel.links.both)
    return (
        _transfer(tunnel, load, folder, (first,)),
        _transfer(tunnel, load, folder, (second,)),
        _transfer(tunnel, load, folder, (first, second)),
    )


def _transfer(
    tunnel: TwoLinkTunnel, load: Load, folder: Path, interfaces: tuple[str, ...]
) -> _Sample:
    tunnel.connect(*interfaces)
    tunnel.wait_for_paths(*interfaces)
    world = tunnel.links.world
    pair = Pair(client=world.client, server=world.web, address=WEB_IPV4, scratch=folder)
    programs = (tunnel.client, tunnel.server)
    status = tunnel.client.status()
    kernel = status.kernel if status is not None else ""
    before = processor_seconds(programs)
    moved = transfer(pair, load)
    after = processor_seconds(programs)
    client, server = (
        (late - early) / load.whole_seconds for early, late in zip(before, after, strict=True)
    )
    return _Sample(
        mbit=moved.mbit,
        paths=len(tunnel.usable_links()),
        cpu_client=client,
        cpu_server=server,
        kernel=kernel,
    )


def _summary(
    scenario: Scenario, load: Load, rounds: Sequence[tuple[_Sample, _Sample, _Sample]]
) -> Result:
    first, second, both = (median(each[way].mbit for each in rounds) for way in range(3))
    together = [each[2] for each in rounds]
    of_best_single = both / max(first, second)
    of_links = both / scenario.sum_mbit
    bars = {f"at least {BEST_SINGLE_BAR:.0%} of the best single": of_best_single >= BEST_SINGLE_BAR}
    if scenario.is_equal and load.flows == SUM_BAR_FLOWS:
        bars[f"at least {SUM_BAR:.0%} of the links"] = of_links >= SUM_BAR
    return Result(
        scenario=scenario.name,
        direction=load.direction,
        flows=load.flows,
        first_mbit=round(first, 1),
        second_mbit=round(second, 1),
        both_mbit=round(both, 1),
        paths=min(each.paths for each in together),
        of_best_single=round(of_best_single, 3),
        of_singles=round(both / (first + second), 3),
        of_links=round(of_links, 3),
        cpu_client=round(median(each.cpu_client for each in together), 2),
        cpu_server=round(median(each.cpu_server for each in together), 2),
        cpu_seconds_per_gigabyte=round(
            median((each.cpu_client + each.cpu_server) / each.mbit * 8000 for each in together), 1
        ),
        kernel=together[-1].kernel,
        bars=bars,
    )


_HEADINGS = (
    *("links", "dir", "flows", "first", "second", "both Mbit/s", "paths"),
    *("of best", "of sum", "of rates", "CPU c", "s", "s/GB", "kernel", "bars"),
)
_ROW = "{:9} {:4} {:>5} {:>7} {:>7} {:>11} {:>5} {:>8} {:>7} {:>8} {:>6} {:>5} {:>5} {:9}  {}"


def _line(result: Result) -> str:
    return _ROW.format(
        result.scenario,
        result.direction,
        result.flows,
        *(f"{mbit:.1f}" for mbit in (result.first_mbit, result.second_mbit, result.both_mbit)),
        result.paths,
        *(f"{share:.0%}" for share in (result.of_best_single, result.of_singles, result.of_links)),
        result.cpu_client,
        result.cpu_server,
        result.cpu_seconds_per_gigabyte,
        result.kernel,
        ", ".join(f"{bar}: {'pass' if held else 'FAIL'}" for bar, held in result.bars.items()),
    )


if __name__ == "__main__":
    sys.exit(main())
