"""Events over the control socket: followers of every kind, and none of them disturbs the core."""

import logging
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from mqvpn_core.app.control_client import fetch_events
from mqvpn_core.errors import HostError
from mqvpn_core.ids import Instant
from mqvpn_core.runtime.control_codec import (
    ErrorReply,
    EventsReply,
    EventsRequest,
    StatusRequest,
    decode_reply,
    encode_reply,
    encode_request,
)
from mqvpn_core.runtime.control_readers import (
    FOLLOWER_TIMEOUT,
    MAX_FOLLOWERS,
    PAGE,
    ControlSources,
)
from mqvpn_core.runtime.control_socket import serve_control
from mqvpn_core.runtime.event_log import CAPACITY, EventLog
from mqvpn_core.runtime.event_values import EventKind, decode_event
from tests.runtime.control_lines import LineReader

FOLLOW = EventsRequest(follow=True)


class Scene:
    """A served event log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = EventLog(lambda: 1.7e9, log_level=logging.DEBUG)

    def happen(self, count: int = 1, text: str = "x") -> None:
        for _ in range(count):
            self.log.record(EventKind.FAILOVER, text, Instant(0.0))

    async def ask(self, request: EventsRequest) -> tuple[trio.SocketStream, LineReader]:
        stream = await trio.open_unix_socket(self.path)
        await stream.send_all(encode_request(request))
        return stream, LineReader(stream)


async def events(reader: LineReader) -> EventsReply:
    reply = decode_reply(await reader.line())
    assert isinstance(reply, EventsReply)
    return reply


def fetch_numbers(path: Path, request: EventsRequest) -> list[int]:
    return [number for reply in fetch_events(path, request) for number in numbers(reply)]


def numbers(reply: EventsReply) -> list[int]:
    return [decode_event(value).number for value in reply.events]


def run(
    tmp_path: Path, body: Callable[[Scene], Awaitable[None]], *, autojump: bool = False
) -> None:
    async def main() -> None:
        scene = Scene(tmp_path / "s")
        sources = ControlSources(status=lambda: "up", events=scene.log)
        with trio.fail_after(7200 if autojump else 10):
            async with trio.open_nursery() as nursery:
                await nursery.start(serve_control, scene.path, sources)
                await body(scene)
                nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.01) if autojump else None)


def test_events_come_in_pages_of_bounded_size(tmp_path: Path) -> None:
    async def body(scene: Scene) -> None:
        scene.happen(2 * PAGE + 5)
        stream, reader = await scene.ask(EventsRequest())
        async with stream:
            pages = [await events(reader) for _ in range(3)]
            assert [len(page.events) for page in pages] == [PAGE, PAGE, 5]
            assert [page.more for page in pages] == [True, True, False]
            assert pages[-1].last == 2 * PAGE + 5
            # The connection serves on.
            await stream.send_all(encode_request(StatusRequest()))
            assert b'"status":"up"' in await reader.line()
            await stream.send_all(encode_request(EventsRequest(after=2 * PAGE)))
            assert numbers(await events(reader)) == [2 * PAGE + count for count in range(1, 6)]

    run(tmp_path, body)


def test_followers_get_what_happens_when_it_happens(tmp_path: Path) -> None:
    async def body(scene: Scene) -> None:
        scene.happen(2)
        one, reader = await scene.ask(FOLLOW)
        other, other_reader = await scene.ask(EventsRequest(after=1, follow=True, with_debug=True))
        async with one, other:
            assert numbers(await events(reader)) == [1, 2]
            assert numbers(await events(other_reader)) == [2]
            scene.log.record(EventKind.KEY_UPDATED, "for fault-finding", Instant(1.0))
            assert numbers(await events(other_reader)) == [3]
            scene.happen()
            assert numbers(await events(reader)) == [4]
            assert numbers(await events(other_reader)) == [4]

    run(tmp_path, body)


def test_follower_of_a_quiet_run_is_answered_at_once(tmp_path: Path) -> None:
    async def body(scene: Scene) -> None:
        stream, reader = await scene.ask(FOLLOW)
        async with stream:
            assert await events(reader) == EventsReply(events=(), missed=0, last=0, more=False)

    run(tmp_path, body)


@pytest.mark.slow
def test_slow_follower_misses_the_oldest_and_learns_how_many(tmp_path: Path) -> None:
    async def body(scene: Scene) -> None:
        stream, reader = await scene.ask(FOLLOW)
        async with stream:
            await events(reader)
            total = 0
            for _ in range(30):  # never awaits the follower: recording blocks nobody
                scene.happen(CAPACITY, "x" * 200)
                total += CAPACITY
                await trio.testing.wait_all_tasks_blocked()
            last, missed, received = 0, 0, 0
            while last < total:
                page = await events(reader)
                found = numbers(page)
                assert found == sorted(found)
                assert found[0] == last + page.missed + 1
                last, missed, received = page.last, missed + page.missed, received + len(found)
            assert missed > 0
            assert missed + received == total

    run(tmp_path, body)


@pytest.mark.slow
def test_follower_that_never_reads_is_dismissed_in_the_end(tmp_path: Path) -> None:
    async def body(scene: Scene) -> None:
        stream, reader = await scene.ask(FOLLOW)
        async with stream:
            for _ in range(30):
                scene.happen(CAPACITY, "x" * 200)
                await trio.testing.wait_all_tasks_blocked()
            await trio.sleep(FOLLOWER_TIMEOUT + 1)
            while await reader.line():
                pass  # what the kernel held, then the end

    run(tmp_path, body, autojump=True)


def test_followers_that_leave_make_room(tmp_path: Path) -> None:
    async def body(scene: Scene) -> None:
        for _ in range(3 * MAX_FOLLOWERS):
            stream, reader = await scene.ask(FOLLOW)
            await events(reader)
            await stream.aclose()
            await trio.testing.wait_all_tasks_blocked()
        streams = [await scene.ask(FOLLOW) for _ in range(MAX_FOLLOWERS)]
        for _, reader in streams:
            await events(reader)
        excess, reader = await scene.ask(FOLLOW)
        reply = decode_reply(await reader.line())
        assert isinstance(reply, ErrorReply)
        assert "others follow" in reply.reason
        await excess.aclose()
        # Followers never keep anybody from the status.
        stream = await trio.open_unix_socket(scene.path)
        await stream.send_all(encode_request(StatusRequest()))
        assert b'"status":"up"' in await LineReader(stream).line()
        for each in (stream, *(follower for follower, _ in streams)):
            await each.aclose()

    run(tmp_path, body)


def test_follower_that_goes_on_talking_is_dismissed(tmp_path: Path) -> None:
    async def body(scene: Scene) -> None:
        stream, reader = await scene.ask(FOLLOW)
        async with stream:
            await events(reader)
            await stream.send_all(encode_request(StatusRequest()))
            assert await reader.line() == b""

    run(tmp_path, body)


def test_asking_side_follows_until_the_process_ends(tmp_path: Path) -> None:
    async def body(scene: Scene) -> None:
        scene.happen(PAGE + 1)
        found: list[int] = []

        def follow() -> None:
            for reply in fetch_events(scene.path, FOLLOW):
                found.extend(numbers(reply))
                if len(found) == PAGE + 2:
                    return
                if len(found) == PAGE + 1:
                    trio.from_thread.run_sync(scene.happen)

        await trio.to_thread.run_sync(follow)
        assert found == list(range(1, PAGE + 3))
        rest = await trio.to_thread.run_sync(fetch_numbers, scene.path, EventsRequest(after=PAGE))
        assert rest == [PAGE + 1, PAGE + 2]

    run(tmp_path, body)
    with pytest.raises(HostError, match="no such socket"):
        fetch_numbers(tmp_path / "s", FOLLOW)


def test_asking_side_says_that_the_process_ended(tmp_path: Path) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "s"))
    listening.listen(1)

    def answer_once() -> None:
        with listening, listening.accept()[0] as connection:
            connection.recv(4096)
            connection.sendall(encode_reply(EventsReply(events=(), missed=0, last=0, more=False)))

    thread = threading.Thread(target=answer_once)
    thread.start()
    try:
        with pytest.raises(HostError, match="the process has ended"):
            fetch_numbers(tmp_path / "s", FOLLOW)
    finally:
        thread.join()
