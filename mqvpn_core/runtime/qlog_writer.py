"""Writes a qlog file for each connection while it lives.

Takes the records of all connections now and then and writes them in a thread, so that a slow disk
delays no packet. Everything is bounded: records that wait, files at a time, bytes of one file and
of all together. What had to be left out is noted in the file.
"""

import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

import trio

from mqvpn_core.errors import HostError
from mqvpn_core.ids import Instant
from mqvpn_core.quic.trace import ConnectionStarted, TraceRecord
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.qlog_records import encode_header, encode_note, encode_record

_log = logging.getLogger(__name__)

INTERVAL = 0.25
"""Seconds between two rounds of writing."""
LAST_ROUND_LIMIT = 3.0
"""Seconds that writing may take when the run ends."""

_SUFFIX = ".sqlog"
_FILE_MODE = 0o600
_DIRECTORY_MODE = 0o700
_MAX_NAMES = 100


Offload = Callable[[Callable[[], None]], Awaitable[None]]
"""Runs a function that blocks."""


async def _offload(function: Callable[[], None]) -> None:
    await trio.to_thread.run_sync(function)


class TracedConnection(Protocol):
    """What the writer needs of a connection."""

    def take_trace(self) -> tuple[list[TraceRecord], int]:
        """Return the records since the last call, and how many were dropped behind them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QlogLimits:
    """How much may be written."""

    file_bytes: int = 128 * 1024 * 1024
    """Bytes of one file; the trace ends there."""
    total_bytes: int = 1024 * 1024 * 1024
    """Bytes of all files of one run."""
    files: int = 64
    """Connections traced at the same time; later ones are not."""


class QlogWriter:
    """Traces connections into one directory.

    C: `follow`. Tasks: `run`.
    """

    def __init__(
        self,
        directory: Path,
        version: str,
        wall_clock: Callable[[], float],
        limits: QlogLimits | None = None,
        offload: Offload = _offload,
    ) -> None:
        """Prepare the directory.

        Args:
            directory: where the files go; it is made when missing.
            version: of the program, for their heads.
            wall_clock: returns seconds since 1970.
            limits: how much may be written.
            offload: runs what blocks, elsewhere.

        Raises:
            HostError: nothing can be written there.
        """
        try:
            directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise HostError(f"qlog: {directory}: {error.strerror or error}") from error
        if not os.access(directory, os.W_OK | os.X_OK):
            raise HostError(f"qlog: {directory}: no permission to write")
        self._directory = directory
        self._version = version
        self._wall_clock = wall_clock
        self._limits = limits or QlogLimits()
        self._offload = offload
        self._traces: list[_Trace] = []
        self._total_bytes = 0
        self._has_warned = False
        self._has_work = trio.Event()

    def follow(self, connection: TracedConnection, is_over: Callable[[], bool]) -> None:
        """Trace a connection.

        Args:
            connection: the connection.
            is_over: tells whether nothing more will happen to it.
        """
        writes = sum(trace.may_write for trace in self._traces) < self._limits.files
        self._traces.append(_Trace(connection, is_over, may_write=writes))
        self._has_work.set()

    async def run(self) -> None:
        """Write until cancelled, and then what is left."""
        try:
            while True:
                await self._has_work.wait()
                await trio.sleep(INTERVAL)
                await self._write_round()
        finally:
            with trio.move_on_after(LAST_ROUND_LIMIT, shield=True):
                await self._write_round()
            for trace in self._traces:
                trace.close()

    async def _write_round(self) -> None:
        now, wall = read_clock(), self._wall_clock()
        over = [trace for trace in self._traces if trace.is_over()]
        rounds = [(trace, *trace.connection.take_trace()) for trace in self._traces]
        await self._offload(partial(self._write_all, rounds, now, wall))
        for trace in over:
            trace.close()
            self._traces.remove(trace)
        if not self._traces:
            self._has_work = trio.Event()

    def _write_all(
        self, rounds: "list[tuple[_Trace, list[TraceRecord], int]]", now: Instant, wall: float
    ) -> None:
        """Write what was taken; runs in a thread, one call at a time."""
        for trace, records, dropped in rounds:
            if not trace.may_write or not records:
                continue
            try:
                self._write(trace, records, dropped, wall - now)
            except OSError as error:
                trace.may_write = False
                self._warn("%s: %s", self._directory, error.strerror or error)

    def _write(
        self, trace: "_Trace", records: list[TraceRecord], dropped: int, clock_offset: float
    ) -> None:
        if trace.file is None:
            start = records[0]
            if not isinstance(start, ConnectionStarted):
                return  # nothing has happened yet
            wall = start.at + clock_offset
            trace.file = self._open(start, wall)
            trace.started_at = start.at
            self._put(trace, encode_header(start, wall, self._version))
        chunk = b"".join(encode_record(record, trace.started_at) for record in records)
        if dropped:
            text = f"{dropped} records are missing here: writing them took too long"
            chunk += encode_note(text, records[-1].at, trace.started_at)
        has_room = trace.written_bytes + len(chunk) <= self._limits.file_bytes
        if not has_room or self._total_bytes + len(chunk) > self._limits.total_bytes:
            text = "the trace ends here: there is as much of it as may be written"
            chunk = encode_note(text, records[0].at, trace.started_at)
            trace.may_write = False
            self._warn("%s: as much is written as may be; some traces end", self._directory)
        self._put(trace, chunk)
        if not trace.may_write:
            trace.close()

    def _open(self, start: ConnectionStarted, wall: float) -> BinaryIO:
        role = "client" if start.is_client else "server"
        stem = f"{wall:.0f}_{start.original_destination_cid.hex()}_{role}"
        for number in range(_MAX_NAMES):
            name = stem + (f"_{number}" if number else "") + _SUFFIX
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                descriptor = os.open(self._directory / name, flags, _FILE_MODE)
            except FileExistsError:
                continue
            return os.fdopen(descriptor, "wb")
        raise FileExistsError(f"too many files {stem}")

    def _put(self, trace: "_Trace", data: bytes) -> None:
        assert trace.file is not None
        trace.file.write(data)
        trace.file.flush()
        trace.written_bytes += len(data)
        self._total_bytes += len(data)

    def _warn(self, message: str, *values: object) -> None:
        """Say once that not everything is written; thousands of connections say it only once."""
        if not self._has_warned:
            self._has_warned = True
            _log.warning("qlog: " + message, *values)


class _Trace:
    """One connection and its file."""

    def __init__(
        self, connection: TracedConnection, is_over: Callable[[], bool], *, may_write: bool
    ) -> None:
        self.connection = connection
        self.is_over = is_over
        self.may_write = may_write
        self.file: BinaryIO | None = None
        self.started_at = Instant(0.0)
        self.written_bytes = 0

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None
        self.may_write = False
