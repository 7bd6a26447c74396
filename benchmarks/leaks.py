"""Does anything get out beside the tunnel? ``python -m benchmarks.leaks`` (root).

A real client with its kill switch on, real links, programs that try everything all the time, and
random events from a seed: starts, stops, kills, outages of links and server, flaps, a suspended
machine. The client is the helper on a system bus of its own, or ``mqvpn-core client``. Every packet
is looked at where the links end. It takes some minutes; with ``--kill-switch off`` it must find
leaks, or it could not find any.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.leak_capture import Capture, Leak, summary
from benchmarks.leak_clients import (
    OUTER_NAME_SERVER,
    PATIENCE,
    HelperClient,
    LeakClient,
    ProgramClient,
)
from benchmarks.leak_noise import Noise
from benchmarks.leak_story import LINKS, Course, Story
from mqvpn_core.demo.programs import PORT, make_credentials
from mqvpn_core.demo.topology import SERVER_IPV4, SERVER_IPV6, World, build_world
from tests.bus.system_bus import SystemBus, bus_obstacle, system_bus

_RESOLV_CONF = f"nameserver {OUTER_NAME_SERVER}\\noptions timeout:1 attempts:1\\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What came of it."""

    leaks: tuple[Leak, ...]
    """Packets that left although they must not."""
    packet_count: int
    """Packets that were judged."""
    try_count: int
    """What the programs tried."""
    tunnels: int
    """How often the tunnel was seen to be up again."""
    happened: tuple[str, ...]
    """The events, in order."""
    is_clean: bool
    """The machine looks as before, byte for byte, and asks the same for names."""
    question_count: int = 0
    """Names that a program of a user looked up."""
    complaints: str = ""
    """What the helper wrote that it must never write."""


def run_course(
    course: Course, kind: str = "helper", tell: Callable[[str], None] = lambda _line: None
) -> Finding:
    """Let it happen and watch.

    Args:
        course: what shall happen.
        kind: ``helper`` or ``program``.
        tell: is told each event.
    """
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="mq-leaks-")))
        world = held.enter_context(build_world(LINKS))
        credentials = make_credentials(folder)
        if kind == "program":
            client = ProgramClient(world, credentials)
            return _watch(world, Story(course, world, credentials, client), client, tell)
        bus = _make_bus(held, folder, world)
        key = credentials.auth_key.read_text(encoding="ascii").strip()
        helped = HelperClient(bus, held.enter_context(bus.logind()), key, credentials.pin)
        story = Story(course, world, credentials, helped)
        questions = held.enter_context(_questions(bus))
        finding = _watch(world, story, helped, tell)
        text = bus.log()
        return replace(
            finding,
            question_count=questions(),
            complaints="\n".join(line for line in text.splitlines() if "Traceback" in line),
        )


def _make_bus(held: ExitStack, folder: Path, world: World) -> SystemBus:
    obstacle = bus_obstacle()
    if obstacle is not None:
        raise SystemExit(f"no system bus of our own: {obstacle}")
    logs = folder / "bus"
    logs.mkdir()
    folder.chmod(0o755)
    bus = held.enter_context(system_bus(logs, namespace=world.client))
    bus.run(["sh", "-c", f"rm -f /etc/resolv.conf; printf '{_RESOLV_CONF}' >/etc/resolv.conf"])
    return bus


@contextmanager
def _questions(bus: SystemBus) -> Iterator[Callable[[], int]]:
    """Have a user's program ask for names; what is yielded ends it and says how often it did."""
    script = Path(__file__).with_name("leak_questions.py")
    with subprocess.Popen(
        bus.command([sys.executable, str(script)], user="alice"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
    ) as program:

        def end() -> int:
            said, _ = program.communicate(timeout=PATIENCE)
            return int(said)

        try:
            yield end
        finally:
            program.kill()


def _watch(world: World, story: Story, client: LeakClient, tell: Callable[[str], None]) -> Finding:
    before = world.client.host_state(), client.traces()
    far_ends = [link.router_interface for link in LINKS]
    capture = Capture(world.router, far_ends, frozenset({SERVER_IPV4, SERVER_IPV6}), PORT)
    noise = None
    try:
        story.begin()
        noise = Noise(world.client)
        story.live(lambda line: tell(f"{line}; leaks so far: {len(story.leaks(capture))}"))
        story.stop()
    finally:
        if noise is not None:
            noise.close()
        time.sleep(0.2)
        capture.close()
        story.close()
    return Finding(
        leaks=story.leaks(capture),
        packet_count=capture.packet_count,
        try_count=noise.tries.total(),
        tunnels=story.tunnels,
        happened=tuple(story.happened),
        is_clean=(world.client.host_state(), client.traces()) == before,
    )


def main() -> int:
    """Run the course of the command line; 0 when it came out as it must."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transitions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest-outage", type=float, default=60.0)
    parser.add_argument("--client", choices=("helper", "program"), default="helper")
    parser.add_argument("--kill-switch", choices=("on", "off"), default="on")
    arguments = parser.parse_args()
    course = Course(
        transitions=arguments.transitions,
        seed=arguments.seed,
        has_kill_switch=arguments.kill_switch == "on",
        longest_outage=arguments.longest_outage,
    )
    began = time.perf_counter()
    finding = run_course(course, arguments.client, lambda line: print(line, flush=True))
    names = sum(leak.is_name_service for leak in finding.leaks)
    print(", ".join(f"{count} x {name}" for name, count in Counter(finding.happened).items()))
    print(
        f"{len(finding.happened)} events in {time.perf_counter() - began:.0f} s,"
        f" tunnel up again {finding.tunnels} times,"
        f" {finding.try_count} attempts and {finding.question_count} questions for names,"
        f" {finding.packet_count} packets on the links judged:"
        f" {len(finding.leaks)} leaks, {names} of them questions for names;"
        f" machine {'as before' if finding.is_clean else 'NOT as before'}"
    )
    print(summary(finding.leaks))
    print(finding.complaints)
    is_right = bool(finding.leaks) is not course.has_kill_switch and finding.is_clean
    return 0 if is_right and not finding.complaints else 1


if __name__ == "__main__":
    sys.exit(main())
