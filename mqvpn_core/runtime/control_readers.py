"""Whoever is connected to the control socket: status and events for the same user and root.

A reader that is slow, silent or mad costs a bounded amount of memory and delays nobody: each has a
task, there are few of them, and the events that it does not take are forgotten.
"""

import os
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import trio

from mqvpn_core.config.parsing import link_name
from mqvpn_core.errors import ConfigError, DecodeError
from mqvpn_core.runtime.control_codec import (
    MAX_REQUEST_BYTES,
    ChangeRequest,
    ControlReply,
    ControlRequest,
    DoneReply,
    ErrorReply,
    EventsReply,
    EventsRequest,
    JsonValue,
    PortalRequest,
    SetLinkRequest,
    SetSchedulerRequest,
    StatusReply,
    StatusRequest,
    decode_request,
    encode_reply,
)
from mqvpn_core.runtime.event_log import EventLog
from mqvpn_core.runtime.event_values import encode_event

IDLE_TIMEOUT = 60.0
"""Seconds a connected reader may stay silent, or not take its answer."""

MAX_READERS = 16
"""Connections served at the same time; more are closed at once."""

MAX_FOLLOWERS = 8
"""Those of them that may follow events: the others are left for the status."""

FOLLOWER_TIMEOUT = 600.0
"""Seconds a follower may leave a line lying, such as a program that was stopped for a while."""

PAGE = 100
"""Events in one line at most."""

_Change = TypeVar("_Change")

_NO_LINKS = "a server has no links to choose; ask a client"
_NO_KILL_SWITCH = "a server has no kill switch; ask a client"
_NO_PATHS = "ask the process above the workers: its choice is for all of them"

_UCRED = struct.Struct("3i")  # pid, uid, gid (unix(7), SO_PEERCRED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSources:
    """The one interface to what a run does; readers of every kind get no more than this."""

    status: Callable[[], JsonValue]
    """Takes the status; must not block."""
    events: EventLog
    """What has happened."""
    gather: Callable[[], Awaitable[None]] | None = None
    """Awaited before the status is taken, where that has to come from other processes first."""
    set_link: Callable[[SetLinkRequest], None] | None = None
    """Changes a link; raises ConfigError. A server has none."""
    allow_portal: Callable[[str, int], None] | None = None
    """Lets a link past the kill switch for so many seconds; raises ConfigError. As above."""
    set_scheduler: Callable[[str], None] | None = None
    """Spreads packets over paths in another way; raises ConfigError. A worker has none."""


class PeerCredentials(NamedTuple):
    """Who is at the other end of a local socket."""

    pid: int
    """Process."""
    uid: int
    """User."""


def peer_credentials(connected: socket.socket | trio.SocketStream) -> PeerCredentials:
    """Return who is at the other end."""
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    assert isinstance(raw, bytes)
    pid, uid, _gid = _UCRED.unpack(raw)
    return PeerCredentials(int(pid), int(uid))


class ControlReaders:
    """Everybody who is connected. Tasks: `serve`, one for each."""

    def __init__(self, sources: ControlSources, idle_timeout: float = IDLE_TIMEOUT) -> None:
        """Serve these.

        Args:
            sources: what there is to know.
            idle_timeout: seconds that a reader may stay silent.
        """
        self._sources = sources
        self._idle_timeout = idle_timeout
        self._readers = trio.CapacityLimiter(MAX_READERS)
        self._followers = trio.CapacityLimiter(MAX_FOLLOWERS)

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one reader until either side has had enough."""
        try:
            self._readers.acquire_on_behalf_of_nowait(stream)
        except trio.WouldBlock:
            await stream.aclose()
            return
        try:
            async with stream:
                if peer_credentials(stream).uid in {0, os.geteuid()}:
                    await self._converse(stream)
        except trio.BrokenResourceError:
            pass  # the reader went away: its own business
        finally:
            self._readers.release_on_behalf_of(stream)

    async def _converse(self, stream: trio.SocketStream) -> None:
        buffered = bytearray()
        is_content = True
        while is_content:
            request: ControlRequest | None = None
            with trio.move_on_after(self._idle_timeout):
                request = await _next_request(stream, buffered)
            match request:
                case None:
                    return
                case StatusRequest():
                    if self._sources.gather is not None:
                        await self._sources.gather()
                    is_content = await _send(stream, StatusReply(status=self._sources.status()))
                case SetLinkRequest() | PortalRequest() | SetSchedulerRequest():
                    is_content = await _send(stream, self._change(request))
                case EventsRequest() if request.follow:
                    await self._follow(stream, request)
                    return
                case EventsRequest():
                    is_content = await self._send_pages(stream, request, IDLE_TIMEOUT) is not None

    def _change(self, request: ChangeRequest) -> ControlReply:
        try:
            match request:
                case SetLinkRequest():
                    _or_refuse(self._sources.set_link, _NO_LINKS)(request)
                case PortalRequest():
                    link_name(request.link)
                    allow = _or_refuse(self._sources.allow_portal, _NO_KILL_SWITCH)
                    allow(request.link, request.seconds)
                case SetSchedulerRequest():
                    _or_refuse(self._sources.set_scheduler, _NO_PATHS)(request.name)
        except ConfigError as error:
            return ErrorReply(reason=str(error))
        return DoneReply()

    async def _follow(self, stream: trio.SocketStream, request: EventsRequest) -> None:
        try:
            self._followers.acquire_on_behalf_of_nowait(stream)
        except trio.WouldBlock:
            reason = f"{MAX_FOLLOWERS} others follow the events already"
            await _send(stream, ErrorReply(reason=reason))
            return
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_wait_gone, stream, nursery.cancel_scope)
                await self._send_news(stream, request)
                nursery.cancel_scope.cancel()
        finally:
            self._followers.release_on_behalf_of(stream)

    async def _send_news(self, stream: trio.SocketStream, request: EventsRequest) -> None:
        first = replace(request, follow=False)
        last = await self._send_pages(stream, first, FOLLOWER_TIMEOUT)
        while last is not None:
            await self._sources.events.wait_after(last)
            news = replace(request, after=last)
            last = await self._send_pages(stream, news, FOLLOWER_TIMEOUT)

    async def _send_pages(
        self, stream: trio.SocketStream, request: EventsRequest, patience: float
    ) -> int | None:
        """Send what there is; return the number to go on after, None when it was not taken.

        Who follows is not bothered with pages that hold nothing for it.
        """
        log = self._sources.events
        after = request.after
        while True:
            page = log.page_after(after, limit=PAGE, with_debug=request.with_debug)
            has_more = page.last < log.last_number
            reply = EventsReply(
                events=tuple(encode_event(event) for event in page.events),
                missed=page.missed,
                last=page.last,
                more=has_more,
            )
            is_empty = not reply.events and not reply.missed
            if not (request.follow and is_empty) and not await _send(stream, reply, patience):
                return None
            after = page.last
            if not has_more:
                return after


def _or_refuse(change: _Change | None, reason: str) -> _Change:
    if change is None:
        raise ConfigError(reason)
    return change


async def _next_request(stream: trio.SocketStream, buffered: bytearray) -> ControlRequest | None:
    """Return what is asked; None when nothing more comes, or nothing sensible."""
    line = await _read_line(stream, buffered)
    if line is None:
        return None
    try:
        return decode_request(line)
    except DecodeError as error:
        await _send(stream, ErrorReply(reason=str(error)))
        return None


async def _send(
    stream: trio.SocketStream, reply: ControlReply, patience: float = IDLE_TIMEOUT
) -> bool:
    """Send a reply; False when the reader does not take it."""
    try:
        line = encode_reply(reply)
    except ValueError as error:
        line = encode_reply(ErrorReply(reason=str(error)))
    with trio.move_on_after(patience), suppress(trio.BrokenResourceError):
        await stream.send_all(line)
        return True
    return False


async def _wait_gone(stream: trio.SocketStream, scope: trio.CancelScope) -> None:
    """Cancel when a follower closes its end; there is nothing that it could still ask."""
    with suppress(trio.BrokenResourceError):
        await stream.receive_some(1)
    scope.cancel()


async def _read_line(stream: trio.SocketStream, buffered: bytearray) -> bytes | None:
    """Return the next line, an over-long beginning of one, or ``None`` at the end."""
    while b"\n" not in buffered:
        if len(buffered) > MAX_REQUEST_BYTES:
            return bytes(buffered)
        data = await stream.receive_some(MAX_REQUEST_BYTES)
        if not data:
            return None
        buffered += data
    end = buffered.index(b"\n") + 1
    line = bytes(buffered[:end])
    del buffered[:end]
    return line
