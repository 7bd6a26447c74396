"""Answers to web requests: chunk by chunk as there is room, and never for ever."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from mqvpn_core.ids import ConnectionHandle, StreamId
from mqvpn_core.masque.http3_port import Headers
from mqvpn_core.masque.server_events import SiteRequested
from mqvpn_core.runtime.site_files import SiteFiles
from mqvpn_core.runtime.site_service import MAX_TRANSFERS, STALL_LIMIT, SiteService
from tests.runtime.virtual_time import run_virtual

HANDLE = ConnectionHandle(1)
DATA = bytes(range(256)) * 1024


class FakeSession:
    """Answers as a client sees them; ``room`` is what it takes."""

    def __init__(self) -> None:
        self.room = 10**9
        self.statuses: dict[StreamId, int] = {}
        self.headers: dict[StreamId, dict[bytes, bytes]] = {}
        self.bodies: dict[StreamId, bytes] = {}
        self.ended: set[StreamId] = set()
        self.cancelled: list[StreamId] = []

    def respond(
        self, stream_id: StreamId, status: int, headers: Headers, *, end_stream: bool
    ) -> None:
        self.statuses[stream_id] = status
        self.headers[stream_id] = dict(headers)
        self.bodies[stream_id] = b""
        if end_stream:
            self.ended.add(stream_id)

    def send_body(self, stream_id: StreamId, chunk: bytes, *, end_stream: bool) -> None:
        assert stream_id not in self.ended
        self.bodies[stream_id] += chunk
        self.room -= len(chunk)
        if end_stream:
            self.ended.add(stream_id)

    def cancel_answer(self, stream_id: StreamId) -> None:
        self.cancelled.append(stream_id)

    def body_room(self, stream_id: StreamId) -> int:
        del stream_id
        return self.room


class Scene:
    """A service over a folder with one large file."""

    def __init__(self, folder: Path) -> None:
        (folder / "large").write_bytes(DATA)
        (folder / "index.html").write_text("front")
        self.folder = folder
        self.files = SiteFiles(folder)
        self.kicks: list[ConnectionHandle] = []
        self.service = SiteService(self.files, self.kicks.append)
        self.session = FakeSession()
        self._streams = 0

    def ask(self, path: bytes, method: bytes = b"GET") -> StreamId:
        self._streams += 4
        stream_id = StreamId(self._streams)
        request = SiteRequested(stream_id=stream_id, method=method, path=path, authority=b"a")
        self.service.answer(HANDLE, self.session, request)
        return stream_id

    async def settle(self) -> None:
        for _ in range(20):
            await trio.testing.wait_all_tasks_blocked(0.001)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Scene]:
    scene = Scene(folder)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.service.run)
        try:
            yield scene
        finally:
            nursery.cancel_scope.cancel()
    scene.files.close()


async def finished(scene: Scene, stream_id: StreamId) -> None:
    while stream_id not in scene.session.ended:  # noqa: ASYNC110 - a thread reads
        await trio.sleep(0.001)


def test_a_head_request_gets_the_headers_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as scene:
            large = scene.ask(b"/large", b"HEAD")
            missing = scene.ask(b"/missing", b"HEAD")
            assert scene.session.headers[large][b"content-length"] == str(len(DATA)).encode()
            assert scene.session.statuses == {large: 200, missing: 404}
            assert scene.session.bodies == {large: b"", missing: b""}
            assert scene.session.ended == {large, missing}

    trio.run(main)


def test_a_file_is_sent_as_there_is_room(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as scene:
            scene.session.room = 100_000
            stream_id = scene.ask(b"/large")
            while scene.session.room > 20_000:  # noqa: ASYNC110 - a thread reads
                await trio.sleep(0.001)
            await trio.sleep(0.05)
            assert len(scene.session.bodies[stream_id]) <= 100_000
            scene.session.room = 10**9
            scene.service.note_progress(ConnectionHandle(2))
            await trio.sleep(0.05)
            assert stream_id not in scene.session.ended
            scene.service.note_progress(HANDLE)
            await finished(scene, stream_id)
            assert scene.session.bodies[stream_id] == DATA
            assert HANDLE in scene.kicks
            await trio.sleep(0.01)
            assert scene.service.transfer_count == 0

    trio.run(main)


def test_a_client_that_takes_nothing_loses_its_answer(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as scene:
            scene.session.room = 0
            stream_id = scene.ask(b"/large")
            await trio.sleep(STALL_LIMIT - 1.0)
            assert scene.session.cancelled == []
            assert scene.service.transfer_count == 1
            await trio.sleep(2.0)
            assert scene.session.cancelled == [stream_id]
            assert scene.service.transfer_count == 0

    run_virtual(main)


@pytest.mark.parametrize("whole_connection", [True, False])
def test_a_cancelled_answer_is_not_continued(tmp_path: Path, *, whole_connection: bool) -> None:
    async def main() -> None:
        async with running(tmp_path) as scene:
            scene.session.room = 0
            stream_id = scene.ask(b"/large")
            await trio.sleep(1.0)
            scene.service.cancel(HANDLE, None if whole_connection else stream_id)
            await trio.sleep(1.0)
            assert scene.service.transfer_count == 0
            assert scene.session.cancelled == []
            assert scene.session.bodies[stream_id] == b""

    run_virtual(main)


def test_a_file_that_shrinks_breaks_the_answer_off(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as scene:
            scene.session.room = 100_000
            stream_id = scene.ask(b"/large")
            while scene.session.room > 40_000:  # noqa: ASYNC110 - a thread reads
                await trio.sleep(0.001)
            (tmp_path / "large").write_bytes(b"short")
            scene.session.room = 10**9
            scene.service.note_progress(HANDLE)
            while not scene.session.cancelled:
                scene.service.note_progress(HANDLE)
                await trio.sleep(0.001)
            assert stream_id not in scene.session.ended

    trio.run(main)


def test_too_many_transfers_are_asked_to_come_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as scene:
            scene.session.room = 0
            streams = [scene.ask(b"/large") for _ in range(MAX_TRANSFERS + 2)]
            await trio.sleep(1.0)
            busy = [s for s in streams if scene.session.statuses[s] == 503]
            assert busy == streams[MAX_TRANSFERS:]
            assert scene.session.headers[busy[0]][b"retry-after"] == b"5"
            # Pages that need no file are still answered.
            assert scene.session.statuses[scene.ask(b"/", b"POST")] == 405
            scene.service.cancel(HANDLE)
            await trio.sleep(1.0)
            scene.session.room = 10**9
            assert scene.session.statuses[scene.ask(b"/index.html")] == 200

    run_virtual(main)


def test_another_directory_serves_later_requests(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "404.html").write_text("elsewhere")

    async def main() -> None:
        async with running(tmp_path) as scene:
            scene.session.room = 0
            stream_id = scene.ask(b"/large")
            await trio.sleep(0.01)
            files = SiteFiles(other)
            scene.service.change_files(files)
            scene.files.close()
            missing = scene.ask(b"/large")
            assert scene.session.statuses[missing] == 404
            assert scene.session.bodies[missing] == b"elsewhere"
            scene.session.room = 10**9
            scene.service.note_progress(HANDLE)
            await finished(scene, stream_id)
            assert scene.session.bodies[stream_id] == DATA
            files.close()

    trio.run(main)
