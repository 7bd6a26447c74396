"""Single measurements between two namespaces: an iperf3 run, idle round-trip times."""

import json
import re
import statistics
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from mqvpn_core.demo.namespaces import NetworkNamespace
from mqvpn_core.demo.processes import cpu_seconds, stop_process
from mqvpn_core.demo.programs import Program

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

UDP_PAYLOAD_BYTES = 1200
IPERF_PORT = 5201

_START_PATIENCE = 5.0


class MeasureError(Exception):
    """A measuring tool failed; the message is its output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to send."""

    direction: str
    """``up`` (client to server) or ``down``."""
    proto: str
    """``tcp`` or ``udp``."""
    flows: int
    """Parallel flows."""
    seconds: float
    """How long."""
    offered_mbit: float | None = None
    """UDP: total rate to offer."""
    payload_bytes: int = UDP_PAYLOAD_BYTES
    """UDP: size of the packets."""
    ramp: float = 0.0
    """Seconds before it counts, in which flows and paths find their rates."""

    def at_rate(self, mbit: float) -> "Load":
        """Return the same load at another rate."""
        return replace(self, offered_mbit=mbit)

    def towards(self, direction: str) -> "Load":
        """Return the same load in a direction."""
        return replace(self, direction=direction)

    @property
    def name(self) -> str:
        """In tables, without direction."""
        return f"{self.proto}-{self.flows if self.proto == 'tcp' else self.payload_bytes}"

    @property
    def whole_seconds(self) -> float:
        """How long it takes in all."""
        return self.ramp + self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What arrived."""

    mbit: float
    """Payload received, Mbit/s."""
    received_bytes: float
    """Payload received."""
    loss: float | None
    """UDP: share of packets that did not arrive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two machines and an address of the server to measure towards."""

    client: NetworkNamespace
    """Where iperf3 and ping start."""
    server: NetworkNamespace
    """Where iperf3 listens."""
    address: str
    """Address of the server on the measured way."""
    scratch: Path
    """Directory for outputs."""

    def run(self, command: list[str], seconds: float) -> str:
        """Run a tool at the client and return its output."""
        log = self.scratch / f"tool-{time.perf_counter_ns()}.log"
        process = self.client.start(command, log)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            stop_process(process)
            raise MeasureError(f"{' '.join(command)}: it does not end") from None
        output = log.read_text(encoding="utf-8", errors="replace")
        if code != 0:
            raise MeasureError(f"{' '.join(command)}: {output.strip()}")
        return output


def transfer(pair: Pair, load: Load) -> Transfer:
    """One iperf3 run."""
    serve = ["iperf3", "--server", "--one-off", "--bind", pair.address]
    listener = pair.server.start(serve, pair.scratch / "iperf-server.log")
    time.sleep(0.3)
    command = ["iperf3", "--client", pair.address, "--json", "--time", f"{load.seconds:g}"]
    command += ["--parallel", str(load.flows), "--omit", f"{load.ramp:g}"]
    if load.direction == "down":
        command += ["--reverse"]
    if load.proto == "udp":
        rate = (load.offered_mbit or 0) * 1e6 / load.flows
        command += ["--udp", "--length", str(load.payload_bytes), "--bitrate", f"{rate:.0f}"]
        # Else what is lost is lost by the listener, who gets no processor for a millisecond.
        command += ["--window", str(_largest_socket_buffer())]
    try:
        report = json.loads(pair.run(command, load.whole_seconds + 30))
    finally:
        # It ends by itself after one run, and is not there for the next one if that went wrong.
        with suppress(subprocess.TimeoutExpired):
            listener.wait(_START_PATIENCE)
        stop_process(listener)
    if "error" in report:
        raise MeasureError(f"{' '.join(command)}: {report['error']}")
    received = _member(report, "end", "sum_received")
    seconds = _number(received, "seconds")
    mbit = _number(received, "bits_per_second") / 1e6
    loss = None
    if load.proto == "udp":
        loss = _number(_member(report, "end", "sum"), "lost_percent") / 100
    return Transfer(mbit=mbit, received_bytes=mbit * 1e6 / 8 * seconds, loss=loss)


def idle_round_trip_us(pair: Pair, count: int) -> float:
    """Median round-trip time without load, in microseconds."""
    output = pair.run(["ping", "-n", "-c", str(count), "-i", "0.01", pair.address], count + 10)
    times = [float(each) * 1000 for each in re.findall(r"time=([\d.]+) ms", output)]
    if len(times) < count * 0.9:
        raise MeasureError(f"only {len(times)} of {count} pings were answered")
    return statistics.median(times)


def processor_seconds(programs: tuple[Program, Program] | None) -> tuple[float, float]:
    """Processor time of client and server so far; zeros when there are none."""
    if programs is None:
        return 0.0, 0.0
    client, server = programs
    return cpu_seconds(client.process.pid), cpu_seconds(server.process.pid)


def _largest_socket_buffer() -> int:
    return min(int(Path(f"/proc/sys/net/core/{name}_max").read_text()) for name in ("rmem", "wmem"))


def _member(value: Json, *path: str) -> Json:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            raise MeasureError(f"iperf3's report has no {'.'.join(path)}")
        value = value[name]
    return value


def _number(value: Json, name: str) -> float:
    found = _member(value, name)
    if not isinstance(found, int | float):
        raise MeasureError(f"iperf3's report: {name} is no number")
    return float(found)
