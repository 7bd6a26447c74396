"""A deterministic network: hosts, links and nodes under one virtual clock.

Owns: the clock, the event queue, routing between links and the loop that drives nodes with the
verbs of every sans-I/O object. Must not know: QUIC. Nothing here waits; one seed decides all.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from mqvpn_core.ids import FourTuple, Instant
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, Transmit
from mqvpn_core.testing.entropy import seeded_dice
from mqvpn_core.testing.link_elements import SIMULATION_START, Direction, UdpDatagram
from mqvpn_core.testing.links import Link
from mqvpn_core.testing.trace import Trace

_SHORTEST_SLEEP = 1e-6
_MAX_IDLE_TURNS = 200
_MAX_ROUNDS_PER_TURN = 1000
_MAX_TURNS = 500_000
_MAX_BATCH_SEGMENTS = 64
_MAX_BATCH_BYTES = 65_000


class Node(Protocol):
    """What a host runs: the verbs of every sans-I/O object, and a place to handle its events."""

    def receive_datagrams(self, batch: ReceivedDatagrams, now: Instant) -> None:
        """Take UDP datagrams from one four-tuple."""

    def handle_timeout(self, now: Instant) -> None:
        """Act on a deadline that ``next_timeout`` named."""

    def transmits(self, now: Instant) -> Sequence[Transmit]:
        """Return what is to be sent now."""

    def next_timeout(self) -> Instant | None:
        """Return when ``handle_timeout`` wants to be called."""

    def handle_events(self, now: Instant) -> int:
        """Let the application act on what happened; return how many events there were."""


class SimulationError(AssertionError):
    """A run went wrong; the message carries the seed and the end of the trace."""


class SimulationStalledError(SimulationError):
    """The goal was not reached in time, or can never be reached."""


class LiveLockError(SimulationError):
    """The nodes keep each other or themselves busy without doing anything."""


Tap = Callable[[Instant, str, UdpDatagram], None]
"""Sees each datagram when it is ``sent`` and when it is ``delivered``."""


@dataclass(slots=True)
class _Host:
    """A node, its links and what has arrived for it."""

    name: str
    node: Node
    links: dict[str, Link]
    is_touched: bool = True
    wake_at: Instant | None = None
    inbox: list[tuple[FourTuple, int, list[bytes]]] = field(default_factory=list)

    def put(self, datagram: UdpDatagram) -> None:
        """Store an arrived datagram, coalesced as the kernel does with GRO."""
        self.is_touched = True
        four_tuple = FourTuple(datagram.destination, datagram.source)
        payload = datagram.payload
        if self.inbox:
            last_tuple, last_ecn, payloads = self.inbox[-1]
            segment_size = len(payloads[0])
            if (
                last_tuple == four_tuple
                and last_ecn == datagram.ecn
                and len(payload) <= segment_size == len(payloads[-1])
                and len(payloads) < _MAX_BATCH_SEGMENTS
                and (len(payloads) + 1) * segment_size <= _MAX_BATCH_BYTES
            ):
                payloads.append(payload)
                return
        self.inbox.append((four_tuple, datagram.ecn, [payload]))

    def take_inbox(self) -> list[ReceivedDatagrams]:
        """Empty the inbox into batches."""
        batches = [
            ReceivedDatagrams(four_tuple, b"".join(payloads), len(payloads[0]), ecn)
            for four_tuple, ecn, payloads in self.inbox
        ]
        self.inbox.clear()
        return batches


class Simulator:
    """Runs nodes against each other in virtual time.

    A (getters): ``now``, ``elapsed``, ``seed``, ``trace``, ``sent_count``, ``link``.
    B (the scene): ``add_host``, ``replace_node``, ``at``, ``add_check``, ``add_tap``, ``inject``.
    C (running): ``run_until``, ``run_for``, ``run_until_quiet``.
    """

    def __init__(self, seed: int) -> None:
        """Start the clock.

        Args:
            seed: decides every random choice of the network.
        """
        self.seed = seed
        self.now = SIMULATION_START
        self.trace = Trace()
        self.sent_count = 0
        self._dice = seeded_dice(seed, "network")
        self._hosts: dict[str, _Host] = {}
        self._queue: list[tuple[Instant, int, Callable[[], None]]] = []
        self._serial = 0
        self._turn_count = 0
        self._idle_turns = 0
        self._checks: list[Callable[[], None]] = []
        self._taps: list[Tap] = []

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.now - SIMULATION_START

    def link(self, host_name: str, link_name: str) -> Link:
        """Return a link, to change or to read it."""
        return self._hosts[host_name].links[link_name]

    def add_host(self, name: str, node: Node, links: Sequence[Link]) -> None:
        """Connect a node to the network through its links."""
        self._hosts[name] = _Host(name, node, {link.name: link for link in links})

    def replace_node(self, name: str, node: Node) -> None:
        """Restart a host: what it knew is gone, its links stay."""
        host = self._hosts[name]
        host.node, host.wake_at, host.is_touched = node, None, True
        host.inbox.clear()

    def at(self, elapsed: float, note: str, action: Callable[[], object]) -> None:
        """Script a fault or a command; every node is driven after it.

        Args:
            elapsed: when, in seconds after the start.
            note: what the trace says.
            action: what to do.
        """
        self._push(Instant(SIMULATION_START + elapsed), partial(self._act, note, action))

    def add_check(self, check: Callable[[], None]) -> None:
        """Assert something after every turn."""
        self._checks.append(check)

    def add_tap(self, tap: Tap) -> None:
        """Watch the datagrams."""
        self._taps.append(tap)

    def inject(self, datagram: UdpDatagram) -> None:
        """Put a datagram into the network as if some router had sent it."""
        self._push(self.now, partial(self._route, datagram))

    def run_until(self, goal: Callable[[], bool], *, limit: float) -> None:
        """Run until the goal is reached.

        Args:
            goal: checked after every turn.
            limit: seconds of virtual time this call may take.

        Raises:
            SimulationStalledError: the time is over, or nothing will ever happen again.
        """
        deadline = Instant(self.now + limit)
        with self._named_failures():
            self._drive_all()
            while not goal():
                if not self._turn(deadline):
                    raise SimulationStalledError(f"goal not reached in {limit} s")

    def run_for(self, seconds: float) -> None:
        """Run for a span of virtual time."""
        deadline = Instant(self.now + seconds)
        with self._named_failures():
            self._drive_all()
            while self._turn(deadline):
                pass
            self.now = deadline

    def run_until_quiet(self, *, quiet: float, limit: float) -> None:
        """Run until nobody has sent anything for a while.

        Args:
            quiet: seconds of silence that count as idle.
            limit: seconds of virtual time this call may take.

        Raises:
            SimulationStalledError: somebody kept sending.
        """
        give_up_at = Instant(self.now + limit)
        with self._named_failures():
            while self.now < give_up_at:
                sent_before = self.sent_count
                self.run_for(quiet)
                if self.sent_count == sent_before:
                    return
            raise SimulationStalledError(f"still sending after {limit} s")

    def _turn(self, deadline: Instant) -> bool:
        """Advance to the next instant at which something happens; false if none is near."""
        next_at = self._next_instant()
        if next_at is None or next_at > deadline:
            return False
        self.now = max(self.now, next_at)
        is_productive = self._run_due_actions()
        for host in self._hosts.values():
            if host.wake_at is not None and host.wake_at <= self.now:
                host.node.handle_timeout(self.now)
                host.is_touched = True
        is_productive |= self._drive_touched()
        self._guard_progress(is_productive=is_productive)
        for check in self._checks:
            check()
        return True

    def _next_instant(self) -> Instant | None:
        candidates = [host.wake_at for host in self._hosts.values() if host.wake_at is not None]
        if self._queue:
            candidates.append(self._queue[0][0])
        return min(candidates, default=None)

    def _run_due_actions(self) -> bool:
        """Run what is due now; what it queues for the same instant has to wait for a turn."""
        due: list[Callable[[], None]] = []
        while self._queue and self._queue[0][0] <= self.now:
            due.append(heapq.heappop(self._queue)[2])
        for action in due:
            action()
        return bool(due)

    def _guard_progress(self, *, is_productive: bool) -> None:
        self._turn_count += 1
        self._idle_turns = 0 if is_productive else self._idle_turns + 1
        if self._idle_turns > _MAX_IDLE_TURNS:
            raise LiveLockError(f"{_MAX_IDLE_TURNS} turns in which nothing was done")
        if self._turn_count > _MAX_TURNS:
            raise LiveLockError(f"more than {_MAX_TURNS} turns")

    def _drive_all(self) -> None:
        for host in self._hosts.values():
            host.is_touched = True
        self._drive_touched()

    def _drive_touched(self) -> bool:
        is_productive = False
        for host in self._hosts.values():
            if host.is_touched:
                host.is_touched = False
                is_productive |= self._drive(host)
        return is_productive

    def _drive(self, host: _Host) -> bool:
        """Feed and drain one node; true if it did anything."""
        is_productive = bool(host.inbox)
        for batch in host.take_inbox():
            host.node.receive_datagrams(batch, self.now)
        for _ in range(_MAX_ROUNDS_PER_TURN):
            transmits = host.node.transmits(self.now)
            for transmit in transmits:
                self._send(host, transmit)
            event_count = host.node.handle_events(self.now)
            if not transmits and not event_count:
                break
            is_productive = True
        else:
            raise LiveLockError(f"{host.name} never stops sending or reporting at one instant")
        timeout = host.node.next_timeout()
        # A deadline that is due already would otherwise stop the clock for ever.
        earliest = Instant(self.now + _SHORTEST_SLEEP)
        host.wake_at = None if timeout is None else max(timeout, earliest)
        return is_productive

    def _send(self, host: _Host, transmit: Transmit) -> None:
        local, remote = transmit.four_tuple
        if not 0 < transmit.segment_size <= len(transmit.data) <= _MAX_BATCH_BYTES:
            raise SimulationError(f"{host.name} made a transmit of wrong sizes")
        link = next((link for link in host.links.values() if link.host == local.host), None)
        for start in range(0, len(transmit.data), transmit.segment_size):
            payload = transmit.data[start : start + transmit.segment_size]
            datagram = UdpDatagram(local, remote, payload, transmit.ecn)
            self.sent_count += 1
            self._record("sent", datagram)
            if link is None:
                self.trace.record_datagram(self.now, "lost: no such link", datagram)
            else:
                self._cross(host, link, Direction.UP, 0, datagram)

    def _cross(
        self, host: _Host, link: Link, direction: Direction, index: int, datagram: UdpDatagram
    ) -> None:
        """Take a datagram through the stages of a link, from one of them on."""
        if not link.is_up:
            self.trace.record_datagram(self.now, f"lost: {link.name} is down", datagram)
            return
        entry = link.stage(direction, index)
        if entry is None:
            if direction is Direction.UP:
                self._push(self.now, partial(self._route, datagram))
            else:
                self._record("delivered", datagram)
                host.put(datagram)
            return
        name, stage = entry
        departures = stage.pass_on(datagram, self.now, self._dice)
        if not departures:
            self.trace.record_datagram(self.now, f"lost in {name} of {link.name}", datagram)
        for at, leaving in departures:
            if at <= self.now:
                self._cross(host, link, direction, index + 1, leaving)
            else:
                self._push(at, partial(self._cross, host, link, direction, index + 1, leaving))

    def _route(self, datagram: UdpDatagram) -> None:
        """Hand a datagram to the link that owns its destination."""
        for host in self._hosts.values():
            for link in host.links.values():
                if datagram.destination.host in link.public_hosts:
                    self._cross(host, link, Direction.DOWN, 0, datagram)
                    return
        self.trace.record_datagram(self.now, "lost: no route", datagram)

    def _push(self, at: Instant, action: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._queue, (at, self._serial, action))

    def _act(self, note: str, action: Callable[[], object]) -> None:
        self.trace.record_note(self.now, note)
        action()
        for host in self._hosts.values():
            host.is_touched = True

    def _record(self, what: str, datagram: UdpDatagram) -> None:
        self.trace.record_datagram(self.now, what, datagram)
        for tap in self._taps:
            tap(self.now, what, datagram)

    @contextmanager
    def _named_failures(self) -> Iterator[None]:
        """Tell whoever reads a failure how to see it again."""
        try:
            yield
        except Exception as error:
            note = f"simulation seed {self.seed}; replay it with MQVPN_SIM_SEED={self.seed}"
            if note not in getattr(error, "__notes__", []):
                error.add_note(note)
                error.add_note(f"at {self.elapsed:.6f} s, after:\n{self.trace.last_lines()}")
            raise
