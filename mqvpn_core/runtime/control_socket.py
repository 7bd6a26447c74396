"""The control socket of a running client or server: AF_UNIX, mode 0600, JSON lines each way.

Owns the file and its rights; who is served what is decided in `control_readers`. A socket file
left by a dead process is replaced; one that still answers is an error that names its process.
"""

import errno
import os
import socket
import stat
from pathlib import Path

import trio

from mqvpn_core.errors import HostError
from mqvpn_core.runtime.control_readers import ControlReaders, ControlSources, peer_credentials

_BACKLOG = 16
_MAX_PATH_BYTES = 107  # sun_path is 108 bytes with its terminating zero


async def serve_control(
    path: Path,
    sources: ControlSources,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve status and events on ``path`` until cancelled, then remove the socket file.

    Start it with ``await nursery.start(serve_control, path, sources)``: that returns once the
    socket listens, and raises when it cannot.

    Args:
        path: where to listen; the directory is made when missing.
        sources: what to serve.
        task_status: told when the socket listens.

    Raises:
        HostError: the socket cannot be made, or another process serves it.
    """
    listening, inode = bind_control_socket(path)
    try:
        task_status.started()
        await trio.serve_listeners(
            ControlReaders(sources).serve,
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
            owner = f"process {peer_credentials(probe).pid}"
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
