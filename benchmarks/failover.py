"""What of a lost link is noticed inside the tunnel? ``python -m benchmarks.failover`` (root).

A client with a WiFi-like and an LTE-like link. Again and again one of them is lost, in every way,
while a probe sends 100 packets a second in each direction and a TCP connection is talking; then
the link comes back. The gap is the longest silence of the probe, the worse of the two directions,
as the receivers' kernels saw it.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.figures import Spread
from benchmarks.kernel_reports import kernel_reports
from benchmarks.machine import describe_machine
from benchmarks.outage_cycle import Cycle, CycleResult, Target
from benchmarks.outages import Outage
from benchmarks.probe import probe
from benchmarks.steady_connection import steady_connection
from benchmarks.two_link_tunnel import TwoLinkTunnel, two_link_tunnel
from mqvpn_core.demo.topology import WEB_IPV4
from mqvpn_core.errors import MqvpnError
from tests.linkem.building import EmulatorError

IN_TIME_MS = 50.0
"""A loss that the kernel reports later than this is a silent one until then. Linux tells of
carriers once in a second only, those of all namespaces of a machine together."""

RETURN_BAR_MS = 2000.0
"""A link that is back carries packets again within this time."""

DEFAULT_CYCLES = 50
QUICK_CYCLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All cycles of one kind on one path."""

    kind: str
    """How the link was lost."""
    path: str
    """Which: ``primary`` carried the probe, ``other`` did not, ``path0`` has path ID 0."""
    cycles: int
    """How often."""
    gap_ms: Spread | None
    """Silence of the probe, the worse direction."""
    gap_in_time_ms: Spread | None
    """The same without the losses that the kernel should have reported and did not, or late."""
    late_reports: int
    """How often that was."""
    gap_up_ms: Spread | None
    """Silence from the client to the far host."""
    gap_down_ms: Spread | None
    """Silence from the far host to the client."""
    tcp_resets: int
    """How often the TCP connection broke."""
    tcp_messages: int
    """How many messages it carried there and back."""
    usable_ms: Spread | None
    """From the link's return until its path was usable, where it was."""
    return_ms: Spread | None
    """From the link's return until it carried traffic again, where it did."""
    not_returned: int
    """How often it did not."""
    report_ms: Spread | None
    """From the loss until the kernel told of it: the part of the gap that is not the tunnel's."""
    sender_stall_ms: Spread | None
    """Longest pause of the probe's sender: how far a gap may be the measuring machine's."""
    links: dict[str, int]
    """How often which link was the one."""
    bar_ms: float
    """What the 95th percentile of the gap may be; with a late report what it is in silence."""
    passed: bool
    """Whether gap, resets and return are within their bars."""


def main() -> int:
    """Measure, print a table, write the file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failover", description=__doc__)
    parser.add_argument(
        "--cycles",
        type=int,
        help=f"of each kind (default: {DEFAULT_CYCLES}); one takes 3 seconds, or 5 where path 0 is"
        " lost, so that all nine kinds take half an hour",
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_CYCLES} cycles of each kind")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there as well")
    parser.add_argument(
        "--kind", action="append", choices=[kind.value for kind in Outage], help="only this one"
    )
    parser.add_argument(
        "--target", action="append", choices=[target.value for target in Target], help="likewise"
    )
    parser.add_argument(
        "--option", action="append", default=[], help="more for client and server, like --option=-x"
    )
    arguments = parser.parse_args()
    cycles = arguments.cycles or (QUICK_CYCLES if arguments.quick else DEFAULT_CYCLES)
    kinds = [Outage(name) for name in arguments.kind or [kind.value for kind in Outage]]
    targets = [Target(name) for name in arguments.target or [each.value for each in Target]]
    machine = describe_machine()
    print("  ".join(f"{name}: {value}" for name, value in machine.items()))
    results: list[Result] = []
    code = 0
    try:
        with (
            tempfile.TemporaryDirectory(prefix="mq-bench-") as folder,
            two_link_tunnel(Path(folder), arguments.option) as tunnel,
        ):
            bench = Bench(tunnel, cycles)
            print(_ROW.format(*_HEADINGS))
            for target in targets:
                for kind in kinds:
                    results.append(bench.measure(kind, target))
                    print(_line(results[-1]), flush=True)
    except (MqvpnError, EmulatorError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 130
    print(f"{sum(result.passed for result in results)} of {len(results)} kinds within their bars")
    if arguments.json is not None:
        report = {"machine": machine, "results": [asdict(result) for result in results]}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(f"written: {arguments.json}")
    return code


class Bench:
    """Measures kind after kind on one world."""

    def __init__(self, tunnel: TwoLinkTunnel, cycles: int) -> None:
        """Bring the tunnel up.

        Args:
            tunnel: the world.
            cycles: how often each kind.
        """
        self._tunnel = tunnel
        self._cycles = cycles
        self._links = tuple(link.name for link in tunnel.links.both)
        tunnel.connect(*self._links)
        if not tunnel.wait_for_paths(*self._links):
            self._links = tuple(sorted(tunnel.usable_links()))
            print(f"this tunnel uses only {', '.join(self._links)}: expect long gaps")

    def measure(self, kind: Outage, target: Target) -> Result:
        """Run the cycles of one kind."""
        runs: list[CycleResult] = []
        talk = Counter[str]()
        while len(runs) < self._cycles:
            # Path 0 exists once in a connection.
            wanted = 1 if target is Target.PATH0 else self._cycles - len(runs)
            runs += self._one_connection(kind, target, wanted, talk)
        return _summary(kind, target, runs, talk)

    def _one_connection(
        self, kind: Outage, target: Target, wanted: int, talk: Counter[str]
    ) -> list[CycleResult]:
        """Run cycles as long as the links come back; add up what the TCP connection saw."""
        tunnel, world = self._tunnel, self._tunnel.links.world
        if target is Target.PATH0 or not tunnel.wait_for_paths(*self._links):
            tunnel.connect(*(link.name for link in tunnel.links.both))
            tunnel.wait_for_paths(*self._links)
        runs: list[CycleResult] = []
        with (
            probe(world.client, world.web, WEB_IPV4) as running,
            steady_connection(world.client, world.web, WEB_IPV4) as steady,
            kernel_reports(world.client) as reports,
        ):
            cycle = Cycle(tunnel, running, reports)
            while len(runs) < wanted and tunnel.wait_for_paths(*self._links):
                runs.append(cycle.run(kind, target))
        talk.update(resets=steady.resets, messages=steady.exchanged)
        return runs


def _summary(kind: Outage, target: Target, runs: list[CycleResult], talk: Counter[str]) -> Result:
    worse = Spread.of([_gap(run) for run in runs])
    in_time = [run for run in runs if not _is_late(kind, run)]
    prompt = Spread.of([_gap(run) for run in in_time])
    back = Spread.of([run.back for run in runs if run.back is not None])
    missing = sum(run.back is None for run in runs)
    srtt = max(run.srtt for run in runs)
    bar = kind.bar_ms(srtt)
    is_fast = (
        worse is not None
        and worse.p95 <= Outage.BLACK_HOLE.bar_ms(srtt)
        and prompt is not None
        and prompt.p95 <= bar
    )
    is_back = back is not None and back.max <= RETURN_BAR_MS and missing == 0
    return Result(
        kind=kind.value,
        path=target.value,
        cycles=len(runs),
        gap_ms=worse,
        gap_in_time_ms=prompt,
        late_reports=len(runs) - len(in_time),
        gap_up_ms=Spread.of([run.gap_up for run in runs]),
        gap_down_ms=Spread.of([run.gap_down for run in runs]),
        tcp_resets=talk["resets"],
        tcp_messages=talk["messages"],
        usable_ms=Spread.of([run.usable for run in runs if run.usable is not None]),
        return_ms=back,
        not_returned=missing,
        report_ms=Spread.of([run.report for run in runs if run.report is not None]),
        sender_stall_ms=Spread.of([run.sender_stall for run in runs]),
        links=dict(Counter(run.link for run in runs)),
        bar_ms=round(bar, 1),
        passed=is_fast and is_back and talk["messages"] > 0 and talk["resets"] == 0,
    )


def _gap(run: CycleResult) -> float:
    return max(run.gap_up, run.gap_down)


def _is_late(kind: Outage, run: CycleResult) -> bool:
    if kind is Outage.BLACK_HOLE:
        return False
    return run.report is None or run.report > IN_TIME_MS


_HEADINGS = (
    *("kind", "path", "link", "cycles", "gap p50", "p95", "max", "late", "in time p95", "bar"),
    *("up p95", "down p95", "kernel p95", "resets", "usable p95", "back p50", "max", ""),
)
_ROW = (
    "{:16} {:8} {:14} {:>6} {:>8} {:>7} {:>7} {:>5} {:>11} {:>5} "
    "{:>7} {:>9} {:>11} {:>6} {:>10} {:>8} {:>7} {}"
)


def _line(result: Result) -> str:
    back = "never" if result.return_ms is None else f"{result.return_ms.max:.0f}"
    return _ROW.format(
        result.kind,
        result.path,
        " ".join(f"{name}:{count}" for name, count in result.links.items()),
        result.cycles,
        *(f"{value:.0f}" for value in _values(result.gap_ms)),
        result.late_reports,
        _p95(result.gap_in_time_ms),
        f"{result.bar_ms:.0f}",
        _p95(result.gap_up_ms),
        _p95(result.gap_down_ms),
        _p95(result.report_ms),
        result.tcp_resets,
        _p95(result.usable_ms),
        "-" if result.return_ms is None else f"{result.return_ms.p50:.0f}",
        f"{back} +{result.not_returned} never" if result.not_returned else back,
        "pass" if result.passed else "FAIL",
    )


def _values(spread: Spread | None) -> tuple[float, float, float]:
    return (0.0, 0.0, 0.0) if spread is None else (spread.p50, spread.p95, spread.max)


def _p95(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.p95:.0f}"


if __name__ == "__main__":
    sys.exit(main())
