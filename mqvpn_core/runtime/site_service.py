"""Answers the server's ordinary web requests: pages at once, files chunk by chunk.

One task per file, each waiting for room in its stream rather than filling it; disks are read in
worker threads, so that a slow disk never holds up packets.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import trio

from mqvpn_core.ids import ConnectionHandle, StreamId
from mqvpn_core.masque.http3_port import Headers
from mqvpn_core.masque.server_events import SiteRequested
from mqvpn_core.masque.site import SiteFile, SitePage, file_headers, make_page, resolve
from mqvpn_core.runtime.site_files import CHUNK_BYTES, OpenedFile, SiteFiles

MAX_TRANSFERS = 256
"""Files open for an answer; more requests are asked to come back later."""
MAX_SENDING = 64
"""Files sent at the same time: what waits in streams takes memory."""
STALL_LIMIT = 60.0
"""Seconds after which a client that takes nothing loses its answer."""

_MIN_CHUNK = 16 * 1024
_READING_THREADS = 4
_OK = 200
_BUSY_PAGE = make_page(
    503, b"<!doctype html>\n<title>Busy</title>\n", extra=((b"retry-after", b"5"),)
)
_log = logging.getLogger(__name__)


class AnswerPort(Protocol):
    """The part of a server session that answers are given to."""

    def respond(
        self, stream_id: StreamId, status: int, headers: Headers, *, end_stream: bool
    ) -> None:
        """Start an answer."""

    def send_body(self, stream_id: StreamId, chunk: bytes, *, end_stream: bool) -> None:
        """Go on with it."""

    def cancel_answer(self, stream_id: StreamId) -> None:
        """Break it off."""

    def body_room(self, stream_id: StreamId) -> int:
        """Return how much content it takes now."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Transfer:
    """One file on its way."""

    handle: ConnectionHandle
    session: AnswerPort
    stream_id: StreamId
    opened: OpenedFile
    is_over: bool = False
    moved: trio.Event = field(default_factory=trio.Event)

    def wake(self) -> None:
        self.moved.set()


class SiteService:
    """Serves one site to all connections.

    A: `transfer_count`. C: `answer`, `change_files`, `note_progress`, `cancel`. Tasks: `run`.
    """

    def __init__(self, files: SiteFiles, kick: Callable[[ConnectionHandle], None]) -> None:
        """Prepare.

        Args:
            files: the site; closed by its owner.
            kick: has the driver send what a session was given.
        """
        self._files = files
        self._kick = kick
        self._not_found = files.not_found_page()
        self._transfers: dict[ConnectionHandle, dict[StreamId, _Transfer]] = {}
        self._count = 0
        self._queue_in, self._queue = trio.open_memory_channel[_Transfer](MAX_TRANSFERS)
        self._readers = trio.CapacityLimiter(_READING_THREADS)
        self._sending = trio.CapacityLimiter(MAX_SENDING)

    @property
    def transfer_count(self) -> int:
        """Files being sent or waiting for it."""
        return self._count

    @property
    def not_found(self) -> SitePage:
        """What unknown pages get."""
        return self._not_found

    def change_files(self, files: SiteFiles) -> None:
        """Serve another directory from now on; transfers under way go on."""
        self._files = files
        self._not_found = files.not_found_page()

    def answer(self, handle: ConnectionHandle, session: AnswerPort, request: SiteRequested) -> None:
        """Answer a request, or begin to; what it sends still needs the driver."""
        wanted = resolve(
            request.method,
            request.path,
            has_directory=self._files.has_directory,
            not_found=self._not_found,
        )
        is_head = request.method == b"HEAD"
        if isinstance(wanted, SitePage):
            _send_page(session, request.stream_id, wanted, is_head=is_head)
            return
        if self._count >= MAX_TRANSFERS:
            _send_page(session, request.stream_id, _BUSY_PAGE, is_head=is_head)
            return
        self._answer_file(handle, session, request, wanted)

    def note_progress(self, handle: ConnectionHandle) -> None:
        """Something happened on a connection: its transfers may have room again."""
        for transfer in self._transfers.get(handle, {}).values():
            transfer.wake()

    def cancel(self, handle: ConnectionHandle, stream_id: StreamId | None = None) -> None:
        """Forget one answer, or all of a connection that is gone."""
        for transfer in self._transfers.get(handle, {}).values():
            if stream_id in {None, transfer.stream_id}:
                transfer.is_over = True
                transfer.wake()

    async def run(self) -> None:
        """Send files until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    nursery.start_soon(self._send_file, await self._queue.receive())
        finally:
            for transfers in self._transfers.values():
                for transfer in transfers.values():
                    transfer.opened.close()

    def _answer_file(
        self,
        handle: ConnectionHandle,
        session: AnswerPort,
        request: SiteRequested,
        wanted: SiteFile,
    ) -> None:
        is_head = request.method == b"HEAD"
        try:
            opened = self._files.open(wanted)
        except OSError as error:
            _log.warning("site: %s", error.strerror)
            _send_page(session, request.stream_id, _BUSY_PAGE, is_head=is_head)
            return
        if opened is None:
            _send_page(session, request.stream_id, self._not_found, is_head=is_head)
            return
        headers = file_headers(wanted.content_type, opened.size_bytes)
        ends = is_head or opened.size_bytes == 0
        session.respond(request.stream_id, _OK, headers, end_stream=ends)
        if ends:
            opened.close()
            return
        transfer = _Transfer(
            handle=handle, session=session, stream_id=request.stream_id, opened=opened
        )
        self._transfers.setdefault(handle, {})[request.stream_id] = transfer
        self._count += 1
        # Never full: it has a place for every transfer.
        self._queue_in.send_nowait(transfer)

    async def _send_file(self, transfer: _Transfer) -> None:
        try:
            async with self._sending:
                await self._send_chunks(transfer)
        except OSError as error:
            _log.warning("site: a file became unreadable: %s", error.strerror)
            self._break_off(transfer)
        finally:
            transfer.opened.close()
            of_connection = self._transfers[transfer.handle]
            del of_connection[transfer.stream_id]
            if not of_connection:
                del self._transfers[transfer.handle]
            self._count -= 1

    async def _send_chunks(self, transfer: _Transfer) -> None:
        session, stream_id, opened = transfer.session, transfer.stream_id, transfer.opened
        offset = 0
        while offset < opened.size_bytes:
            rest = opened.size_bytes - offset
            if not await self._wait_room(transfer, min(_MIN_CHUNK, rest)):
                return
            room = min(session.body_room(stream_id), CHUNK_BYTES, rest)
            chunk = await trio.to_thread.run_sync(opened.read, offset, room, limiter=self._readers)
            if transfer.is_over:
                return
            if not chunk:
                # The file has shrunk: the promised length cannot be kept.
                self._break_off(transfer)
                return
            offset += len(chunk)
            session.send_body(stream_id, chunk, end_stream=offset >= opened.size_bytes)
            self._kick(transfer.handle)

    async def _wait_room(self, transfer: _Transfer, wanted: int) -> bool:
        """Wait for room; False when the answer is not wanted any more."""
        with trio.move_on_after(STALL_LIMIT):
            while not transfer.is_over:
                if transfer.session.body_room(transfer.stream_id) >= wanted:
                    return True
                transfer.moved = trio.Event()
                await transfer.moved.wait()
            return False
        self._break_off(transfer)
        return False

    def _break_off(self, transfer: _Transfer) -> None:
        if not transfer.is_over:
            transfer.session.cancel_answer(transfer.stream_id)
            self._kick(transfer.handle)


def _send_page(session: AnswerPort, stream_id: StreamId, page: SitePage, *, is_head: bool) -> None:
    ends = is_head or not page.body
    session.respond(stream_id, page.status, page.headers, end_stream=ends)
    if not ends:
        session.send_body(stream_id, page.body, end_stream=True)
