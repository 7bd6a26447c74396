"""Does anything get out beside the tunnel? ``python -m benchmarks.leaks`` (root).

A real client with its kill switch on, real links, programs that try everything all the time, and
random events from a seed: starts, stops, kills, outages of links and server, flaps, a suspended
machine. Every packet is looked at where the links end. It takes some minutes; with
``--kill-switch off`` it must find leaks, or it could not find any.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.leak_capture import Capture, Leak, summary
from benchmarks.leak_noise import Noise
from mqvpn_core.demo.programs import (
    PORT,
    Credentials,
    Program,
    ProgramError,
    make_credentials,
    start_client,
    start_server,
)
from mqvpn_core.demo.story import is_connected
from mqvpn_core.demo.topology import LTE, SERVER_IPV4, SERVER_IPV6, WLAN, World, build_world

_LINKS = (WLAN, LTE)
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What shall happen."""

    transitions: int
    """How many events."""
    seed: int
    """Decides which."""
    has_kill_switch: bool = True
    """Without it there must be leaks."""
    longest_outage: float = 3.0
    """Seconds the server is away at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What came of it."""

    leaks: tuple[Leak, ...]
    """Packets that left although they must not."""
    packet_count: int
    """Packets that were judged."""
    try_count: int
    """What the programs tried."""
    happened: tuple[str, ...]
    """The events, in order."""
    is_clean: bool
    """The machine looks as before, byte for byte."""


def run_course(course: Course, tell: Callable[[str], None] = lambda _line: None) -> Finding:
    """Let it happen and watch.

    Args:
        course: what shall happen.
        tell: is told each event.
    """
    with tempfile.TemporaryDirectory(prefix="mq-leaks-") as folder, build_world(_LINKS) as world:
        credentials = make_credentials(Path(folder))
        before = world.client.host_state()
        far_ends = [link.router_interface for link in _LINKS]
        servers = frozenset({SERVER_IPV4, SERVER_IPV6})
        capture = Capture(world.router, far_ends, servers, PORT)
        noise = None
        story = _Story(course, world, credentials, capture, tell)
        try:
            story.begin()
            noise = Noise(world.client)
            story.live()
            story.stop()
        finally:
            if noise is not None:
                noise.close()
            time.sleep(0.2)
            capture.close()
            story.close()
        return Finding(
            leaks=tuple(story.counted(capture.leaks)),
            packet_count=capture.packet_count,
            try_count=noise.tries.total(),
            happened=tuple(story.happened),
            is_clean=world.client.host_state() == before,
        )


class _Story:
    """The programs, and what happens to them."""

    def __init__(
        self,
        course: Course,
        world: World,
        credentials: Credentials,
        capture: Capture,
        tell: Callable[[str], None],
    ) -> None:
        self.happened: list[str] = []
        self._course = course
        self._world = world
        self._credentials = credentials
        self._capture = capture
        self._tell = tell
        self._random = random.Random(course.seed)  # noqa: S311 - the same again from a seed
        self._server: Program | None = None
        self._client: Program | None = None
        self._unwanted: list[tuple[float, float]] = []
        self._events: dict[str, Callable[[], None]] = {
            "stop and start": self._stop_and_start,
            "kill -9 and start": self._kill_and_start,
            "server away": self._server_away,
            "server restarted": self._server_restarted,
            "server killed": self._server_killed,
            "link down": self._link_down,
            "all links down": self._all_links_down,
            "link flaps": self._link_flaps,
            "address gone": self._address_gone,
            "machine suspended": self._suspended,
            "nothing": lambda: None,
        }

    def begin(self) -> None:
        """Bring the tunnel up for the first time."""
        self._server = start_server(self._world.server, self._credentials)
        self._start(wait=True)

    def live(self) -> None:
        """Let everything happen that shall."""
        for number in range(self._course.transitions):
            # Each kind once before any comes twice.
            kinds = list(self._events)
            name = kinds[number] if number < len(kinds) else self._random.choice(kinds)
            self.happened.append(name)
            self._tell(f"{number + 1:4d} {name}; leaks so far: {self._leak_count()}")
            self._events[name]()
            self._pause(0.05, 1.0)

    def stop(self) -> None:
        """End the tunnel as a user does: from now on everything may leave."""
        if self._client is None:
            return
        with self._not_wanted():
            self._client.stop()
            self._client = None
            time.sleep(0.1)
        self._unwanted.append((time.perf_counter(), float("inf")))

    def close(self) -> None:
        """End what still runs."""
        for program in (self._client, self._server):
            if program is not None:
                program.stop(signal.SIGKILL)

    def counted(self, leaks: list[Leak]) -> Iterator[Leak]:
        """Leave out what left while no tunnel was wanted."""
        return (
            leak
            for leak in leaks
            if not any(begin <= leak.at <= end for begin, end in self._unwanted)
        )

    def _leak_count(self) -> int:
        return sum(1 for _ in self.counted(list(self._capture.leaks)))

    def _start(self, *, wait: bool) -> None:
        options = ["--kill-switch=standard"] if self._course.has_kill_switch else []
        if self._random.random() < 0.5:  # noqa: PLR2004 - as often as not
            options.append("--no-ipv6")
        self._client = start_client(self._world.client, self._credentials, SERVER_IPV4, options)
        if wait:
            self._client.wait_for(is_connected, _PATIENCE, "tunnel")
        else:
            # Its socket answers once everything is in force that must be before it connects.
            self._client.wait_for(lambda _status: True, _PATIENCE, "answer")

    @contextmanager
    def _not_wanted(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        # What was under way at the far end counts as sent before.
        self._unwanted.append((began, time.perf_counter() + 0.1))

    def _stop_and_start(self) -> None:
        if self._client is None:
            return
        with self._not_wanted():
            self._client.stop()
            self._pause(0.0, 0.3)
            self._start(wait=False)
        self._wait_sometimes()

    def _kill_and_start(self) -> None:
        if self._client is None:
            return
        self._client.stop(signal.SIGKILL)
        self._pause(0.1, 1.0)
        self._start(wait=False)
        self._wait_sometimes()

    def _server_away(self) -> None:
        self._stop_server(signal.SIGTERM)
        self._pause(0.5, self._course.longest_outage)
        self._server = start_server(self._world.server, self._credentials)
        self._wait_sometimes()

    def _server_restarted(self) -> None:
        self._stop_server(signal.SIGUSR2)
        self._server = start_server(self._world.server, self._credentials)
        self._wait_sometimes()

    def _server_killed(self) -> None:
        self._stop_server(signal.SIGKILL)
        self._pause(0.1, 1.0)
        self._server = start_server(self._world.server, self._credentials)
        self._wait_sometimes()

    def _link_down(self) -> None:
        link = self._random.choice(_LINKS)
        self._world.router.set_link(link.router_interface, up=False)
        self._pause(0.1, 1.5)
        self._restore_link(link.router_interface)

    def _all_links_down(self) -> None:
        for link in _LINKS:
            self._world.router.set_link(link.router_interface, up=False)
        self._pause(0.5, self._course.longest_outage)
        for link in _LINKS:
            self._restore_link(link.router_interface)
        self._wait_sometimes()

    def _link_flaps(self) -> None:
        link = self._random.choice(_LINKS)
        for _ in range(5):
            self._world.router.set_link(link.router_interface, up=False)
            self._pause(0.0, 0.1)
            self._restore_link(link.router_interface)
            self._pause(0.0, 0.1)

    def _address_gone(self) -> None:
        link = self._random.choice(_LINKS)
        address = f"{link.ipv4}.2/24"
        self._world.client.delete_address(link.interface, address)
        self._pause(0.1, 1.0)
        self._world.client.add_address(link.interface, address)
        # The kernel took the default route with the address.
        self._world.client.add_route("0.0.0.0/0", f"{link.ipv4}.1", metric=link.metric)

    def _suspended(self) -> None:
        if self._client is None:
            return
        self._client.process.send_signal(signal.SIGSTOP)
        self._pause(0.5, 2.0)
        self._client.process.send_signal(signal.SIGCONT)

    def _restore_link(self, router_interface: str) -> None:
        self._world.router.set_link(router_interface, up=True)
        link = next(each for each in _LINKS if each.router_interface == router_interface)
        # Switching it off cost the router's end its IPv6 address, as a router's restart does.
        with suppress(Exception):
            self._world.router.add_address(router_interface, f"{link.ipv6}::1/64")

    def _stop_server(self, how: signal.Signals) -> None:
        if self._server is not None:
            self._server.stop(how)
            self._server = None

    def _wait_sometimes(self) -> None:
        """Go on at once, or when the tunnel is up: both happen to people."""
        if self._client is not None and self._random.random() < 0.7:  # noqa: PLR2004 - mostly
            with suppress(ProgramError):
                self._client.wait_for(is_connected, 8.0, "tunnel")

    def _pause(self, shortest: float, longest: float) -> None:
        time.sleep(self._random.uniform(shortest, longest))


def main() -> int:
    """Run the course of the command line; 0 when it came out as it must."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transitions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest-outage", type=float, default=60.0)
    parser.add_argument("--kill-switch", choices=("on", "off"), default="on")
    arguments = parser.parse_args()
    course = Course(
        transitions=arguments.transitions,
        seed=arguments.seed,
        has_kill_switch=arguments.kill_switch == "on",
        longest_outage=arguments.longest_outage,
    )
    began = time.perf_counter()
    finding = run_course(course, print)
    names = sum(leak.is_name_service for leak in finding.leaks)
    print(
        f"{len(finding.happened)} events in {time.perf_counter() - began:.0f} s,"
        f" {finding.try_count} attempts, {finding.packet_count} packets on the links judged:"
        f" {len(finding.leaks)} leaks, {names} of them questions for names;"
        f" machine {'as before' if finding.is_clean else 'NOT as before'}"
    )
    print(summary(finding.leaks))
    is_right = bool(finding.leaks) is not course.has_kill_switch and finding.is_clean
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
