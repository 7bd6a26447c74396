"""How fast is the tunnel, and what does it cost? ``python -m benchmarks.throughput`` (root).

Every way stands between two namespaces of its own: the bare link, the tunnel with each kernel of
the data plane, over one link and two, over links that take and give segments of 64 KB and over
links that do not. They take turns, load by load, so that all of them meet the same noise; medians
count, lowest and highest stand beside them.

Loads: iperf3 with TCP, and with UDP at rates that double until more than 1 % is lost, or halve
until no more is lost where the first one was too much; the best rate below that counts.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.measure import (
    UDP_PAYLOAD_BYTES,
    Load,
    MeasureError,
    idle_round_trip_us,
    processor_seconds,
    transfer,
)
from benchmarks.other_tunnels import found
from benchmarks.tunnels import Setting, Way, settings
from mqvpn_core.demo.processes import resident_bytes
from mqvpn_core.errors import MqvpnError

SMALL_PAYLOAD_BYTES = 132
"""UDP payload of IP packets of 160 bytes."""
MAX_LOSS = 0.01

_IDLE_SECONDS = 3.0
_FIRST_UDP_MBIT = 25.0
_LAST_UDP_MBIT = 3200.0
_LOWEST_UDP_MBIT = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How thoroughly to measure."""

    seconds: float
    """Length of one run."""
    repeats: int
    """Runs of each load; the median counts."""
    flows: tuple[int, ...]
    """Numbers of parallel TCP flows."""
    pings: int
    """Idle round trips."""
    udp_payloads: tuple[int, ...]
    """Sizes of UDP packets to search a rate for."""
    ways: tuple[Way, ...]
    """What to compare."""


_RAW = Way(variant="raw")
_NATIVE = Way(variant="tunnel", kernel="native")
_REFERENCE = Way(variant="tunnel", kernel="reference")

QUICK = Plan(
    seconds=3, repeats=1, flows=(1,), pings=100, udp_payloads=(), ways=(_RAW, _NATIVE, _REFERENCE)
)
THOROUGH = Plan(
    seconds=5,
    repeats=5,
    flows=(1, 4),
    pings=300,
    udp_payloads=(UDP_PAYLOAD_BYTES, SMALL_PAYLOAD_BYTES),
    ways=(
        _RAW,
        _NATIVE,
        _REFERENCE,
        Way(variant="tunnel", kernel="native", paths=2),
        Way(variant="raw", offloads=False),
        Way(variant="tunnel", kernel="native", offloads=False),
        Way(variant="tunnel", kernel="reference", offloads=False),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Middle:
    """Median, lowest and highest of several runs."""

    median: float
    """The one that counts."""
    lowest: float
    """Best or worst, as it may be."""
    highest: float
    """The other one."""

    @classmethod
    def of(cls, values: Sequence[float]) -> "Middle":
        """Sum up; there is at least one."""
        rounded = [round(value, 2) for value in values]
        return cls(
            median=round(statistics.median(values), 2),
            lowest=min(rounded),
            highest=max(rounded),
        )

    def text(self, digits: int) -> str:
        """For the table."""
        if self.lowest == self.highest:
            return f"{self.median:.{digits}f}"
        return f"{self.median:.{digits}f} ({self.lowest:.{digits}f}-{self.highest:.{digits}f})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line of the table: one load on one way."""

    way: Way
    """The way."""
    direction: str
    """``up`` or ``down``."""
    proto: str
    """``tcp`` or ``udp``."""
    flows: int
    """Parallel flows."""
    payload_bytes: int | None
    """UDP: size of the packets."""
    mbit: Middle
    """Payload received, Mbit/s."""
    client_cost: Middle | None
    """Processor seconds of the client's process for 10^9 bytes."""
    server_cost: Middle | None
    """The same of the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What a tunnel costs apart from loads."""

    way: Way
    """The way."""
    rtt_added_us: float
    """Median round-trip time of the idle tunnel less that of the bare link."""
    idle_cpu_share: float
    """Of one processor, the busier of the two programs."""
    resident_mb: tuple[float, float]
    """Memory of client and server after all loads."""


Sample = tuple[float, float | None, float | None]
"""Mbit/s, and seconds for 10^9 bytes of client and server."""


def main() -> int:
    """Measure, print the table, write the file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="about a minute instead of half an hour"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there as well")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else THOROUGH
    if shutil.which("ethtool") is None and not all(way.offloads for way in plan.ways):
        print("ethtool is missing: nothing is measured over links without offloads")
        plan = replace(plan, ways=tuple(way for way in plan.ways if way.offloads))
    others = tuple(Way(variant=name) for name in found())
    plan = replace(plan, ways=(*plan.ways, *others))
    machine = describe_machine()
    print("  ".join(f"{name}: {value}" for name, value in machine.items()))
    try:
        with (
            tempfile.TemporaryDirectory(prefix="mq-bench-") as scratch,
            settings(list(plan.ways), Path(scratch)) as made,
        ):
            footprints = _measure_idle(made, plan)
            results = _measure_loads(made, plan)
            memory = {setting.way: _resident_mb(setting) for setting in made if setting.programs}
    except (MqvpnError, MeasureError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    costs = [
        Footprint(way=way, rtt_added_us=rtt, idle_cpu_share=share, resident_mb=memory[way])
        for way, rtt, share in footprints
    ]
    for cost in costs:
        print(
            f"{_name(cost.way)}: idle RTT +{cost.rtt_added_us:.0f} us, idle processor"
            f" {cost.idle_cpu_share * 100:.1f} %, memory {cost.resident_mb[0]:.0f} MB client,"
            f" {cost.resident_mb[1]:.0f} MB server"
        )
    if arguments.json is not None:
        report = {
            "machine": machine,
            "plan": asdict(plan),
            "results": [asdict(result) for result in results],
            "footprints": [asdict(cost) for cost in costs],
        }
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(f"written: {arguments.json}")
    return 0


def _measure_loads(made: Sequence[Setting], plan: Plan) -> list[Result]:
    print(_ROW.format(*_HEADINGS))
    results = []
    for direction in ("up", "down"):
        loads = [
            Load(direction=direction, proto="tcp", flows=flows, seconds=plan.seconds)
            for flows in plan.flows
        ]
        loads += [
            Load(
                direction=direction,
                proto="udp",
                flows=1,
                seconds=plan.seconds,
                payload_bytes=payload_bytes,
            )
            for payload_bytes in plan.udp_payloads
        ]
        for load in loads:
            samples: dict[Way, list[Sample]] = {setting.way: [] for setting in made}
            for _ in range(plan.repeats):
                for setting in made:
                    samples[setting.way].append(_run(setting, load))
            for way, taken in samples.items():
                result = _sum_up(way, load, taken)
                results.append(result)
                print(_line(result), flush=True)
    return results


def _run(setting: Setting, load: Load) -> Sample:
    if load.proto == "tcp":
        return _once(setting, load)[0]
    return best_rate(lambda rate: _once(setting, load.at_rate(rate)))


def best_rate(send: Callable[[float], tuple[Sample, float]]) -> Sample:
    """Search the highest rate that arrives, upwards or downwards from the first.

    Args:
        send: offers a rate in Mbit/s; returns what arrived and the share that was lost.
    """
    best: Sample | None = None
    rate = _FIRST_UDP_MBIT
    while _LOWEST_UDP_MBIT <= rate <= _LAST_UDP_MBIT:
        sample, loss = send(rate)
        if loss > MAX_LOSS:
            if best is not None:
                break
            rate /= 2
            continue
        best = sample
        if rate < _FIRST_UDP_MBIT:
            break
        rate *= 2
    return best if best is not None else (0.0, None, None)


def _once(setting: Setting, load: Load) -> tuple[Sample, float]:
    before = processor_seconds(setting.programs)
    moved = transfer(setting.pair, load)
    after = processor_seconds(setting.programs)
    gigabytes = moved.received_bytes / 1e9
    if setting.programs is None or not gigabytes:
        return (moved.mbit, None, None), moved.loss or 0.0
    costs = [(now - then) / gigabytes for now, then in zip(after, before, strict=True)]
    return (moved.mbit, costs[0], costs[1]), moved.loss or 0.0


def _sum_up(way: Way, load: Load, taken: Sequence[Sample]) -> Result:
    costs = [[cost for sample in taken if (cost := sample[side]) is not None] for side in (1, 2)]
    return Result(
        way=way,
        direction=load.direction,
        proto=load.proto,
        flows=load.flows,
        payload_bytes=load.payload_bytes if load.proto == "udp" else None,
        mbit=Middle.of([sample[0] for sample in taken]),
        client_cost=Middle.of(costs[0]) if costs[0] else None,
        server_cost=Middle.of(costs[1]) if costs[1] else None,
    )


def _measure_idle(made: Sequence[Setting], plan: Plan) -> list[tuple[Way, float, float]]:
    """Round trips that tunnels add, and what they cost while nothing is to be done."""
    bare = {
        setting.way.offloads: idle_round_trip_us(setting.pair, plan.pings)
        for setting in made
        if setting.programs is None
    }
    idle = []
    for setting in made:
        if setting.programs is None:
            continue
        added = idle_round_trip_us(setting.pair, plan.pings) - bare[setting.way.offloads]
        time.sleep(1)
        before = processor_seconds(setting.programs)
        time.sleep(_IDLE_SECONDS)
        after = processor_seconds(setting.programs)
        share = max(now - then for now, then in zip(after, before, strict=True)) / _IDLE_SECONDS
        idle.append((setting.way, round(added, 1), share))
    return idle


def _resident_mb(setting: Setting) -> tuple[float, float]:
    assert setting.programs is not None
    client, server = (resident_bytes(each.process.pid) / 1e6 for each in setting.programs)
    return round(client, 1), round(server, 1)


_HEADINGS = ("way", "links", "dir", "load", "Mbit/s", "CPU s/GB client", "CPU s/GB server")
_ROW = "{:13} {:9} {:5} {:10} {:>26} {:>20} {:>20}"


def _name(way: Way) -> str:
    return way.label if way.offloads else f"{way.label} (plain links)"


def _line(result: Result) -> str:
    load = f"tcp x{result.flows}"
    if result.payload_bytes is not None:
        load = f"udp {result.payload_bytes}"
    return _ROW.format(
        result.way.label,
        "offloads" if result.way.offloads else "plain",
        result.direction,
        load,
        result.mbit.text(0),
        *(
            "-" if cost is None else cost.text(2)
            for cost in (result.client_cost, result.server_cost)
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
