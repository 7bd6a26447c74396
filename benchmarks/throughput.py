"""How fast is the tunnel, and what does it cost? ``python -m benchmarks.throughput`` (root).

Two namespaces joined by a veth pair; iperf3 first over the bare link, then through the tunnel of a
real server and client between the same two. UDP is offered at the rate that TCP reached.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.measure import (
    Load,
    MeasureError,
    Pair,
    Transfer,
    idle_round_trip_us,
    processor_seconds,
    transfer,
)
from mqvpn_core.demo.namespaces import NetworkNamespace, join, namespaces
from mqvpn_core.demo.processes import resident_bytes
from mqvpn_core.demo.programs import Program, make_credentials, start_client, start_server
from mqvpn_core.demo.story import is_connected
from mqvpn_core.errors import MqvpnError

RAW_CLIENT = "192.0.2.2"
RAW_SERVER = "192.0.2.1"
INNER_SERVER = "10.0.0.1"

_UP_PATIENCE = 20.0
_IDLE_SECONDS = 5.0


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


QUICK = Plan(seconds=3, repeats=1, flows=(1,), pings=100)
THOROUGH = Plan(seconds=10, repeats=3, flows=(1, 4), pings=500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line of the table."""

    variant: str
    """``raw`` or ``tunnel``."""
    kernel: str | None
    """Data plane in use; ``None`` for the bare link."""
    paths: int
    """Paths in use."""
    direction: str
    """``up`` or ``down``."""
    proto: str
    """``tcp`` or ``udp``."""
    flows: int
    """Parallel flows."""
    mbit: float
    """Payload received, Mbit/s."""
    cpu_s_per_gb_client: float | None
    """Processor seconds of the client's process for 10^9 bytes."""
    cpu_s_per_gb_server: float | None
    """The same of the server."""
    rtt_added_us_p50: float | None
    """Median round-trip time of the idle tunnel less that of the bare link."""
    loss: float | None
    """UDP: share lost of what was offered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way between the two machines."""

    name: str
    """As in the results."""
    pair: Pair
    """The machines and the address."""
    programs: tuple[Program, Program] | None
    """Client and server of the tunnel."""
    rtt_added_us: float | None
    """See `Result`."""

    def measure(self, plan: Plan) -> Iterator[Result]:
        """All loads, one after the other."""
        for direction in ("up", "down"):
            reached = 0.0
            for flows in plan.flows:
                load = Load(direction=direction, proto="tcp", flows=flows, seconds=plan.seconds)
                result = self._repeat(load, plan.repeats)
                reached = max(reached, result.mbit)
                yield result
            load = Load(
                direction=direction,
                proto="udp",
                flows=1,
                seconds=plan.seconds,
                offered_mbit=reached,
            )
            yield self._repeat(load, plan.repeats)

    def _repeat(self, load: Load, repeats: int) -> Result:
        runs = sorted((self._once(load) for _ in range(repeats)), key=lambda run: run[0].mbit)
        moved, client_seconds, server_seconds = runs[len(runs) // 2]
        gigabytes = moved.received_bytes / 1e9
        has_cost = self.programs is not None and gigabytes > 0
        return Result(
            variant=self.name,
            kernel=_kernel(self.programs),
            paths=1,
            direction=load.direction,
            proto=load.proto,
            flows=load.flows,
            mbit=round(moved.mbit, 1),
            cpu_s_per_gb_client=round(client_seconds / gigabytes, 2) if has_cost else None,
            cpu_s_per_gb_server=round(server_seconds / gigabytes, 2) if has_cost else None,
            rtt_added_us_p50=self.rtt_added_us,
            loss=moved.loss,
        )

    def _once(self, load: Load) -> tuple[Transfer, float, float]:
        before = processor_seconds(self.programs)
        moved = transfer(self.pair, load)
        after = processor_seconds(self.programs)
        return moved, after[0] - before[0], after[1] - before[1]


def main() -> int:
    """Measure, print the table, write the file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="about 40 seconds instead of 6 minutes"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there as well")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else THOROUGH
    machine = describe_machine()
    print("  ".join(f"{name}: {value}" for name, value in machine.items()))
    try:
        with tempfile.TemporaryDirectory(prefix="mq-bench-") as scratch:
            results, footprint = _measure_all(plan, Path(scratch))
    except (MqvpnError, MeasureError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if arguments.json is not None:
        report = {
            "machine": machine,
            "plan": asdict(plan),
            "results": [asdict(result) for result in results],
            "footprint": footprint,
        }
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(f"written: {arguments.json}")
    return 0


def _measure_all(plan: Plan, scratch: Path) -> tuple[list[Result], dict[str, float]]:
    results: list[Result] = []
    print(_ROW.format(*_HEADINGS))
    with _joined() as (client, server):
        bare = Pair(client=client, server=server, address=RAW_SERVER, scratch=scratch)
        bare_rtt = idle_round_trip_us(bare, plan.pings)
        raw = Variant(name="raw", pair=bare, programs=None, rtt_added_us=None)
        for result in raw.measure(plan):
            results.append(result)
            print(_line(result), flush=True)
        programs = _tunnel(client, server, scratch)
        footprint = {"idle_cpu_share": _idle_share(programs)}
        inner = Pair(client=client, server=server, address=INNER_SERVER, scratch=scratch)
        added = round(idle_round_trip_us(inner, plan.pings) - bare_rtt, 1)
        tunnel = Variant(name="tunnel", pair=inner, programs=programs, rtt_added_us=added)
        for result in tunnel.measure(plan):
            results.append(result)
            print(_line(result), flush=True)
        for name, program in zip(("client", "server"), programs, strict=True):
            footprint[f"resident_mb_{name}"] = resident_bytes(program.process.pid) / 1e6
    print("  ".join(f"{name}: {value:.3f}" for name, value in footprint.items()))
    return results, footprint


@contextmanager
def _joined() -> Iterator[tuple[NetworkNamespace, NetworkNamespace]]:
    with namespaces("client", "server") as (client, server):
        join(client, "wlan0", server, "eth0")
        client.add_address("wlan0", f"{RAW_CLIENT}/24")
        server.add_address("eth0", f"{RAW_SERVER}/24")
        client.add_route("0.0.0.0/0", RAW_SERVER)
        yield client, server


def _tunnel(
    client: NetworkNamespace, server: NetworkNamespace, scratch: Path
) -> tuple[Program, Program]:
    credentials = make_credentials(scratch)
    serving = start_server(server, credentials)
    serving.wait_for(lambda _status: True, _UP_PATIENCE, "listening socket")
    connecting = start_client(client, credentials, RAW_SERVER)
    connecting.wait_for(is_connected, _UP_PATIENCE, "tunnel")
    return connecting, serving


def _idle_share(programs: tuple[Program, Program]) -> float:
    time.sleep(1)
    before = processor_seconds(programs)
    time.sleep(_IDLE_SECONDS)
    after = processor_seconds(programs)
    return max(after[0] - before[0], after[1] - before[1]) / _IDLE_SECONDS


def _kernel(programs: tuple[Program, Program] | None) -> str | None:
    status = programs[0].status() if programs else None
    return status.kernel if status else None


_HEADINGS = ("variant", "kernel", "dir", "proto", "flows", "Mbit/s", "CPU s/GB", "", "RTT", "loss")
_ROW = "{:8} {:10} {:5} {:5} {:>5} {:>9} {:>9} {:>9} {:>9} {:>7}"


def _line(result: Result) -> str:
    return _ROW.format(
        result.variant,
        result.kernel or "-",
        result.direction,
        result.proto,
        result.flows,
        f"{result.mbit:.1f}",
        *(
            "-" if cost is None else f"{side} {cost:.1f}"
            for side, cost in (("c", result.cpu_s_per_gb_client), ("s", result.cpu_s_per_gb_server))
        ),
        "-" if result.rtt_added_us_p50 is None else f"+{result.rtt_added_us_p50:.0f} us",
        "-" if result.loss is None else f"{result.loss * 100:.1f} %",
    )


if __name__ == "__main__":
    sys.exit(main())
