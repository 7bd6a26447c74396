"""The server's sessions: made and forgotten as connections come and go, their events carried out.

Owns which connection a packet from the TUN device belongs to. What takes time (name resolution,
files, the lease table) is handed to tasks; everything else happens within the driver's round.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_network

import trio

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import count_packets
from mqvpn_core.ids import ConnectionHandle, Instant, SocketAddress, StreamId
from mqvpn_core.masque.client_table import ClientTable
from mqvpn_core.masque.drop_reasons import PacketCounters
from mqvpn_core.masque.server_events import (
    AuthenticationFailed,
    ClientAuthenticated,
    NameResolutionWanted,
    ResolutionFailure,
    ServerSessionEvent,
    SiteRequestCancelled,
    SiteRequested,
    TunnelAddressesChanged,
    TunnelClosed,
    TunnelOpened,
)
from mqvpn_core.masque.server_policy import ServerPolicy
from mqvpn_core.masque.server_session import ServerSession
from mqvpn_core.masque.tunnel_link import IP_PACKET_PREFIX
from mqvpn_core.quic.connection import MultipathConnection
from mqvpn_core.quic.endpoint import ConnectionAccepted, ConnectionDiscarded, ServerEndpoint
from mqvpn_core.quic.http3 import Http3Connection
from mqvpn_core.runtime.address_text import address_text
from mqvpn_core.runtime.connection_watch import ConnectionWatch, WatchedSide
from mqvpn_core.runtime.event_log import EventLog, EventSubject
from mqvpn_core.runtime.event_values import EventKind
from mqvpn_core.runtime.log_throttle import LogThrottle
from mqvpn_core.runtime.name_resolution import RESOLVE_LIMIT, NameNotFoundError, NameResolver
from mqvpn_core.runtime.qlog_writer import QlogWriter
from mqvpn_core.runtime.site_service import SiteService
from mqvpn_core.wire.code_points import Http3ErrorCode
from mqvpn_helper.interface.host_plan import IPAddress

_log = logging.getLogger(__name__)

MAX_RESOLUTIONS = 64
"""Names waiting for resolution; more requests are refused."""


@dataclass(slots=True, kw_only=True)
class ServedClient:
    """What the status shows of one connection, besides its numbers."""

    connection: MultipathConnection
    """The connection."""
    http3: Http3Connection
    """HTTP/3 on it."""
    remote: SocketAddress
    """Where it first came from."""
    watch: ConnectionWatch
    """Measures its paths and tells what happens to them."""
    tunnels: dict[StreamId, str | None] = field(default_factory=dict)
    """Its tunnels and whose they are; None for the shared key."""
    tunnel_since: Instant | None = None
    """When its first tunnel opened."""
    datagram_room: int = 0
    """Largest DATAGRAM payload when it was last looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerKeeperParts:
    """What a keeper works with."""

    endpoint: ServerEndpoint
    """Where connections come from."""
    site: SiteService
    """Answers web requests."""
    resolver: NameResolver
    """Resolves names in tunnel requests."""
    kick: Callable[[ConnectionHandle], None]
    """Has the driver carry out what a session was told outside its round."""
    note_leases: Callable[[], None]
    """Told when the lease table has changed; must not block."""
    note_mtu: Callable[[], None]
    """Told when a tunnel may have another MTU; must not block."""
    events: EventLog
    """Where to tell what happens to clients."""
    qlog: QlogWriter | None = None
    """Traces connections, if anybody wants that."""
    pass_on: Callable[[Sequence[Parcel]], int] | None = None
    """Takes packets for clients of other processes; returns how many were nobody's."""


class ServerKeeper:
    """Keeps the sessions of one endpoint: `mqvpn_core.runtime.server_driver.SessionKeeper`.

    A: `sessions`, `clients`, `policy`, `stray_count`, `smallest_mtu`, `total_counters`
    C: `change_policy`, `close_users_but`, `look_at_all`, `close_all`. Tasks: `run`.
    """

    def __init__(self, parts: ServerKeeperParts, policy: ServerPolicy) -> None:
        """Start with no session."""
        self.clients: dict[ConnectionHandle, ServedClient] = {}
        """The connections."""
        self.policy = policy
        """What sessions decide by."""
        self.stray_count = 0
        """Packets for addresses that no tunnel has."""
        self._past_counters = PacketCounters()
        self._parts = parts
        self._sessions: dict[ConnectionHandle, ServerSession] = {}
        self._table: ClientTable[ConnectionHandle] = ClientTable()
        self._wanted_in, self._wanted = trio.open_memory_channel[
            tuple[ConnectionHandle, NameResolutionWanted]
        ](MAX_RESOLUTIONS)
        self._refusals = LogThrottle(per_minute=20.0)

    @property
    def sessions(self) -> Mapping[ConnectionHandle, ServerSession]:
        """The sessions by connection."""
        return self._sessions

    def total_counters(self) -> PacketCounters:
        """Return what became of packets, of all sessions that ever were."""
        total = PacketCounters()
        total.add(self._past_counters)
        for session in self._sessions.values():
            total.add(session.counters)
        return total

    def take_endpoint_events(self, now: Instant) -> None:
        """Make and forget sessions as connections come and go."""
        while (event := self._parts.endpoint.next_event()) is not None:
            match event:
                case ConnectionAccepted():
                    self._accept(event)
                case ConnectionDiscarded():
                    session = self._sessions.get(event.handle)
                    if session is not None:
                        session.receive_events(now)
                    self._forget(event.handle, session, now)

    def look(self, handle: ConnectionHandle, session: ServerSession, now: Instant) -> None:
        """Take the events of one session."""
        while (event := session.next_event()) is not None:
            self._take(handle, session, event, now)
        self._parts.site.note_progress(handle)
        client = self.clients[handle]
        client.watch.look(now)
        if client.tunnels and client.connection.max_datagram_payload != client.datagram_room:
            client.datagram_room = client.connection.max_datagram_payload
            self._parts.note_mtu()

    def smallest_mtu(self) -> int | None:
        """Return the MTU of the smallest tunnel, None without tunnels."""
        return min(
            (
                client.http3.max_datagram_payload(stream_id) - len(IP_PACKET_PREFIX)
                for client in self.clients.values()
                for stream_id in client.tunnels
            ),
            default=None,
        )

    def fail(self, handle: ConnectionHandle, now: Instant) -> None:
        """End one connection whose handling raised an exception."""
        client = self.clients.get(handle)
        session = self._sessions.get(handle)
        if client is not None:
            client.connection.close(Http3ErrorCode.H3_INTERNAL_ERROR, "internal error")
            self._parts.endpoint.wake(handle)
        self._forget(handle, session, now)

    def dispatch(self, packets: Sequence[Parcel]) -> Mapping[ConnectionHandle, list[Parcel]]:
        """Sort packets from the TUN device by the connection they go to."""
        batches, strays = self._table.dispatch(packets)
        if strays:
            pass_on = self._parts.pass_on or count_packets
            self.stray_count += pass_on(strays)
        return batches

    def change_policy(self, policy: ServerPolicy) -> None:
        """Decide by another policy; open tunnels stay as they are."""
        self.policy = policy
        for session in self._sessions.values():
            session.change_policy(policy)

    def close_users_but(self, users: Collection[str | None], now: Instant) -> None:
        """Close the connections that have a tunnel of somebody who is not among ``users``."""
        for handle, client in list(self.clients.items()):
            if any(user not in users for user in client.tunnels.values()):
                _log.info("the key of a client from %s is no longer valid", client.remote.host)
                self._sessions[handle].close(now)
                self._parts.endpoint.wake(handle)

    def look_at_all(self) -> None:
        """Have every session see at the next kick what it still has: leases may be lost."""
        for handle in self.clients:
            self._parts.endpoint.wake(handle)

    def close_all(self, now: Instant) -> None:
        """Close every tunnel and connection in order; the driver still has to send it."""
        for handle, session in list(self._sessions.items()):
            session.close(now)
            self._parts.endpoint.wake(handle)

    async def run(self) -> None:
        """Resolve names until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                handle, wanted = await self._wanted.receive()
                nursery.start_soon(self._resolve, handle, wanted)

    def _accept(self, event: ConnectionAccepted) -> None:
        http3 = Http3Connection(event.connection)
        remote = event.four_tuple.remote
        self._sessions[event.handle] = ServerSession(
            policy=self.policy, http3=http3, peer_host=remote.host
        )
        side = WatchedSide(
            is_client=False,
            interface_of=lambda _four_tuple: "",
            peer=partial(self._peer_name, event.handle),
        )
        if self._parts.qlog is not None:
            self._parts.qlog.follow(event.connection, partial(self._is_gone, event.handle))
        watch = ConnectionWatch(event.connection, http3.watch(), self._parts.events, side)
        self.clients[event.handle] = ServedClient(
            connection=event.connection, http3=http3, remote=remote, watch=watch
        )

    def _is_gone(self, handle: ConnectionHandle) -> bool:
        return handle not in self.clients

    def _peer_name(self, handle: ConnectionHandle) -> str | None:
        """Return whom events are about; None for strangers, of whom nothing is told."""
        client = self.clients.get(handle)
        if client is None or not client.tunnels:
            return None
        users = sorted({user for user in client.tunnels.values() if user is not None})
        return ", ".join(users) or client.remote.host

    def _take(
        self,
        handle: ConnectionHandle,
        session: ServerSession,
        event: ServerSessionEvent,
        now: Instant,
    ) -> None:
        match event:
            case TunnelOpened():
                client = self.clients[handle]
                self._look_at_others_of(event.user)
                client.tunnels[event.stream_id] = event.user
                self._parts.endpoint.set_known(handle, is_known=True)
                client.tunnel_since = now if client.tunnel_since is None else client.tunnel_since
                self._assign(handle, session)
                text = f"{_named(event.user)} opened a tunnel from {client.remote.host}"
                self._tell(EventKind.CONNECTION_UP, text, client, event.user, now)
            case TunnelAddressesChanged():
                self._assign(handle, session)
            case TunnelClosed():
                client = self.clients[handle]
                client.tunnels.pop(event.stream_id, None)
                self._parts.endpoint.set_known(handle, is_known=bool(client.tunnels))
                self._assign(handle, session)
                text = (
                    f"the tunnel of {_named(event.user)} from {client.remote.host} is closed:"
                    f" {event.reason.value}"
                )
                self._tell(EventKind.CONNECTION_DOWN, text, client, event.user, now)
            case AuthenticationFailed():
                self._refusals.warn(
                    _log,
                    "a tunnel request from %s has no valid key%s",
                    event.peer_host,
                    "; too many of them, the key was not looked at" * event.is_rate_limited,
                    now=now,
                )
            case ClientAuthenticated():
                pass  # said again by TunnelOpened
            case _:
                self._take_request(handle, session, event, now)

    def _look_at_others_of(self, user: str | None) -> None:
        """A user's new tunnel may have taken over an older one, whose client may be dead."""
        for handle, client in self.clients.items():
            if user in client.tunnels.values():
                self._parts.endpoint.wake(handle)

    def _tell(
        self, kind: EventKind, text: str, client: ServedClient, user: str | None, now: Instant
    ) -> None:
        _log.info("%s", text)
        details = {"remote": address_text(client.remote)}
        subject = EventSubject(peer=user or client.remote.host)
        self._parts.events.record(
            kind, text, now, subject=subject, details=details, is_logged=False
        )

    def _take_request(
        self,
        handle: ConnectionHandle,
        session: ServerSession,
        event: SiteRequested | SiteRequestCancelled | NameResolutionWanted,
        now: Instant,
    ) -> None:
        match event:
            case SiteRequested():
                self._parts.site.answer(handle, session, event)
            case SiteRequestCancelled():
                self._parts.site.cancel(handle, event.stream_id)
            case NameResolutionWanted():
                try:
                    self._wanted_in.send_nowait((handle, event))
                except trio.WouldBlock:
                    session.resolved(event.token, ResolutionFailure.TIMED_OUT, now)

    def _assign(self, handle: ConnectionHandle, session: ServerSession) -> None:
        self._table.assign(handle, [ip_network(address) for address in session.addresses])
        self._parts.note_leases()

    def _forget(
        self, handle: ConnectionHandle, session: ServerSession | None, now: Instant
    ) -> None:
        try:
            self._parts.site.cancel(handle)
            if session is not None:
                session.close(now)
                self.look(handle, session, now)
        finally:
            if self._sessions.pop(handle, None) is not None and session is not None:
                self._past_counters.add(session.counters)
            self._table.remove(handle)
            self.clients.pop(handle, None)

    async def _resolve(self, handle: ConnectionHandle, wanted: NameResolutionWanted) -> None:
        outcome = await self._look_up(wanted.name)
        session = self._sessions.get(handle)
        if session is not None:
            session.resolved(wanted.token, outcome, Instant(trio.current_time()))
            self._parts.kick(handle)

    async def _look_up(self, name: str) -> tuple[IPAddress, ...] | ResolutionFailure:
        with trio.move_on_after(RESOLVE_LIMIT):
            with suppress(NameNotFoundError):
                return await self._parts.resolver.resolve(name)
            return ResolutionFailure.NOT_FOUND
        return ResolutionFailure.TIMED_OUT


def _named(user: str | None) -> str:
    return "a client with the shared key" if user is None else f"user {user}"
