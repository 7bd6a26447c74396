"""A parent that asks its workers: whole answers, events as its own, and a worker that dies."""

import logging
import math
import socket
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from mqvpn_core.errors import DecodeError, HostLostError
from mqvpn_core.ids import Instant
from mqvpn_core.runtime.control_asking import ControlAsker
from mqvpn_core.runtime.control_codec import MAX_REPLY_BYTES, StatusReply, StatusRequest
from mqvpn_core.runtime.control_readers import IDLE_TIMEOUT, ControlReaders, ControlSources
from mqvpn_core.runtime.event_log import EventLog, EventSubject
from mqvpn_core.runtime.event_relay import relay_events
from mqvpn_core.runtime.event_values import EventKind


class Couple:
    """A parent's end and a worker that serves the other one."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.log = EventLog(lambda: 1.7e9, log_level=logging.DEBUG)
        self.gathered = 0
        sources = ControlSources(
            status=lambda: {"gathered": self.gathered}, events=self.log, gather=self._gather
        )
        self.near, far = _streams()
        self.asker = ControlAsker(self.near)
        readers = ControlReaders(sources, idle_timeout=math.inf)
        nursery.start_soon(readers.serve, far)

    async def _gather(self) -> None:
        self.gathered += 1


def _streams() -> tuple[trio.SocketStream, trio.SocketStream]:
    near, far = map(trio.socket.from_stdlib_socket, socket.socketpair())
    return trio.SocketStream(near), trio.SocketStream(far)


def run(body: Callable[[Couple], Awaitable[None]]) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            couple = Couple(nursery)
            async with couple.near:
                await body(couple)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))


def test_a_parent_may_be_silent_for_long_and_gets_fresh_answers() -> None:
    async def body(couple: Couple) -> None:
        for number in (1, 2):
            await trio.sleep(10 * IDLE_TIMEOUT)
            await couple.asker.send(StatusRequest())
            assert await couple.asker.next_reply() == StatusReply(status={"gathered": number})

    run(body)


def test_events_of_a_worker_are_told_as_our_own() -> None:
    async def body(couple: Couple) -> None:
        ours = EventLog(lambda: 1.8e9, log_level=logging.DEBUG)
        subject = EventSubject(peer="alice", path=3, interface="wlan0")
        couple.log.record(
            EventKind.FAILOVER, "moved", Instant(5.0), subject=subject, details={"gap_ms": 12}
        )
        couple.log.record(EventKind.KEY_UPDATED, "new keys", Instant(6.0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(relay_events, couple.asker, ours)
            await ours.wait_after(1)
            nursery.cancel_scope.cancel()
        first, second = ours.page_after(0, limit=10, with_debug=True).events
        assert (first.kind, first.text, first.peer) == (EventKind.FAILOVER, "moved", "alice")
        assert (first.path, first.interface) == (3, "wlan0")
        assert dict(first.details) == {"gap_ms": 12}
        assert second.kind is EventKind.KEY_UPDATED

    run(body)


def test_a_worker_that_talks_without_end() -> None:
    async def body() -> None:
        near, babbling = _streams()
        async with near, babbling, trio.open_nursery() as nursery:
            nursery.start_soon(babbling.send_all, bytes(MAX_REPLY_BYTES + 100_000))
            with pytest.raises(DecodeError):
                await ControlAsker(near).next_reply()
            nursery.cancel_scope.cancel()

    trio.run(body)


def test_a_worker_that_is_gone() -> None:
    async def body() -> None:
        near, far = _streams()
        await far.aclose()
        asker = ControlAsker(near)
        async with near:
            with pytest.raises(HostLostError):
                await asker.next_reply()
            with pytest.raises(HostLostError):
                await asker.send(StatusRequest())

    trio.run(body)
