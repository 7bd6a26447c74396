"""Does anything grow, or drift apart? ``python -m benchmarks.soak --minutes 60`` (root).

A real server and a real client over two links, for as long as wanted, in cycles: downloads while
links come and go, now and then an outage that only a reconnection ends, and then a calm time in
which a counted number of packets goes both ways and the counters of both sides must agree to the
packet. Keys change every few seconds. After each cycle memory and open files are looked at.
"""

import argparse
import json
import random
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.fetching import fetching
from benchmarks.machine import describe_machine
from mqvpn_core.app.control_client import fetch_events
from mqvpn_core.demo.processes import resident_bytes
from mqvpn_core.demo.programs import (
    Program,
    ProgramError,
    make_credentials,
    start_client,
    start_server,
    start_web_host,
)
from mqvpn_core.demo.story import is_connected
from mqvpn_core.demo.topology import SERVER_IPV4, WEB_IPV4, World, build_world
from mqvpn_core.errors import MqvpnError
from mqvpn_core.runtime.control_codec import EventsRequest
from mqvpn_core.runtime.event_values import EventKind, decode_event
from mqvpn_core.runtime.status_values import Status

KEY_UPDATE_SECONDS = 3
CALM_PACKETS = 500
"""Each of them is answered."""
MAX_COPIES = 20
"""In the calm time of one cycle; there is little to copy then."""
MAX_GROWTH_MB = 8.0
"""From the first quarter of the cycles to the last one, of either program."""

_LINKS = ("wlan0", "lte0")
_BUSY_SECONDS = 6.0
_RECONNECT_EVERY = 3
_PATIENCE = 45.0
_DOWN = "a black hole between the links and the server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """What one cycle came to."""

    minute: float
    """When it ended."""
    client_mb: float
    """Memory of the client."""
    server_mb: float
    """Memory of the server."""
    client_files: int
    """Open descriptors of the client."""
    server_files: int
    """Open descriptors of the server."""
    missing_up: int
    """Packets that the client counts as sent and the server does not count as received."""
    missing_down: int
    """The same the other way."""
    copies: int
    """Packets that were received more often than sent: when a path falls silent, what is not
    acknowledged on it goes over another one as well."""
    unanswered: int
    """Calm packets that were not answered."""
    key_updates: int
    """How often keys changed."""
    reconnections: int
    """How often the tunnel had to be made anew."""
    failovers: int
    """How often traffic moved from a failed path."""


class Soak:
    """One server, one client and what they go through."""

    def __init__(self, world: World, folder: Path, seed: int) -> None:
        """Bring the tunnel up."""
        self._world = world
        self._dice = random.Random(seed)  # noqa: S311 - not for secrets
        self._last_event = 0
        options = ("--key-update-interval", str(KEY_UPDATE_SECONDS), "--idle-timeout", "8")
        credentials = make_credentials(folder)
        self._server = start_server(world.server, credentials, options)
        self._server.wait_for(lambda _status: True, _PATIENCE, "listening socket")
        start_web_host(world.web, folder / "web.log")
        of_client = (*options, "--keep-alive", "3")
        self._client = start_client(world.client, credentials, SERVER_IPV4, of_client)
        self._wait_whole()
        self._began = time.perf_counter()

    @property
    def minutes(self) -> float:
        """How long it has lasted."""
        return (time.perf_counter() - self._began) / 60

    def cycle(self, number: int) -> Cycle:
        """Go through one cycle."""
        with fetching(self._world.client):
            self._flap_links()
        if number % _RECONNECT_EVERY == 0:
            self._break_connection()
        self._wait_whole()
        before = self._settled_counts()
        unanswered = self._talk()
        after = self._settled_counts()
        up, down = (now - then for then, now in zip(before, after, strict=True))
        kinds = self._new_events()
        client, server = self._client.process.pid, self._server.process.pid
        return Cycle(
            minute=round(self.minutes, 2),
            client_mb=round(resident_bytes(client) / 1e6, 1),
            server_mb=round(resident_bytes(server) / 1e6, 1),
            client_files=_open_files(client),
            server_files=_open_files(server),
            missing_up=max(0, up),
            missing_down=max(0, down),
            copies=max(0, -up) + max(0, -down),
            unanswered=unanswered,
            key_updates=kinds[EventKind.KEY_UPDATED],
            reconnections=kinds[EventKind.RECONNECTING],
            failovers=kinds[EventKind.FAILOVER],
        )

    def _flap_links(self) -> None:
        until = time.perf_counter() + _BUSY_SECONDS
        while time.perf_counter() < until:
            link = self._dice.choice(_LINKS)
            self._world.client.set_link(link, up=False)
            time.sleep(self._dice.uniform(0.2, 1.2))
            self._world.client.set_link(link, up=True)
            self._restore_route(link)
            time.sleep(self._dice.uniform(0.5, 1.5))

    def _restore_route(self, link: str) -> None:
        """The kernel forgot it with the link."""
        network, metric = {"wlan0": ("192.0.2", 100), "lte0": ("198.51.100", 200)}[link]
        self._world.client.add_route("0.0.0.0/0", f"{network}.1", metric=metric)

    def _break_connection(self) -> None:
        """Nothing passes between links and server until the client has given the server up."""
        self._world.router.set_link("r0", up=False)
        try:
            self._client.wait_for(lambda now: not is_connected(now), _PATIENCE, _DOWN)
        finally:
            self._world.router.set_link("r0", up=True)

    def _wait_whole(self) -> None:
        def is_whole(status: Status) -> bool:
            usable = {path.interface for path in status.paths if path.state == "active"}
            return is_connected(status) and set(_LINKS) <= usable

        self._client.wait_for(is_whole, _PATIENCE, "tunnel with both links")

    def _settled_counts(self) -> tuple[int, int]:
        """How far the counters of both sides are apart, up and down, when nothing moves."""
        deadline = time.perf_counter() + _PATIENCE
        seen: tuple[int, int, int, int] | None = None
        while True:
            now = tuple(
                _counter(program, name)
                for program in (self._client, self._server)
                for name in ("sent_packets", "received_packets")
            )
            client_sent, client_received, server_sent, server_received = now
            if now == seen:
                return client_sent - server_received, server_sent - client_received
            if time.perf_counter() > deadline:
                raise ProgramError("the counters do not come to rest")
            seen = (client_sent, client_received, server_sent, server_received)
            time.sleep(1.0)

    def _talk(self) -> int:
        """Have packets of all sizes answered by the far host; return how many were not."""
        far = self._world.web.call(lambda: _udp_socket(WEB_IPV4))
        near = self._world.client.call(lambda: _udp_socket("0.0.0.0"))  # noqa: S104 - inside
        answered = 0
        with closing(far), closing(near):
            for _ in range(CALM_PACKETS):
                near.sendto(bytes(self._dice.randrange(8, 1200)), far.getsockname())
                try:
                    data, sender = far.recvfrom(2048)
                    far.sendto(data, sender)
                    near.recv(2048)
                except TimeoutError:
                    continue
                answered += 1
        return CALM_PACKETS - answered

    def _new_events(self) -> Counter[EventKind]:
        request = EventsRequest(after=self._last_event, with_debug=True)
        kinds: Counter[EventKind] = Counter()
        for reply in fetch_events(self._client.control_socket, request):
            kinds.update(decode_event(event).kind for event in reply.events)
            self._last_event = reply.last
        return kinds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print each cycle, judge."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there as well")
    given = parser.parse_args(arguments)
    machine = describe_machine()
    print("  ".join(f"{name}: {value}" for name, value in machine.items()))
    try:
        with tempfile.TemporaryDirectory(prefix="mq-soak-") as scratch:
            cycles = run(given.minutes, Path(scratch), given.seed, _print_cycle)
    except (MqvpnError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    complaints = judge(cycles)
    print(summary(cycles))
    for complaint in complaints:
        print(f"NOT GOOD: {complaint}")
    if given.json is not None:
        report = {"machine": machine, "cycles": [asdict(each) for each in cycles]}
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 1 if complaints else 0


def run(
    minutes: float, folder: Path, seed: int, report: Callable[[Cycle], None] = lambda _cycle: None
) -> list[Cycle]:
    """Go through cycles for a time; at least one.

    Args:
        minutes: how long.
        folder: an empty directory.
        seed: of what happens when.
        report: told each cycle.
    """
    with build_world() as world:
        soak = Soak(world, folder, seed)
        cycles: list[Cycle] = []
        while not cycles or soak.minutes < minutes:
            cycles.append(soak.cycle(len(cycles) + 1))
            report(cycles[-1])
    return cycles


def judge(cycles: Sequence[Cycle]) -> list[str]:
    """Return what is wrong."""
    complaints = [
        f"cycle {number}: missing {each.missing_up} up, {each.missing_down} down, and"
        f" {each.copies} came twice"
        for number, each in enumerate(cycles, start=1)
        if each.missing_up or each.missing_down or each.copies > MAX_COPIES
    ]
    if not any(each.key_updates for each in cycles):
        complaints.append("keys never changed")
    quarter = len(cycles) // 4
    if quarter:
        for name in ("client_mb", "server_mb"):
            early, late = (
                median(getattr(each, name) for each in part)
                for part in (cycles[:quarter], cycles[-quarter:])
            )
            if late - early > MAX_GROWTH_MB:
                complaints.append(f"{name} grew from {early:.1f} to {late:.1f}")
        for name in ("client_files", "server_files"):
            early, late = getattr(cycles[0], name), getattr(cycles[-1], name)
            if late > early + 2:
                complaints.append(f"{name} grew from {early} to {late}")
    return complaints


def summary(cycles: Sequence[Cycle]) -> str:
    """Return the whole in two lines."""
    first, last = cycles[0], cycles[-1]
    return (
        f"{len(cycles)} cycles: {sum(each.key_updates for each in cycles)} key updates,"
        f" {sum(each.reconnections for each in cycles)} reconnections,"
        f" {sum(each.failovers for each in cycles)} failovers,"
        f" {sum(each.unanswered for each in cycles)} calm packets unanswered\n"
        f"client {first.client_mb} -> {last.client_mb} MB, server {first.server_mb} ->"
        f" {last.server_mb} MB"
    )


def _print_cycle(cycle: Cycle) -> None:
    print("  ".join(f"{name} {value}" for name, value in asdict(cycle).items()), flush=True)


def _counter(program: Program, name: str) -> int:
    status = program.status()
    if status is None:
        raise ProgramError(f"{program.name} serves no status:\n{program.log_tail()}")
    return status.counters.get(name, 0)


def _udp_socket(address: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, 0))
    made.settimeout(1.0)
    return made


def _open_files(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


if __name__ == "__main__":
    sys.exit(main())
