"""How fast is the tunnel, and what does it cost? ``python -m benchmarks.throughput`` (root).

Every way stands between two namespaces of its own: the bare link, the tunnel with each kernel of
the data plane, over one link and two, over links that take and give segments of 64 KB and over
links that do not ("plain"), and other tunnels where they are installed. In each round each load
goes over each way once, in another order each time, so that all of them meet the same noise;
medians of the rounds count, lowest and highest stand beside them, and what is compared is
compared within a round.

Loads: iperf3 with TCP, and with UDP at rising rates; the best one at which at most 1 % is lost
counts. In the first round it is searched from scratch, later from where it was found.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.measure import Load, MeasureError, idle_round_trip_us, processor_seconds, transfer
from benchmarks.other_tunnels import STARTERS, found
from benchmarks.samples import Footprint, Middle, Result, Sample
from benchmarks.throughput_bars import judge
from benchmarks.throughput_plan import (
    DEFAULT_WAYS,
    DIRECTIONS,
    LOADS,
    QUICK_LOADS,
    QUICK_WAYS,
    WAYS,
    Plan,
    make_loads,
    turned,
)
from benchmarks.tunnels import Setting, Way, settings
from benchmarks.udp_rates import search_nearby, search_rate
from mqvpn_core.demo.processes import resident_bytes
from mqvpn_core.errors import MqvpnError

_IDLE_SECONDS = 3.0


class Rounds:
    """Measures round by round.

    A: `results`, `footprints`. C: `run`.
    """

    def __init__(self, made: Sequence[Setting], plan: Plan) -> None:
        """Nothing is measured yet."""
        self._made = {setting.way: setting for setting in made}
        self._plan = plan
        self._samples: dict[tuple[Way, Load], list[Sample]] = {}
        self._rates: dict[tuple[Way, Load], float] = {}
        self._idle: dict[Way, list[float]] = {setting.way: [] for setting in made}

    @property
    def results(self) -> list[Result]:
        """Of all rounds so far, load by load."""
        return [
            Result(way=way, load=load, samples=tuple(samples))
            for load in self._plan.loads
            for way in self._made
            if (samples := self._samples.get((way, load)))
        ]

    @property
    def footprints(self) -> list[Footprint]:
        """What each tunnel costs without load; asks the programs, and waits a few seconds each."""
        return [self._footprint(setting) for setting in self._made.values() if setting.programs]

    def run(self) -> Iterator[str]:
        """Measure as often as there is time for; say something after each round."""
        began = time.perf_counter()
        longest = 0.0
        for number in range(self._plan.rounds):
            start = time.perf_counter()
            if number and start - began + longest > self._plan.minutes * 60:
                yield f"no time for more than {number} of {self._plan.rounds} rounds"
                return
            self._go_round(number)
            lasted = time.perf_counter() - start
            longest = max(longest, lasted)
            yield f"round {number + 1} of {self._plan.rounds}: {lasted:.0f} s"

    def _go_round(self, number: int) -> None:
        ways = turned(tuple(self._made), number)
        for way in ways:
            self._idle[way].append(idle_round_trip_us(self._made[way].pair, self._plan.pings))
        for load in self._plan.loads:
            for way in ways:
                sample = self._measure(way, load)
                self._samples.setdefault((way, load), []).append(sample)

    def _measure(self, way: Way, load: Load) -> Sample:
        setting = self._made[way]
        if load.proto == "tcp":
            return _once(setting, load)[0]

        def offer(rate: float) -> tuple[Sample, float]:
            # Whoever is drowned in UDP may lose iperf3's own connection as well.
            with suppress(MeasureError):
                return _once(setting, load.at_rate(rate))
            return Sample(mbit=0.0), 1.0

        before = self._rates.get((way, load))
        best = search_rate(offer) if before is None else search_nearby(offer, before)
        if best.sample is None:
            return Sample(mbit=0.0)
        self._rates[way, load] = best.rate
        return best.sample

    def _footprint(self, setting: Setting) -> Footprint:
        assert setting.programs is not None
        before = processor_seconds(setting.programs)
        time.sleep(_IDLE_SECONDS)
        after = processor_seconds(setting.programs)
        client, server = (resident_bytes(each.process.pid) / 1e6 for each in setting.programs)
        bare = self._idle.get(Way(variant="raw", offloads=setting.way.offloads))
        own = self._idle[setting.way]
        return Footprint(
            way=setting.way,
            rtt_added_us=None
            if bare is None
            else Middle.of([one - other for one, other in zip(own, bare, strict=True)]),
            idle_cpu_share=max(
                (now - then) / _IDLE_SECONDS for now, then in zip(after, before, strict=True)
            ),
            resident_mb=(round(client, 1), round(server, 1)),
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write the file."""
    given = _parser().parse_args(arguments)
    plan = _plan(given)
    machine = describe_machine()
    print("  ".join(f"{name}: {value}" for name, value in machine.items()))
    print("ways: " + ", ".join(way.name for way in plan.ways), flush=True)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="mq-bench-") as scratch,
            settings(list(plan.ways), Path(scratch)) as made,
        ):
            rounds = Rounds(made, plan)
            try:
                for line in rounds.run():
                    print(line, flush=True)
            except KeyboardInterrupt:
                print("interrupted: what has been measured so far")
            results, footprints = rounds.results, rounds.footprints
    except (MqvpnError, MeasureError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    _print(results, footprints)
    if given.json is not None:
        given.json.write_text(json.dumps(_report(machine, plan, results, footprints), indent=2))
        print(f"written: {given.json}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="about a minute: one TCP flow over three ways, once"
    )
    parser.add_argument(
        "--ways", type=_names(WAYS), metavar="WAY,...", help="only these: " + ", ".join(WAYS)
    )
    parser.add_argument(
        "--loads", type=_names(LOADS), metavar="LOAD,...", help="only these: " + ", ".join(LOADS)
    )
    parser.add_argument("--direction", choices=DIRECTIONS, help="only this one")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often; 5 unless told")
    parser.add_argument("--seconds", type=float, metavar="S", help="of a run; 4 unless told")
    parser.add_argument("--minutes", type=float, default=90.0, metavar="M", help="at most, in all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there as well")
    return parser


class _names:  # noqa: N801 - reads like a type of argparse
    """Reads a list of names."""

    def __init__(self, allowed: Sequence[str] | dict[str, Way]) -> None:
        self._allowed = allowed

    def __call__(self, text: str) -> tuple[str, ...]:
        """Return the names."""
        names = tuple(text.split(","))
        unknown = [name for name in names if name not in self._allowed]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
        return names


def _plan(given: argparse.Namespace) -> Plan:
    wanted: tuple[str, ...] = given.ways or (QUICK_WAYS if given.quick else DEFAULT_WAYS)
    here = found()
    ways = []
    for way in (WAYS[name] for name in wanted):
        if way.variant in STARTERS and way.variant not in here:
            print(f"{way.variant} is not installed: not measured")
        elif not way.offloads and shutil.which("ethtool") is None:
            print(f"ethtool is missing: {way.name} is not measured")
        else:
            ways.append(way)
    seconds: float = given.seconds or (3.0 if given.quick else 4.0)
    directions = (given.direction,) if given.direction else DIRECTIONS
    names = given.loads or (QUICK_LOADS if given.quick else LOADS)
    return Plan(
        ways=tuple(ways),
        loads=make_loads(names, directions, seconds),
        rounds=given.rounds or (1 if given.quick else 5),
        pings=100,
        minutes=given.minutes,
    )


def _once(setting: Setting, load: Load) -> tuple[Sample, float]:
    before = processor_seconds(setting.programs)
    moved = transfer(setting.pair, load)
    after = processor_seconds(setting.programs)
    gigabytes = moved.received_bytes / 1e9
    if setting.programs is None or not gigabytes:
        return Sample(mbit=moved.mbit), moved.loss or 0.0
    client, server = ((now - then) / gigabytes for now, then in zip(after, before, strict=True))
    sample = Sample(mbit=moved.mbit, client_cost=client, server_cost=server)
    return sample, moved.loss or 0.0


_HEADINGS = ("way", "dir", "load", "n", "Mbit/s", "1000/s", "CPU s/GB client", "CPU s/GB server")
_ROW = "{:16} {:4} {:8} {:>2} {:>24} {:>7} {:>19} {:>19}"


def _print(results: Sequence[Result], footprints: Sequence[Footprint]) -> None:
    print(_ROW.format(*_HEADINGS))
    for result in results:
        packets = result.kilopackets
        print(
            _ROW.format(
                *(result.way.name, result.load.direction, result.load.name),
                *(len(result.samples), result.mbit.text(0)),
                "-" if packets is None else f"{packets.median:.1f}",
                *("-" if cost is None else cost.text(2) for cost in result.costs),
            )
        )
    for cost in footprints:
        added = cost.rtt_added_us
        print(
            f"{cost.way.name}: idle RTT +{added.text(0) if added else '-'} us, idle processor"
            f" {cost.idle_cpu_share * 100:.1f} %, memory {cost.resident_mb[0]:.0f} MB client,"
            f" {cost.resident_mb[1]:.0f} MB server"
        )
    verdicts = judge(results, footprints)
    for verdict in verdicts:
        print(verdict.text())
    print(f"{sum(verdict.is_met for verdict in verdicts)} of {len(verdicts)} bars passed")


def _report(
    machine: dict[str, str | int],
    plan: Plan,
    results: Sequence[Result],
    footprints: Sequence[Footprint],
) -> dict[str, object]:
    rows = []
    for result in results:
        client, server = result.costs
        sums = {
            "mbit": result.mbit,
            "kilopackets": result.kilopackets,
            "client_cost": client,
            "server_cost": server,
        }
        rows.append(
            asdict(result)
            | {name: None if value is None else asdict(value) for name, value in sums.items()}
        )
    verdicts = judge(results, footprints)
    return {
        "machine": machine,
        "plan": asdict(plan),
        "results": rows,
        "footprints": [asdict(cost) for cost in footprints],
        "bars": [asdict(verdict) | {"is_met": verdict.is_met} for verdict in verdicts],
    }


if __name__ == "__main__":
    sys.exit(main())
