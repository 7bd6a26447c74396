"""What does a wake-up cost? ``python -m benchmarks.pump`` (no root, no network, half a minute).

Processor time of client and server for the same work, without sockets and without waiting:

* ``ping``: one small packet and its answer, everything quiet in between, timers included;
* ``cold``: the same with empty processor caches at each wake-up, as on a busy machine;
* ``bulk``: 64 packets of 1400 bytes at a time, one way;
* ``tcp``: the same, with one small packet back for every other one.

``--against DIRECTORY`` measures another checkout too, round by round in turn, so that both meet the
same noise. ``--profile SCENE`` shows where the time goes instead.
"""

import argparse
import cProfile
import json
import pstats
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.memory_tunnel import SERVER_HOST, MemoryTunnel
from mqvpn_core.dataplane import kernel

_PING_BYTES = 84
_PING_SPACING = 0.2
_DATA_BYTES = 1400
_ACK_BYTES = 52
_BATCH = 64
_BATCH_SPACING = 0.002
_FLOWS = 4
_UDP, _TCP, _ICMP = 17, 6, 1
_TOP_LINES = 45


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Outcome of one scene in one round."""

    scene: str
    """Its name."""
    paths: int
    """Paths of the connection."""
    client_us: float
    """Processor time of the client for one ping or one batch, microseconds."""
    server_us: float
    """The same of the server."""
    client_wakeups: float
    """How often the client was woken for it."""
    server_wakeups: float
    """The same of the server."""
    carried_share: float
    """Share of the bytes sent that arrived: below 1 the figures do not compare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Something to repeat and to measure."""

    name: str
    """As in the results."""
    paths: int
    """Paths of the connection."""
    run: Callable[[MemoryTunnel, int], int]
    """Does it that often; returns the bytes offered."""
    warm_up: int
    """How often before it counts: windows open, caches fill."""
    repeats: int
    """How often it counts."""
    cold: bool = False
    """With empty processor caches."""

    def measure(self) -> Cost:
        """Set up a tunnel, do it, return the cost of each."""
        tunnel = self.prepare()
        offered = self.run(tunnel, self.repeats)
        client, server = tunnel.client, tunnel.server
        return Cost(
            scene=self.name,
            paths=self.paths,
            client_us=client.cpu_ns / 1000 / self.repeats,
            server_us=server.cpu_ns / 1000 / self.repeats,
            client_wakeups=client.wakeups / self.repeats,
            server_wakeups=server.wakeups / self.repeats,
            carried_share=server.carried_bytes / offered,
        )

    def prepare(self) -> MemoryTunnel:
        """Set up a tunnel that has seen the scene."""
        tunnel = MemoryTunnel(paths=self.paths, cold=self.cold)
        self.run(tunnel, self.warm_up)
        tunnel.reset_counters()
        return tunnel


def ping(tunnel: MemoryTunnel, count: int) -> int:
    """One packet, its answer, and silence."""
    inner = str(tunnel.inner_client)
    reply = ip_packet(SERVER_HOST, inner, _ICMP, _PING_BYTES)
    tunnel.server.answer = lambda packets: [reply] * len(packets)
    request = ip_packet(inner, SERVER_HOST, _ICMP, _PING_BYTES)
    for _ in range(count):
        tunnel.send([request])
        tunnel.run(_PING_SPACING)
    return count * _PING_BYTES


def bulk(tunnel: MemoryTunnel, count: int) -> int:
    """Batches of large packets of several flows, one way."""
    tunnel.server.answer = lambda _packets: []
    _send_batches(tunnel, _UDP, count)
    return count * _BATCH * _DATA_BYTES


def tcp(tunnel: MemoryTunnel, count: int) -> int:
    """Batches of large packets, and something back as TCP would send it."""
    acknowledgement = ip_packet(SERVER_HOST, str(tunnel.inner_client), _TCP, _ACK_BYTES)
    tunnel.server.answer = lambda packets: [acknowledgement] * (len(packets) // 2)
    _send_batches(tunnel, _TCP, count)
    return count * _BATCH * _DATA_BYTES


SCENES = (
    Scene(name="ping", paths=1, run=ping, warm_up=20, repeats=400),
    Scene(name="cold", paths=1, run=ping, warm_up=20, repeats=100, cold=True),
    Scene(name="bulk", paths=1, run=bulk, warm_up=100, repeats=250),
    Scene(name="tcp", paths=1, run=tcp, warm_up=100, repeats=250),
    Scene(name="ping", paths=2, run=ping, warm_up=20, repeats=400),
    Scene(name="tcp", paths=2, run=tcp, warm_up=100, repeats=250),
)


def _send_batches(tunnel: MemoryTunnel, protocol: int, count: int) -> None:
    inner = str(tunnel.inner_client)
    flows = [
        ip_packet(inner, SERVER_HOST, protocol, _DATA_BYTES, port=1000 + flow)
        for flow in range(_FLOWS)
    ]
    # As segmentation offload leaves them: packets of one flow in a row.
    batch = [packet for packet in flows for _ in range(_BATCH // _FLOWS)]
    for _ in range(count):
        tunnel.send(batch)
        tunnel.run(_BATCH_SPACING)
    tunnel.run(0.1)


def ip_packet(
    source: str, destination: str, protocol: int, size: int, *, port: int = 1000
) -> bytes:
    """Compose an IPv4 packet; nobody looks at checksums on the way."""
    header = bytearray(size)
    header[0] = 0x45
    header[2:4] = size.to_bytes(2, "big")
    header[8], header[9] = 64, protocol
    header[12:16], header[16:20] = ip_address(source).packed, ip_address(destination).packed
    header[20:22] = port.to_bytes(2, "big")
    return bytes(header)


def main() -> int:
    """Measure, print the table, write the file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pump", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often; the median counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there as well")
    parser.add_argument("--against", type=Path, metavar="DIRECTORY", help="another checkout")
    parser.add_argument("--profile", metavar="SCENE", help="ping, cold, bulk or tcp")
    parser.add_argument("--paths", type=int, default=1, help="paths of the profile's connection")
    parser.add_argument("--one-round", action="store_true", help="print one round as JSON")
    arguments = parser.parse_args()
    if arguments.profile is not None:
        return _profile(arguments.profile, arguments.paths)
    if arguments.one_round:
        print(json.dumps([asdict(scene.measure()) for scene in SCENES]))
        return 0
    machine = describe_machine()
    print("  ".join(f"{name}: {value}" for name, value in machine.items()))
    print(f"kernel: {kernel.KERNEL_NAME}")
    checkouts = {"here": Path.cwd()}
    if arguments.against is not None:
        checkouts = {"there": arguments.against.resolve(), **checkouts}
    rounds = _run_rounds(checkouts, arguments.rounds)
    _print_table(rounds)
    if arguments.json is not None:
        report = {
            "machine": machine,
            "kernel": kernel.KERNEL_NAME,
            "rounds": {
                name: [list(map(asdict, costs)) for costs in rounds[name]] for name in rounds
            },
        }
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(f"written: {arguments.json}")
    return 0


def _run_rounds(checkouts: dict[str, Path], count: int) -> dict[str, list[list[Cost]]]:
    """Let every checkout have its turn in each round."""
    rounds: dict[str, list[list[Cost]]] = {name: [] for name in checkouts}
    for _ in range(count):
        for name, folder in checkouts.items():
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.pump", "--one-round"],
                cwd=folder,
                check=True,
                capture_output=True,
                text=True,
            )
            rounds[name].append([Cost(**entry) for entry in json.loads(done.stdout)])
    return rounds


_ROW = "{:6} {:6} {:>5} {:>22} {:>22} {:>8} {:>8} {:>8}"


def _print_table(rounds: dict[str, list[list[Cost]]]) -> None:
    print("processor time in microseconds of one ping or one batch: median (lowest)")
    print(_ROW.format("", "scene", "paths", "client", "server", "wakeups", "wakeups", "carried"))
    for index in range(len(SCENES)):
        for name, costs in rounds.items():
            column = [each[index] for each in costs]
            print(
                _ROW.format(
                    name,
                    column[0].scene,
                    column[0].paths,
                    _spread([cost.client_us for cost in column]),
                    _spread([cost.server_us for cost in column]),
                    f"{column[0].client_wakeups:.2f}",
                    f"{column[0].server_wakeups:.2f}",
                    f"{column[0].carried_share:.3f}",
                )
            )


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f})"


def _profile(name: str, paths: int) -> int:
    scene = next((each for each in SCENES if each.name == name and each.paths == paths), None)
    if scene is None:
        print(f"error: there is no scene {name!r} with {paths} paths", file=sys.stderr)
        return 1
    tunnel = scene.prepare()
    profile = cProfile.Profile()
    profile.runcall(scene.run, tunnel, scene.repeats)
    pstats.Stats(profile).sort_stats("tottime").print_stats(_TOP_LINES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
