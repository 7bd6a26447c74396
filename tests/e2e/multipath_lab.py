"""A tunnel over two emulated links, with traffic in it that must not notice what happens to them.

The bars here are wide: they tell a failover from an outage on any machine, however busy. How good
it really is, `benchmarks.failover` measures.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.outages import Outage
from benchmarks.probe import Probe, probe, wall_clock
from benchmarks.steady_connection import SteadyConnection, steady_connection
from benchmarks.two_link_tunnel import TwoLinkTunnel
from mqvpn_core.demo.processes import Process
from mqvpn_core.demo.programs import WEB_PORT
from mqvpn_core.demo.topology import WEB_IPV4
from mqvpn_core.demo.web_host import payload
from tests.e2e.topology import eventually
from tests.linkem.requirement import need_emulator
from tests.linkem.two_links import EmulatedAccess, build_two_links

GAP = {Outage.LINK_DOWN: 1.5, Outage.ADDRESS_REMOVED: 1.0, Outage.BLACK_HOLE: 1.5}
"""Seconds of silence that are no outage; the kernel tells a lost carrier up to one late."""
BACK_WITHIN = 2.0
"""Seconds a link may take to be in use after it is back."""

_CALM = 0.4
_CALM_PACKETS = 25
_DOWNLOAD_PATIENCE = 40.0
_BYTES_PER_SECOND = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What is going on inside the tunnel."""

    probe: Probe
    """Small packets, 100 a second in each direction."""
    connection: SteadyConnection
    """A TCP connection that is never idle."""

    def wait_until_calm(self, seconds: float) -> None:
        """Wait until the probe flows in both directions."""
        streams = (self.probe.up, self.probe.down)
        eventually(
            lambda: all(
                each.has_arrived_since(wall_clock() - _CALM, _CALM_PACKETS) for each in streams
            ),
            seconds,
            "steady flow both ways",
        )

    def gap(self, since: float) -> float:
        """The longest silence since a moment, in seconds."""
        until = wall_clock()
        return max(stream.gap(since, until) for stream in (self.probe.up, self.probe.down))


class Download:
    """A download, slow enough for either link, while a test does something to them."""

    def __init__(self, tunnel: TwoLinkTunnel, folder: Path, seconds: int) -> None:
        self._size = seconds * _BYTES_PER_SECOND
        self._log = folder / "download.log"
        self._target = folder / "download"
        command = ["curl", "--silent", "--show-error", "--fail"]
        command += ["--limit-rate", str(_BYTES_PER_SECOND), "--output", str(self._target)]
        command += [f"http://{WEB_IPV4}:{WEB_PORT}/bytes/{self._size}"]
        self._process: Process = tunnel.links.world.client.start(command, self._log)

    def is_running(self) -> bool:
        """Whether there is more to come."""
        return self._process.poll() is None

    def wait_until_whole(self) -> None:
        """Wait for the end and compare what arrived with what was sent."""
        self._process.wait(_DOWNLOAD_PATIENCE)
        assert self._process.returncode == 0, self._log.read_text(encoding="utf-8")
        assert self._target.read_bytes() == payload(self._size)


class MultipathLab:
    """The world, the programs, and short words for what tests do with them."""

    def __init__(self, tunnel: TwoLinkTunnel, folder: Path) -> None:
        self.tunnel = tunnel
        self.folder = folder
        self.wlan = tunnel.links.wlan
        self.lte = tunnel.links.lte
        self.names = tuple(link.name for link in tunnel.links.both)

    def other(self, link: EmulatedAccess) -> EmulatedAccess:
        """The link that is left."""
        return self.lte if link is self.wlan else self.wlan

    def connect_over_both(self) -> None:
        """Bring the tunnel up, with a path over each link."""
        self.tunnel.connect(*self.names)
        assert self.tunnel.wait_for_paths(*self.names), self.tunnel.client.log_tail()

    def wait_until_usable(self, link: EmulatedAccess, seconds: float) -> float:
        """Wait until a link has a usable path again; how long that took."""
        return eventually(
            lambda: link.name in self.tunnel.usable_links(),
            seconds,
            f"path over {link.name}\n{self.tunnel.client.log_tail()}",
        )

    def wait_until_lost(self, link: EmulatedAccess, seconds: float = 10.0) -> None:
        """Wait until a link has no usable path any more."""
        eventually(
            lambda: link.name not in self.tunnel.usable_links(),
            seconds,
            f"end of the path over {link.name}\n{self.tunnel.client.log_tail()}",
        )

    def download(self, seconds: int) -> Download:
        """Start a download that takes so long."""
        return Download(self.tunnel, self.folder, seconds)

    @contextmanager
    def traffic(self) -> Iterator[Traffic]:
        """Hold a probe and a connection for the length of a block; none may break."""
        world = self.tunnel.links.world
        with (
            probe(world.client, world.web, WEB_IPV4) as streams,
            steady_connection(world.client, world.web, WEB_IPV4) as connection,
        ):
            traffic = Traffic(probe=streams, connection=connection)
            traffic.wait_until_calm(5)
            exchanged = connection.exchanged
            yield traffic
            eventually(lambda: connection.exchanged > exchanged, 10, "answer over TCP")
            assert connection.resets == 0


@contextmanager
def open_multipath_lab(
    connect: Callable[[MultipathLab], None] = MultipathLab.connect_over_both,
    options: Sequence[str] = (),
) -> Iterator[MultipathLab]:
    """Hold a laboratory for the length of a block.

    Args:
        connect: starts the client.
        options: more of the command lines of client and server.
    """
    need_emulator()
    # Not pytest's own directory: its name is too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="mq-two-"))
    try:
        with build_two_links(folder) as links:
            tunnel = TwoLinkTunnel(links, folder, options)
            laboratory = MultipathLab(tunnel, folder)
            connect(laboratory)
            yield laboratory
        for name in ("client.log", "server.log"):
            text = (folder / name).read_text(encoding="utf-8", errors="replace")
            sys.stdout.write(f"--- {name}\n{text}\n")  # shown when the test fails
            assert "Traceback" not in text, f"{name} has a traceback"
    finally:
        shutil.rmtree(folder)
