"""``mqvpn-core demo``: a whole VPN on one machine, from nothing to a proven download and back.

Everything runs in network namespaces of its own (see `mqvpn_core.demo.topology`); the machine's
network is not touched. The programs are real ones, started as anyone would start them.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType

from mqvpn_core.app.exit_codes import ExitCode
from mqvpn_core.demo.screen import Screen
from mqvpn_core.demo.story import DemoError, DemoResult, Story
from mqvpn_core.demo.topology import LTE, MEGABIT, WLAN, World, build_world
from mqvpn_core.errors import MqvpnError

_LINKS = (
    replace(WLAN, bits_per_second=80 * MEGABIT),
    replace(LTE, bits_per_second=30 * MEGABIT),
)
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the user may choose."""

    download_bytes: int = 30_000_000
    """How much to download through the tunnel."""
    as_json: bool = False
    """Print the result as JSON on standard output, the story on standard error."""
    keep: bool = False
    """Hold everything open at the end until Ctrl-C."""


def run_demo(options: DemoOptions) -> ExitCode:
    """Run the whole demonstration and tell by the exit code whether it worked."""
    obstacle, code = _obstacle()
    if obstacle:
        sys.stderr.write(f"mqvpn-core demo: {obstacle}\n")
        return code
    names = tuple(link.interface for link in _LINKS)
    screen = Screen(sys.stderr if options.as_json else sys.stdout, names)
    try:
        with (
            _endings_handled_by(_interrupt),
            tempfile.TemporaryDirectory(prefix="mqvpn-demo-") as scratch,
        ):
            result = _tell(options, screen, Path(scratch))
    except KeyboardInterrupt:
        screen.step("interrupted; everything is taken down")
        return ExitCode.FAILURE
    except (MqvpnError, OSError) as error:
        screen.step(f"FAILED: {error}")
        return ExitCode.FAILURE
    if options.as_json:
        sys.stdout.write(json.dumps(asdict(result)) + "\n")
    screen.step("all of it worked")
    return ExitCode.OK


def _tell(options: DemoOptions, screen: Screen, scratch: Path) -> DemoResult:
    screen.step("building client, router, server and a web host behind the server")
    with build_world(_LINKS) as world:
        if not world.rates_limited:
            screen.step("    this kernel has no token bucket: the links run at full speed")
        story = Story(screen, scratch, world, _LINKS)
        try:
            result = story.tell(options.download_bytes)
            if options.keep:
                _hold_open(screen, world)
        finally:
            with _endings_handled_by(signal.SIG_IGN):  # an impatient user gets a clean end, too
                screen.leave_table()
                screen.step("taking the tunnel down")
                story.stop_programs()
        if left := story.left_overs():
            raise DemoError("left behind:\n    " + "\n    ".join(left))
        screen.step("client and server are as before: no device, address, route, rule or file left")
    screen.step("the namespaces are gone")
    return result


def _hold_open(screen: Screen, world: World) -> None:
    screen.leave_table()
    for machine in (world.client, world.router, world.server, world.web):
        screen.step(f"    {machine.label}: nsenter --net={machine.path}")
    screen.step("everything stays up until Ctrl-C")
    with suppress(KeyboardInterrupt):
        signal.pause()


def _obstacle() -> tuple[str | None, ExitCode]:
    if os.geteuid() != 0:
        return "needs root for network namespaces: sudo mqvpn-core demo", ExitCode.PERMISSION
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun is missing; as root: modprobe tun", ExitCode.PERMISSION
    for tool, package in (("nft", "nftables"), ("ping", "iputils-ping")):
        if shutil.which(tool) is None:
            return f"{tool} is missing: apt-get install {package}", ExitCode.FAILURE
    return None, ExitCode.OK


@contextmanager
def _endings_handled_by(
    handler: Callable[[int, FrameType | None], None] | signal.Handlers,
) -> Iterator[None]:
    """Treat Ctrl-C, SIGTERM and SIGHUP alike for the length of a block."""
    before = [signal.signal(number, handler) for number in _ENDINGS]
    try:
        yield
    finally:
        for number, earlier in zip(_ENDINGS, before, strict=True):
            signal.signal(number, earlier)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
