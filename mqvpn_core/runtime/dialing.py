"""Finding a way to the server that answers: several connections at once, the first one wins.

Links and addresses are tried in order with a short head start each (RFC 8305 s5): a dead one costs
nothing that anybody would see. An attempt that hears nothing is given up early, so that a server
which returns in the meantime is found by a fresh handshake rather than by an old one's slow
retransmission.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import trio

from mqvpn_core.errors import HostError
from mqvpn_core.ids import SocketAddress
from mqvpn_core.runtime.client_driver import ClientDriver
from mqvpn_core.runtime.host_operations import LinkInfo
from mqvpn_core.runtime.packet_ports import DatagramSocket
from mqvpn_core.tunnel.lifecycle import Failure, FailureKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to try."""

    remote: SocketAddress
    """Address of the server."""
    link: LinkInfo
    """Link to leave by, and the address to send from."""
    is_detour: bool = False
    """The link is one that no rule would choose; it is tried for want of a better one."""


class Dialled(Protocol):
    """One connection to one address of the server, from its first packet on."""

    @property
    def remote(self) -> SocketAddress:
        """The address."""

    @property
    def driver(self) -> ClientDriver:
        """Moves its packets; not yet running."""

    @property
    def sockets(self) -> Sequence[DatagramSocket]:
        """Its sockets; closed when the driver has ended."""

    def failure(self) -> Failure | None:
        """Say why the connection is closed, or None while it is not."""

    def abandon(self) -> None:
        """Close the connection for want of a use."""


D = TypeVar("D", bound=Dialled)


@dataclass(frozen=True, slots=True, kw_only=True)
class DialLimits:
    """Times in seconds."""

    head_start: float = 0.25
    """Lead of one address over the next (RFC 8305 s8 recommends this value)."""
    link_head_start: float = 0.1
    """Lead of one link over the next."""
    silence: float = 2.5
    """An attempt that has heard nothing for this long is over."""
    handshake: float = 10.0
    """An attempt that has not finished its handshake by then is over."""


async def dial(
    candidates: Sequence[Candidate],
    open_connection: Callable[[Candidate], Awaitable[D]],
    nursery: trio.Nursery,
    limits: DialLimits,
) -> D | Failure:
    """Return the first connection whose handshake is complete, or why there is none.

    Args:
        candidates: ways to the server, best first.
        open_connection: makes sockets and a connection that was told to connect.
        nursery: where the drivers run; the winner goes on there.
        limits: how long to wait.
    """
    race: _Race[D] = _Race(open_connection, nursery, limits)
    is_handed_over = False
    try:
        async with trio.open_nursery() as attempts:
            for number, candidate in enumerate(candidates, 1):
                over = trio.Event()
                attempts.start_soon(race.attempt, candidate, over, attempts.cancel_scope)
                with trio.move_on_after(_lead(candidate, candidates[number:], limits)):
                    await over.wait()
        is_handed_over = True
    finally:
        if race.winner is not None and not is_handed_over:
            race.winner.abandon()
    return race.winner or worst_news(race.failures)


def _lead(candidate: Candidate, others: Sequence[Candidate], limits: DialLimits) -> float:
    if others and others[0].link.ifindex != candidate.link.ifindex:
        return limits.link_head_start
    return limits.head_start


def worst_news(failures: Sequence[Failure]) -> Failure:
    """Return the failure that tells the user most: an answer says more than silence."""
    for failure in failures:
        if failure.kind is not FailureKind.UNREACHABLE:
            return failure
    if failures:
        return failures[0]
    return Failure(kind=FailureKind.UNREACHABLE, message="the server has no usable address")


async def run_driver(dialled: Dialled) -> None:
    """Run a connection's driver until its owner ends it, then close its sockets.

    Shielded: whoever owns the connection closes it when cancelled, and the CONNECTION_CLOSE must
    find the sockets open.
    """
    try:
        with trio.CancelScope(shield=True):
            await dialled.driver.run()
    finally:
        for socket in dialled.sockets:
            socket.close()


class _Race(Generic[D]):
    """The attempts of one call of `dial`."""

    def __init__(
        self,
        open_connection: Callable[[Candidate], Awaitable[D]],
        nursery: trio.Nursery,
        limits: DialLimits,
    ) -> None:
        self.winner: D | None = None
        self.failures: list[Failure] = []
        self._open_connection = open_connection
        self._nursery = nursery
        self._limits = limits

    async def attempt(
        self, candidate: Candidate, over: trio.Event, scope: trio.CancelScope
    ) -> None:
        try:
            dialled = await self._open_connection(candidate)
        except (HostError, OSError) as error:
            message = f"{candidate.remote.host} over {candidate.link.name}: {error}"
            self.failures.append(Failure(kind=FailureKind.UNREACHABLE, message=message))
            over.set()
            return
        self._nursery.start_soon(run_driver, dialled)
        try:
            await self._wait_settled(dialled.driver)
            failure = dialled.failure()
            if failure is None and dialled.driver.settled.is_set() and self.winner is None:
                self.winner = dialled
                scope.cancel()
            else:
                self.failures.append(failure or _too_late(candidate, dialled.driver))
        finally:
            over.set()
            if self.winner is not dialled:
                dialled.abandon()

    async def _wait_settled(self, driver: ClientDriver) -> None:
        limits = self._limits
        with trio.move_on_after(limits.silence):
            await driver.settled.wait()
        if driver.received_any:
            with trio.move_on_after(limits.handshake - limits.silence):
                await driver.settled.wait()


def _too_late(candidate: Candidate, driver: ClientDriver) -> Failure:
    remote = candidate.remote
    where = f"{remote.host} port {remote.port} (UDP) over {candidate.link.name}"
    if driver.received_any:
        message = f"{where} answers, but the handshake does not finish"
    else:
        message = f"no answer from {where}"
    return Failure(kind=FailureKind.UNREACHABLE, message=message)
