"""The last act: the link that carries a download is cut in the middle of it, and comes back.

Two measurements of the same silence: a ping through the tunnel, as a user would feel it, and what
the client itself reports in its event ``failover``.
"""

import itertools
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mqvpn_core.app.control_client import fetch_events
from mqvpn_core.demo.processes import Process, stop_process
from mqvpn_core.demo.programs import Program
from mqvpn_core.demo.topology import WEB_IPV4, Access, World
from mqvpn_core.errors import MqvpnError
from mqvpn_core.runtime.control_codec import EventsReply, EventsRequest, JsonValue
from mqvpn_core.runtime.status_values import Status

PING_INTERVAL = 0.02
"""Seconds between two pings: how exact the gap of the ping is."""

FAILOVER_PATIENCE = 5.0
"""Seconds after which the tunnel should long have gone on over the other link."""

RETURN_PATIENCE = 10.0
"""Seconds that a link may take to be used again."""

_POLL = 0.05


class OutageError(MqvpnError):
    """The tunnel did not survive the loss of a link as it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageResult:
    """What the loss of a link looked like."""

    link: str
    """The link that was cut."""
    continued_on: str
    """The link that carried on."""
    reported_gap_ms: float
    """The gap that the client reported."""
    ping_gap_ms: float
    """The longest silence of a ping every 20 ms through the tunnel, around the cut."""
    back_seconds: float
    """From the link's return until the tunnel used it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failover:
    """One ``failover`` event of the client."""

    interface: str
    """The link that was lost."""
    to_interface: str
    """The link that goes on."""
    gap_ms: float
    """How long nothing moved."""


class Outage:
    """Cuts one link of a running tunnel and gives it back."""

    def __init__(self, world: World, client: Program, links: tuple[Access, ...]) -> None:
        """Start to watch which link carries the traffic.

        Args:
            world: the machines.
            client: the running client.
            links: the client's links.
        """
        self._world = world
        self._client = client
        self._links = links
        self._received = _received(_status_of(client))
        self._events_seen = max((reply.last for reply in _replies(client, 0)), default=0)
        self._link = links[0]
        self._cut_at = 0.0

    def start_ping(self, log: Path) -> Process:
        """Start the ping that feels the gap."""
        command = ["ping", "-D", "-n", "-i", str(PING_INTERVAL), WEB_IPV4]
        return self._world.client.start(command, log)

    def cut(self) -> str:
        """Take the carrier from the link that received most since the start; return its name."""
        received = _received(_status_of(self._client))
        self._link = max(
            self._links,
            key=lambda link: (
                received.get(link.interface, 0) - self._received.get(link.interface, 0)
            ),
        )
        self._cut_at = time.clock_gettime(time.CLOCK_REALTIME)  # the clock of ping -D
        self._world.router.set_link(self._link.router_interface, up=False)
        return self._link.interface

    def wait_for_failover(self, meanwhile: Callable[[], None]) -> Failover:
        """Wait until the client says that it goes on over another link.

        Raises:
            OutageError: it does not.
        """
        deadline = time.perf_counter() + FAILOVER_PATIENCE
        while time.perf_counter() < deadline:
            for reply in _replies(self._client, self._events_seen):
                for event in reply.events:
                    found = _as_failover(event)
                    if found is not None and found.interface == self._link.interface:
                        return found
            meanwhile()
            time.sleep(_POLL)
        raise OutageError(
            f"{FAILOVER_PATIENCE:.0f} s after {self._link.interface} was cut the client reports no"
            f" failover:\n{self._client.log_tail()}"
        )

    def give_back(self, meanwhile: Callable[[], None]) -> float:
        """Bring the link up again; return the seconds until the tunnel uses it.

        Raises:
            OutageError: it does not come back.
        """
        self._world.router.set_link(self._link.router_interface, up=True)
        started = time.perf_counter()
        while (seconds := time.perf_counter() - started) < RETURN_PATIENCE:
            paths = _status_of(self._client).paths
            if any(
                path.interface == self._link.interface and path.state == "active" for path in paths
            ):
                return seconds
            meanwhile()
            time.sleep(_POLL)
        raise OutageError(
            f"{self._link.interface} is up again and after {seconds:.0f} s still not used"
        )

    def ping_gap_ms(self, ping: Process, log: Path) -> float:
        """End the ping; return the longest time without an answer since the cut.

        Raises:
            OutageError: it got no answer after the cut.
        """
        stop_process(ping)
        silence = longest_silence(log.read_text(encoding="utf-8"), since=self._cut_at)
        if silence is None:
            raise OutageError("the ping through the tunnel got no answer after the cut")
        return silence * 1e3


def longest_silence(text: str, *, since: float) -> float | None:
    """The longest time between two answers in the output of ``ping -D``.

    Args:
        text: the output.
        since: only silences that ended after this time count, seconds since 1970.

    Returns:
        Seconds; ``None`` when there was no answer after that time.
    """
    stamps = re.findall(r"^\[(\d+\.\d+)\] \d+ bytes", text, re.MULTILINE)
    answers = [float(stamp) for stamp in stamps]
    silences = (later - earlier for earlier, later in itertools.pairwise(answers) if later > since)
    return max(silences, default=None)


def _received(status: Status) -> dict[str, int]:
    received: dict[str, int] = {}
    for path in status.paths:
        received[path.interface] = received.get(path.interface, 0) + path.rx_bytes
    return received


def _replies(client: Program, after: int) -> list[EventsReply]:
    return list(fetch_events(client.control_socket, EventsRequest(after=after)))


def _as_failover(event: JsonValue) -> Failover | None:
    if not isinstance(event, dict) or event.get("kind") != "failover":
        return None
    details = event.get("details")
    if not isinstance(details, dict):
        return None
    gap = details.get("gap_ms")
    return Failover(
        interface=str(event.get("interface")),
        to_interface=str(details.get("to_interface")),
        gap_ms=float(gap) if isinstance(gap, int | float) else 0.0,
    )


def _status_of(client: Program) -> Status:
    status = client.status()
    if status is None:
        raise OutageError(f"the client serves no status any more:\n{client.log_tail()}")
    return status
