"""Many clients at one server: ``python -m benchmarks.clients --clients 100 --rate 5M`` (root).

A real server in a namespace; its clients are light ones in a few processes (connections and
sessions as always, TUN devices made up), so that a small machine can hold many. Each gets or sends
UDP at a steady rate. What counts: packets that were lost although the links lose none, how evenly
clients fare, memory for each, and what of the machine's processors it took.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.light_clients import PAYLOAD_BYTES, ClientCount, Crowd
from benchmarks.machine import describe_machine
from mqvpn_core.demo.namespaces import NetworkNamespace, join, namespaces
from mqvpn_core.demo.processes import Process, cpu_seconds, resident_bytes
from mqvpn_core.demo.programs import PORT, Program, ProgramError, make_credentials, start_server
from mqvpn_core.errors import MqvpnError

MAX_CLIENTS = 250
"""What the server's pool of addresses holds."""
MAX_LOSS = 0.001
MAX_UNFAIRNESS = 1.2

_SERVER = "192.0.2.1"
_CLIENT = "192.0.2.2"
_INNER_SERVER = "10.0.0.1"
_UP_PATIENCE = 90.0
_DRAIN_SECONDS = 1.5
_POLL = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do."""

    clients: int
    """How many."""
    mbit: float
    """Rate of each, UDP payload, Mbit/s."""
    seconds: float
    """How long."""
    direction: str
    """``up`` (from the clients) or ``down``."""
    processes: int
    """Processes that the clients are in."""
    workers: int
    """Processes of the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of it."""

    clients: int
    """How many took part."""
    sent: int
    """Packets given to tunnels."""
    received: int
    """Packets that came out."""
    loss: float
    """Share that did not."""
    unfairness: float
    """Most received by a client, over least."""
    mbit_per_client: float
    """Mean rate received."""
    server_mb: tuple[float, float]
    """Memory of the server before there was a client, and at the end."""
    server_processors: float
    """Processors that the server used."""
    clients_processors: float
    """Processors that the clients used."""
    other_processors: float
    """Processors that everything else used: the far host, interrupts, whatever runs besides."""

    overflows: tuple[int, int]
    """Messages that found a full receive buffer, at the server's side and at the clients'; a whole
    burst of packets may be one."""

    @property
    def kb_per_client(self) -> float:
        """Memory of the server for each client."""
        return (self.server_mb[1] - self.server_mb[0]) * 1000 / self.clients

    @property
    def is_good(self) -> bool:
        """Within the bars."""
        return self.loss <= MAX_LOSS and self.unfairness <= MAX_UNFAIRNESS


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clients", description=__doc__)
    parser.add_argument("--clients", type=int, default=100, metavar="N")
    parser.add_argument("--rate", default="5M", help="of each client, such as 5M (bit/s)")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--direction", choices=("up", "down"), default="down")
    parser.add_argument("--processes", type=int, default=1, help="that the clients are in")
    parser.add_argument("--workers", type=int, default=1, help="of the server")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there as well")
    given = parser.parse_args(arguments)
    if not 1 <= given.clients <= MAX_CLIENTS:
        parser.error(f"--clients: 1 to {MAX_CLIENTS}")
    plan = Plan(
        clients=given.clients,
        mbit=_megabits(given.rate, parser),
        seconds=given.seconds,
        direction=given.direction,
        processes=min(given.processes, given.clients),
        workers=given.workers,
    )
    machine = describe_machine()
    print("  ".join(f"{name}: {value}" for name, value in machine.items()))
    try:
        with tempfile.TemporaryDirectory(prefix="mq-clients-") as scratch:
            outcome = measure(plan, Path(scratch))
    except (MqvpnError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(describe(plan, outcome))
    if given.json is not None:
        report = {
            "machine": machine,
            "plan": asdict(plan),
            "outcome": {**asdict(outcome), "kb_per_client": outcome.kb_per_client},
        }
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if outcome.is_good else 1


def describe(plan: Plan, outcome: Outcome) -> str:
    """Return the outcome as text."""
    before, after = outcome.server_mb
    verdict = "good" if outcome.is_good else "NOT GOOD"
    lost = outcome.sent - outcome.received
    return f"""\
{plan.clients} clients x {plan.mbit:g} Mbit/s {plan.direction}, {plan.seconds:g} s, \
{plan.workers} worker(s): {verdict} (bars: loss {MAX_LOSS:.1%}, fairness {MAX_UNFAIRNESS})
  received    {outcome.mbit_per_client:.2f} Mbit/s each
  loss        {outcome.loss:.3%} ({lost} of {outcome.sent} packets)
  of it       {outcome.overflows[0]} messages in full receive buffers at the server's side, \
{outcome.overflows[1]} at the clients'; the rest waited too long in a process
  fairness    most / least = {outcome.unfairness:.3f}
  memory      {outcome.kb_per_client:.0f} kB each (server: {before:.0f} MB, then {after:.0f} MB)
  processors  {outcome.server_processors:.2f} server, {outcome.clients_processors:.2f} clients, \
{outcome.other_processors:.2f} all else"""


def measure(plan: Plan, scratch: Path) -> Outcome:
    """Do it once.

    Args:
        plan: what.
        scratch: an empty directory.

    Raises:
        ProgramError: the server or a client does not come up.
    """
    with namespaces("client", "server") as (near, far):
        join(near, "wlan0", far, "eth0")
        near.add_address("wlan0", f"{_CLIENT}/24")
        far.add_address("eth0", f"{_SERVER}/24")
        credentials = make_credentials(scratch)
        server = start_server(
            far,
            credentials,
            ("--max-clients", str(plan.clients), "--workers", str(plan.workers)),
        )
        server.wait_for(lambda _status: True, _UP_PATIENCE, "listening socket")
        before = _resident_mb(server)
        key = credentials.auth_key.read_text(encoding="ascii").strip()
        folder = scratch / "crowd"
        folder.mkdir()
        crowds = _start_crowds(plan, near, folder, pin=credentials.pin, key=key)
        mbit = plan.mbit if plan.direction == "down" else 0.0
        command = [sys.executable, "-m", "benchmarks.far_host", str(folder), _INNER_SERVER]
        host = far.start([*command, f"{mbit}"], folder / "far.log")
        _wait_for(folder, "far-ready.json", [host])
        (folder / "go").touch()
        time.sleep(min(1.0, plan.seconds / 4))  # what the first second costs is no steady load
        used = _used(server, crowds)
        began = time.perf_counter()
        time.sleep(max(0.1, plan.seconds - min(1.0, plan.seconds / 4)))
        lasted = time.perf_counter() - began
        spent = _used(server, crowds)
        shares = [(now - then) / lasted for then, now in zip(used, spent, strict=True)]
        (folder / "pause").touch()
        time.sleep(_DRAIN_SECONDS)
        after = _resident_mb(server)
        (folder / "stop").touch()
        _wait_for(folder, "far.json", [host])
        for number in range(len(crowds)):
            _wait_for(folder, f"done-{number}.json", crowds)
        sent, received = _counts(plan, folder)
        return Outcome(
            clients=len(sent),
            sent=sum(sent.values()),
            received=sum(received.values()),
            loss=1 - sum(received.values()) / max(1, sum(sent.values())),
            unfairness=max(received.values()) / max(1, min(received.values())),
            mbit_per_client=sum(received.values())
            * (PAYLOAD_BYTES * 8 / 1e6)
            / plan.seconds
            / len(sent),
            server_mb=(before, after),
            server_processors=shares[0],
            clients_processors=shares[1],
            other_processors=shares[2] - shares[0] - shares[1],
            overflows=(far.call(_full_buffers), near.call(_full_buffers)),
        )


def _start_crowds(
    plan: Plan, near: NetworkNamespace, folder: Path, *, pin: str, key: str
) -> list[Process]:
    crowds = []
    for number in range(plan.processes):
        share = plan.clients // plan.processes + (number < plan.clients % plan.processes)
        crowd = Crowd(
            server=_SERVER,
            port=PORT,
            local=_CLIENT,
            pin=pin,
            key=key,
            target=_INNER_SERVER,
            clients=share,
            mbit=plan.mbit if plan.direction == "up" else 0.0,
        )
        (folder / f"crowd-{number}.json").write_text(json.dumps(asdict(crowd)), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.light_clients", str(folder), str(number)]
        crowds.append(near.start(command, folder / f"crowd-{number}.log"))
    for number in range(plan.processes):
        _wait_for(folder, f"ready-{number}.json", crowds)
    return crowds


def _wait_for(folder: Path, name: str, processes: Sequence[Process]) -> None:
    """Wait for a file, as long as those who are to write it live."""
    deadline = time.perf_counter() + _UP_PATIENCE
    while not (folder / name).exists():
        if time.perf_counter() > deadline or any(each.poll() for each in processes):
            logs = "\n".join(
                file.read_text(encoding="utf-8", errors="replace")[-2000:]
                for file in sorted(folder.glob("*.log"))
            )
            raise ProgramError(f"{name} does not come:\n{logs}")
        time.sleep(_POLL)


def _counts(plan: Plan, folder: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Packets sent and received, by address of the client."""
    clients = [
        ClientCount(**values)
        for file in sorted(folder.glob("done-*.json"))
        for values in json.loads(file.read_text(encoding="utf-8"))
    ]
    far = json.loads((folder / "far.json").read_text(encoding="utf-8"))
    if plan.direction == "down":
        return far["sent"], {each.address: each.received for each in clients}
    sent = {each.address: each.sent for each in clients}
    return sent, {address: far["received"].get(address, 0) for address in sent}


def _process_ids(server: Program) -> list[int]:
    status = server.status()
    workers = [] if status is None else [worker.pid for worker in status.workers if worker.pid]
    return [server.process.pid, *workers]


def _used(server: Program, crowds: Sequence[Process]) -> tuple[float, float, float]:
    """Processor time so far, of the server, of the clients and of the whole machine."""
    return (
        sum(map(cpu_seconds, _process_ids(server))),
        sum(cpu_seconds(each.pid) for each in crowds),
        _machine_seconds(),
    )


def _machine_seconds() -> float:
    first = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0].split()
    user, nice, system, _idle, _iowait, irq, softirq = map(int, first[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _full_buffers() -> int:
    """Read how often that happened in the namespace of the calling thread."""
    names, values = (
        line.split()
        for line in Path("/proc/thread-self/net/snmp").read_text(encoding="ascii").splitlines()
        if line.startswith("Udp:")
    )
    return int(values[names.index("RcvbufErrors")])


def _resident_mb(server: Program) -> float:
    return sum(map(resident_bytes, _process_ids(server))) / 1e6


def _megabits(text: str, parser: argparse.ArgumentParser) -> float:
    units = {"k": 1e-3, "M": 1.0, "G": 1e3}
    try:
        value = float(text[:-1]) * units[text[-1:]]
    except (ValueError, KeyError):
        parser.error("--rate: a number with k, M or G, such as 5M")
    return value


if __name__ == "__main__":
    sys.exit(main())
