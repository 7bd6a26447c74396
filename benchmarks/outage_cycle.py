"""One cycle: both links work, one is lost, the probe goes on, the link comes back and is used."""

import enum
import time
from dataclasses import dataclass

from benchmarks.fetching import fetching
from benchmarks.kernel_reports import KernelReports
from benchmarks.outages import Outage
from benchmarks.probe import Probe, wall_clock
from benchmarks.two_link_tunnel import TwoLinkTunnel
from mqvpn_core.demo.programs import ProgramError
from tests.linkem.two_links import EmulatedAccess

_SETTLING = 0.4
"""Seconds before each loss in which the probe shows which link it uses."""
_CARRIER_SETTLING = 1.2
"""The same before a loss of carrier, of which the kernel tells once in a second only."""
_LEAST_WATCH = 0.6
_MOST_WATCH = 5.0
_CALM_PACKETS = 20
"""So many packets of each direction in a short time: the outage is over for the probe."""
_LOAD_HEAD_START = 0.3
_USED_BYTES = 65_536
"""So much more than signs of life and validation: the link carries traffic."""
_RETURN_PATIENCE = 5.0
_POLL = 0.01


class Target(enum.Enum):
    """Which link is lost."""

    PRIMARY = "primary"
    """The one that carries most of the probe."""
    OTHER = "other"
    """The other one."""
    PATH0 = "path0"
    """The one of the path that the handshake took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleResult:
    """What was seen, in milliseconds."""

    link: str
    """The link that was lost."""
    gap_up: float
    """Longest silence from the client to the far host."""
    gap_down: float
    """Longest silence from the far host to the client."""
    report: float | None
    """From the loss until the kernel told of it; ``None`` when it did not."""
    usable: float | None
    """From the link's return until its path was usable; ``None`` when it was not."""
    back: float | None
    """From the link's return until it carried traffic; ``None`` when it did not."""
    sender_stall: float
    """Longest pause of the probe's sender."""
    srtt: float
    """Round-trip time of the lost path."""


class Cycle:
    """Runs cycles on one tunnel."""

    def __init__(self, tunnel: TwoLinkTunnel, probe: Probe, reports: KernelReports) -> None:
        """Keep what a cycle needs.

        Args:
            tunnel: a tunnel that is up.
            probe: the streams through it.
            reports: what the client's kernel tells.
        """
        self._tunnel = tunnel
        self._probe = probe
        self._reports = reports

    def run(self, outage: Outage, target: Target) -> CycleResult:
        """Lose a link and give it back."""
        seconds = _CARRIER_SETTLING if outage is Outage.LINK_DOWN else _SETTLING
        link = self._settle_and_choose(target, seconds)
        srtt = next((p.srtt_ms for p in self._tunnel.paths() if p.interface == link.name), 0.0)
        lost_at = wall_clock()
        outage.begin(link)
        seen_until = self._watch(lost_at)
        streams = (self._probe.up, self._probe.down)
        gaps = [stream.gap(lost_at, seen_until) * 1000 for stream in streams]
        stalls = [stream.sender_stall(lost_at, seen_until) * 1000 for stream in streams]
        report = self._reports.delay(link.name, lost_at)
        with fetching(self._tunnel.links.world.client):
            usable, back = self._give_back(outage, link)
        self._probe.forget()
        return CycleResult(
            link=link.name,
            gap_up=gaps[0],
            gap_down=gaps[1],
            report=None if report is None or outage is Outage.BLACK_HOLE else report * 1000,
            usable=usable,
            back=back,
            sender_stall=max(stalls),
            srtt=srtt,
        )

    def _settle_and_choose(self, target: Target, seconds: float) -> EmulatedAccess:
        links = self._tunnel.links
        before = {link.name: _carried(link) for link in links.both}
        time.sleep(seconds)
        if target is Target.PATH0:
            first = next((path for path in self._tunnel.paths() if path.id == 0), None)
            if first is None:
                raise ProgramError(f"there is no path 0:\n{self._tunnel.client.log_tail()}")
            return next(link for link in links.both if link.name == first.interface)
        moved = sorted(links.both, key=lambda link: _carried(link) - before[link.name])
        return moved[-1] if target is Target.PRIMARY else moved[0]

    def _watch(self, lost_at: float) -> float:
        """Wait until the probe is calm again in both directions; return the moment."""
        while True:
            time.sleep(_POLL)
            now = wall_clock()
            calm_since = now - 1.5 * _CALM_PACKETS * 0.01
            streams = (self._probe.up, self._probe.down)
            is_calm = all(each.has_arrived_since(calm_since, _CALM_PACKETS) for each in streams)
            elapsed = now - lost_at
            if (is_calm and elapsed >= _LEAST_WATCH) or elapsed >= _MOST_WATCH:
                return now

    def _give_back(self, outage: Outage, link: EmulatedAccess) -> tuple[float | None, float | None]:
        """End the outage; milliseconds until its path was usable, and until it carried traffic."""
        time.sleep(_LOAD_HEAD_START)
        outage.end(link)
        started = time.perf_counter()
        before = _carried(link)
        usable: float | None = None
        while (elapsed := time.perf_counter() - started) < _RETURN_PATIENCE:
            if usable is None and link.name in self._tunnel.usable_links():
                usable = elapsed * 1000
            if usable is not None and _carried(link) - before >= _USED_BYTES:
                return usable, elapsed * 1000
            time.sleep(_POLL)
        return usable, None


def _carried(link: EmulatedAccess) -> int:
    counters = link.counters()
    return counters.received_bytes + counters.sent_bytes
