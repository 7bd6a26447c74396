"""The status socket of a running client or server: AF_UNIX, mode 0600, one JSON line each way.

Only the same user and root are answered. A socket file left by a dead process is replaced; one
that still answers is an error that names its process.
"""

import errno
import os
import socket
import stat
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio

from mqvpn_core.errors import DecodeError, HostError
from mqvpn_core.runtime.control_codec import (
    MAX_REQUEST_BYTES,
    ControlCommand,
    JsonValue,
    decode_request,
    encode_error,
    encode_status,
)

IDLE_TIMEOUT = 60.0
"""Seconds a connected reader may stay silent, or not take its answer."""

MAX_READERS = 16
"""Connections served at the same time; more are closed at once."""

_BACKLOG = 16
_MAX_PATH_BYTES = 107  # sun_path is 108 bytes with its terminating zero
_UCRED = struct.Struct("3i")  # pid, uid, gid (unix(7), SO_PEERCRED)


async def serve_control(
    path: Path,
    get_status: Callable[[], JsonValue],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the status on ``path`` until cancelled, then remove the socket file.

    Start it with ``await nursery.start(serve_control, path, get_status)``: that returns once the
    socket listens, and raises when it cannot.

    Args:
        path: where to listen; the directory is made when missing.
        get_status: called for each request; must not block.
        task_status: told when the socket listens.

    Raises:
        HostError: the socket cannot be made, or another process serves it.
    """
    listening, inode = bind_control_socket(path)
    try:
        task_status.started()
        await trio.serve_listeners(
            partial(
                _serve_reader, get_status=get_status, readers=trio.CapacityLimiter(MAX_READERS)
            ),
            [trio.SocketListener(trio.socket.from_stdlib_socket(listening))],
        )
    finally:
        listening.close()
        _remove(path, inode)


def bind_control_socket(path: Path) -> tuple[socket.socket, int]:
    """Return a listening socket at ``path``, for its owner alone, and the inode of its file.

    Raises:
        HostError: as `serve_control`.
    """
    if len(os.fsencode(path)) > _MAX_PATH_BYTES:
        raise HostError(f"control socket {path}: the path is longer than {_MAX_PATH_BYTES} bytes")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _clear_stale(path)
        before = os.umask(0o177)  # the file must never exist with a wider mode
        try:
            listening.bind(os.fspath(path))
        finally:
            os.umask(before)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
        inode = path.lstat().st_ino
    except OSError as error:
        listening.close()
        raise HostError(
            f"control socket {path}: {error.strerror or error}; choose another place with"
            " --control-socket PATH, or none with --control-socket off"
        ) from error
    except BaseException:
        listening.close()
        raise
    return listening, inode


def _clear_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise HostError(f"control socket {path}: there is a file that is no socket; not touched")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.setblocking(False)  # a full backlog must not hang the start
        try:
            probe.connect(os.fspath(path))
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                path.unlink(missing_ok=True)
                return
            if error.errno != errno.EAGAIN:
                raise
            owner = "another process"
        else:
            owner = f"process {_peer_credentials(probe)[0]}"
    raise HostError(
        f"control socket {path}: {owner} already serves it; stop that one, or give this one another"
        " --tun-name (or --control-socket)"
    )


def _remove(path: Path, inode: int) -> None:
    try:
        if path.lstat().st_ino == inode:
            path.unlink()
    except FileNotFoundError:
        pass  # somebody tidied up before us


def _peer_credentials(connected: socket.socket) -> tuple[int, int]:
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _gid = _UCRED.unpack(raw)
    return int(pid), int(uid)


async def _serve_reader(
    stream: trio.SocketStream, *, get_status: Callable[[], JsonValue], readers: trio.CapacityLimiter
) -> None:
    try:
        readers.acquire_on_behalf_of_nowait(stream)
    except trio.WouldBlock:
        await stream.aclose()
        return
    try:
        async with stream:
            if _may_read(stream):
                await _answer_requests(stream, get_status)
    except trio.BrokenResourceError:
        pass  # the reader went away: its own business
    finally:
        readers.release_on_behalf_of(stream)


def _may_read(stream: trio.SocketStream) -> bool:
    raw = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    _pid, uid, _gid = _UCRED.unpack(raw)
    return uid in {0, os.geteuid()}


async def _answer_requests(stream: trio.SocketStream, get_status: Callable[[], JsonValue]) -> None:
    buffered = bytearray()
    while True:
        with trio.move_on_after(IDLE_TIMEOUT):
            line = await _read_line(stream, buffered)
            if line is None:
                return
            try:
                command = decode_request(line)
            except DecodeError as error:
                await stream.send_all(encode_error(str(error)))
                return
            match command:
                case ControlCommand.STATUS:
                    await stream.send_all(encode_status(get_status()))
            continue
        return


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
