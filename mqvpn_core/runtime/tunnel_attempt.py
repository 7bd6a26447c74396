"""One attempt of a client: names, addresses, handshake, tunnel request, and the life of the tunnel.

Owns what is carried from one attempt to the next: addresses of the server that worked, inner
addresses to ask for again, and what this server was found not to support.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import assert_never

import trio

from mqvpn_core.config import HostPort, Scheduler
from mqvpn_core.errors import HostError, LocalProtocolError
from mqvpn_core.masque.client_session import ClientSession, ClientSessionConfig
from mqvpn_core.masque.route_ranges import networks_of_ranges
from mqvpn_core.masque.session_events import EndCause, IPInterface, SessionEnded
from mqvpn_core.runtime.client_connection import ClientConnection
from mqvpn_core.runtime.client_links import ClientLinks
from mqvpn_core.runtime.client_supervisor import AttemptReporter
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.connection_watch import ConnectionWatch, WatchedSide
from mqvpn_core.runtime.dialing import Candidate, DialLimits, dial
from mqvpn_core.runtime.event_log import EventLog
from mqvpn_core.runtime.host_operations import HostOperations
from mqvpn_core.runtime.name_resolution import RESOLVE_LIMIT, NameResolver, socket_address
from mqvpn_core.runtime.path_keeper import KeeperParts, KeptConnection, PathKeeper
from mqvpn_core.runtime.session_watch import SessionPicture, SessionWatch
from mqvpn_core.runtime.tun_device import PacketDevice
from mqvpn_core.tunnel.assignment import Assignment
from mqvpn_core.tunnel.assignment_rules import objection
from mqvpn_core.tunnel.host_plan import ClientHostSettings
from mqvpn_core.tunnel.lifecycle import Failure, FailureKind
from mqvpn_helper.interface.host_plan import IPAddress

_log = logging.getLogger(__name__)

MAX_HOST_ROUTES = 4096
"""Routes a proxy may put on the host; a hostile list could otherwise make millions."""
REFRESH_LIMIT = 1.0
"""Seconds to resolve when earlier addresses are known: the resolver may be behind the tunnel."""

OpenConnection = Callable[[Candidate], Awaitable[ClientConnection]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptParts:
    """What attempts work with."""

    server: HostPort
    """Whom to connect to."""
    session: ClientSessionConfig
    """How to ask for the tunnel."""
    host: HostOperations
    """The machine, which cannot have everything that a server may give."""
    host_settings: ClientHostSettings
    """What the user decided about it."""
    tun: PacketDevice
    """Where IP packets come from and go to."""
    resolver: NameResolver
    """Finds the server's addresses."""
    links: ClientLinks
    """Knows the ways to them."""
    open_connection: OpenConnection
    """Makes a connection over one of these ways."""
    events: EventLog
    """Where to tell what happens to a connection."""
    scheduler: Scheduler
    """How packets are spread over paths at first."""
    known_by: str
    """How the server proves who it is, for the log."""
    limits: DialLimits
    """How long to wait for answers."""


class TunnelAttempts:
    """Makes one tunnel after another.

    A: `server_addresses`, `live`, `live_watch`, `scheduler`. C: `set_scheduler`.
    Tasks: `run` (one at a time).
    """

    def __init__(self, parts: AttemptParts) -> None:
        """Prepare; nothing happens before `run`."""
        self.server_addresses: tuple[IPAddress, ...] = ()
        """Addresses of the server, best first, as far as they are known."""
        self.live: tuple[ClientConnection, ClientSession] | None = None
        """The connection in use and its session."""
        self.live_watch: ConnectionWatch | None = None
        """What measures that connection."""
        self.scheduler = parts.scheduler
        """How packets are spread over paths, in this connection and the next ones."""
        self._parts = parts
        self._session_config = parts.session

    def set_scheduler(self, scheduler: Scheduler) -> None:
        """Spread packets over paths in another way, from now on and after reconnects."""
        self.scheduler = scheduler
        if self.live is not None:
            dialled, _session = self.live
            dialled.connection.set_scheduler(scheduler.value)
            dialled.driver.kick()

    async def run(self, reporter: AttemptReporter) -> Failure:
        """Make one tunnel and stay with it until it ends."""
        failure = await self._resolve()
        if failure is not None:
            return failure
        port = self._parts.server.port
        addresses = [socket_address(address, port) for address in self.server_addresses]
        try:
            candidates = await self._parts.links.find_candidates(addresses)
        except HostError as error:
            return Failure(kind=FailureKind.UNREACHABLE, message=str(error))
        async with trio.open_nursery() as nursery:
            dialled = await dial(
                candidates, self._parts.open_connection, nursery, self._parts.limits
            )
            if isinstance(dialled, Failure):
                return dialled
            self._prefer(ip_address(dialled.remote.host))
            _log.info(
                "handshake with %s over %s done, the server is %s",
                dialled.remote.host,
                dialled.link.name,
                self._parts.known_by,
            )
            session = ClientSession(config=self._session_config, http3=dialled.http3)
            dialled.connection.set_scheduler(self.scheduler.value)
            self.live = (dialled, session)
            self.live_watch = self._make_watch(dialled)
            try:
                return await self._use(dialled, session, self.live_watch, reporter)
            finally:
                self.live = self.live_watch = None
                session.close(read_clock())
                dialled.driver.finish()

    async def _resolve(self) -> Failure | None:
        host = self._parts.server.host
        known = self.server_addresses
        if not known:
            _log.info("resolving %s", host)
        with trio.move_on_after(REFRESH_LIMIT if known else RESOLVE_LIMIT) as scope:
            try:
                found = await self._parts.resolver.resolve(host)
            except HostError as error:
                if known:
                    return None
                return Failure(kind=FailureKind.NAME_NOT_FOUND, message=str(error))
            # What worked last goes first as long as the name still leads there.
            kept = [address for address in known[:1] if address in found]
            self.server_addresses = tuple(dict.fromkeys([*kept, *found]))
            if set(known) != set(found):
                _log.info("connecting to %s port %d", _listed(found), self._parts.server.port)
        if scope.cancelled_caught and not known:
            return Failure(
                kind=FailureKind.NAME_NOT_FOUND,
                message=f"cannot resolve {host}: no answer from the name server",
            )
        return None

    def _prefer(self, address: IPAddress) -> None:
        others = [other for other in self.server_addresses if other != address]
        self.server_addresses = (address, *others)

    async def _use(
        self,
        dialled: ClientConnection,
        session: ClientSession,
        paths: ConnectionWatch,
        reporter: AttemptReporter,
    ) -> Failure:
        watch = SessionWatch(session)
        keeper = self._make_keeper(dialled)
        dialled.driver.attach(session, watch, keeper, paths)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when_finished, dialled.driver.finished, nursery.cancel_scope)
            nursery.start_soon(keeper.run)
            try:
                refusal = await self._report_changes(dialled, watch, reporter)
                if refusal is not None:
                    return refusal
            finally:
                nursery.cancel_scope.cancel()
        if keeper.end_reason is not None:
            return Failure(kind=FailureKind.LOST, message=keeper.end_reason)
        return self._read_end(dialled, watch.ended)

    def _make_watch(self, dialled: ClientConnection) -> ConnectionWatch:
        side = WatchedSide(
            is_client=True,
            interface_of=lambda four_tuple: dialled.link_names.get(four_tuple.local, ""),
            peer=lambda: "",
        )
        return ConnectionWatch(dialled.connection, dialled.http3.watch(), self._parts.events, side)

    def _make_keeper(self, dialled: ClientConnection) -> PathKeeper:
        kept = KeptConnection(
            transport=dialled.connection,
            driver=dialled.driver,
            events=dialled.path_events,
            socket=dialled.socket,
            link=dialled.link,
            remote=dialled.remote,
            is_detour=dialled.is_detour,
            link_names=dialled.link_names,
        )
        links = self._parts.links
        return PathKeeper(
            kept,
            KeeperParts(
                links=links.links,
                board=links.board,
                open_socket=links.sockets.open,
                servers=self.server_addresses,
            ),
        )

    async def _report_changes(
        self, dialled: ClientConnection, watch: SessionWatch, reporter: AttemptReporter
    ) -> Failure | None:
        """Tell the supervisor what the tunnel has, until the session has ended."""
        shown: SessionPicture | None = None
        while watch.ended is None:
            await watch.wait_change()
            picture = watch.picture
            if picture is None or picture == shown:
                continue
            assignment = await self._assignment(picture, dialled)
            if isinstance(assignment, Failure):
                return assignment
            if shown is None:
                await reporter.up(assignment)
                dialled.driver.carry(self._parts.tun)
                _log.info("tunnel is up: %s, MTU %d", _listed(picture.addresses), picture.mtu)
            else:
                await reporter.changed(assignment)
                _log.info("tunnel changed: %s, MTU %d", _listed(picture.addresses), picture.mtu)
            shown = picture
        return None

    async def _assignment(
        self, picture: SessionPicture, dialled: ClientConnection
    ) -> Assignment | Failure:
        """Return what the tunnel has as far as this machine can have it, or why it cannot."""
        try:
            routes = networks_of_ranges(picture.routes, limit=MAX_HOST_ROUTES)
        except LocalProtocolError:
            return Failure(
                kind=FailureKind.REFUSED,
                message=f"the server advertises more than {MAX_HOST_ROUTES} routes;"
                " --routes default takes none of them",
            )
        assignment = Assignment(
            addresses=picture.addresses,
            routes=routes,
            mtu=picture.mtu,
            server=ip_address(dialled.remote.host),
        )
        try:
            machine = await self._parts.host.networks()
        except HostError as error:
            return Failure(kind=FailureKind.HOST, message=str(error))
        reason = objection(assignment, self._parts.host_settings, machine)
        if reason is not None:
            return Failure(kind=FailureKind.REFUSED, message=reason)
        self._session_config = replace(
            self._session_config,
            requested_addresses=tuple(address.ip for address in picture.addresses),
        )
        return assignment

    def _read_end(self, dialled: ClientConnection, ended: SessionEnded | None) -> Failure:
        if dialled.driver.device_failure is not None:
            return Failure(kind=FailureKind.HOST, message=str(dialled.driver.device_failure))
        if dialled.driver.has_fallen_silent:
            return Failure(
                kind=FailureKind.LOST, message="the connection is lost: the server is silent"
            )
        if ended is None:
            return Failure(kind=FailureKind.LOST, message="the connection has ended")
        if ended.cause is EndCause.ADDRESS_REQUEST_REFUSED:
            self._session_config = replace(self._session_config, may_request_addresses=False)
        elif ended.cause is EndCause.IPV6_MTU_TOO_SMALL:
            self._session_config = replace(self._session_config, want_ipv6=False)
        return Failure(
            kind=kind_of_end(ended.cause), message=ended.message, may_retry=ended.may_retry
        )


async def _cancel_when_finished(finished: trio.Event, scope: trio.CancelScope) -> None:
    await finished.wait()
    scope.cancel()


def kind_of_end(cause: EndCause) -> FailureKind:
    """Return what the end of a session means to the lifecycle."""
    match cause:
        case EndCause.REFUSED_AUTHENTICATION:
            return FailureKind.CREDENTIALS
        case EndCause.TIMEOUT:
            return FailureKind.UNREACHABLE
        case (
            EndCause.REFUSED
            | EndCause.MALFORMED_RESPONSE
            | EndCause.NO_EXTENDED_CONNECT
            | EndCause.NO_DATAGRAM_SUPPORT
            | EndCause.NO_ADDRESS
            | EndCause.ADDRESS_REQUEST_REFUSED
            | EndCause.IPV6_MTU_TOO_SMALL
        ):
            return FailureKind.REFUSED
        case EndCause.CLOSED_BY_PEER | EndCause.CONNECTION_LOST | EndCause.CLOSED_LOCALLY:
            return FailureKind.LOST
        case _:
            assert_never(cause)


def _listed(addresses: tuple[IPAddress, ...] | tuple[IPInterface, ...]) -> str:
    return ", ".join(str(address) for address in addresses) or "no address"
