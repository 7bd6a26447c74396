"""The asking side of the control socket: find it, ask for the status, follow the events."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mqvpn_core.errors import DecodeError, HostError
from mqvpn_core.runtime.control_codec import (
    MAX_REPLY_BYTES,
    ChangeRequest,
    ControlReply,
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
    decode_reply,
    encode_request,
)

RUN_DIRECTORY = Path("/run/mqvpn")
"""Where control sockets are by default."""

_TIMEOUT = 5.0
_CHUNK = 65536


def find_socket(directory: Path = RUN_DIRECTORY) -> Path:
    """Return the only control socket in ``directory``.

    Raises:
        HostError: there is none, or more than one.
    """
    try:
        found = sorted(path for path in directory.iterdir() if path.suffix == ".sock")
    except OSError:
        found = []
    if not found:
        raise HostError(
            f"no mqvpn is running (no socket in {directory}); one with another --control-socket is"
            " found by the same option here"
        )
    if len(found) > 1:
        names = ", ".join(path.stem for path in found)
        raise HostError(f"more than one mqvpn is running: choose one of {names} with --tun-name")
    return found[0]


def fetch_status(path: Path) -> JsonValue:
    """Ask the process behind ``path`` for its status.

    Raises:
        HostError: nobody answers there, or what answers is no mqvpn.
    """
    with _conversation(path) as connection:
        connection.sendall(encode_request(StatusRequest()))
        line, _ = _receive_line(connection, b"")
    reply = _decode(path, line)
    if not isinstance(reply, StatusReply):
        raise HostError(f"{path}: not an answer of mqvpn: events instead of a status")
    return reply.status


def set_link(path: Path, request: SetLinkRequest) -> None:
    """Ask the client behind ``path`` to change a link.

    Raises:
        HostError: as `fetch_status`, or the client refuses.
    """
    _change(path, request)


def allow_portal(path: Path, request: PortalRequest) -> None:
    """Ask the client behind ``path`` to let a link past its kill switch for a while.

    Raises:
        HostError: as `fetch_status`, or the client refuses.
    """
    _change(path, request)


def set_scheduler(path: Path, request: SetSchedulerRequest) -> None:
    """Ask the client or server behind ``path`` to spread packets over paths in another way.

    Raises:
        HostError: as `fetch_status`, or it refuses.
    """
    _change(path, request)


def _change(path: Path, request: ChangeRequest) -> None:
    with _conversation(path) as connection:
        connection.sendall(encode_request(request))
        line, _ = _receive_line(connection, b"")
    if not isinstance(_decode(path, line), DoneReply):
        raise HostError(f"{path}: not an answer of mqvpn to a change")


def fetch_events(path: Path, request: EventsRequest) -> Iterator[EventsReply]:
    """Ask the process behind ``path`` for events; with ``follow`` it never ends by itself.

    Raises:
        HostError: as `fetch_status`, or the process ended while it was followed.
    """
    with _conversation(path) as connection:
        connection.sendall(encode_request(request))
        rest = b""
        has_more = is_first = True
        while has_more or request.follow:
            line, rest = _receive_line(connection, rest)
            if not line and not is_first:
                raise HostError(f"{path}: the process has ended, or gave up waiting for us")
            reply = _decode(path, line)
            if not isinstance(reply, EventsReply):
                raise HostError(f"{path}: not an answer of mqvpn: no events")
            if request.follow and not reply.more:
                connection.settimeout(None)  # whatever comes next comes when it happens
            has_more, is_first = reply.more, False
            yield reply


@contextmanager
def _conversation(path: Path) -> Iterator[socket.socket]:
    """Connect, and put into words what goes wrong."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT)
        try:
            connection.connect(str(path))
            yield connection
        except FileNotFoundError:
            raise HostError(f"{path}: no such socket; is mqvpn running?") from None
        except ConnectionRefusedError:
            raise HostError(
                f"{path}: nobody serves this socket any more; the process that did is gone"
            ) from None
        except TimeoutError:
            raise HostError(f"{path}: no answer within {_TIMEOUT:g} seconds") from None
        except OSError as error:
            raise HostError(f"{path}: {error.strerror or error}") from None


def _decode(path: Path, line: bytes) -> ControlReply:
    """Read a line that holds no error."""
    if not line:
        raise HostError(
            f"{path}: no answer; it answers only root and the user it runs as, and not too many at"
            " a time"
        )
    try:
        reply = decode_reply(line)
    except DecodeError as error:
        raise HostError(f"{path}: not an answer of mqvpn: {error}") from None
    if isinstance(reply, ErrorReply):
        raise HostError(f"{path}: {reply.reason}")
    return reply


def _receive_line(connection: socket.socket, rest: bytes) -> tuple[bytes, bytes]:
    """Return the next line, or what there is of it at the end, and what came behind it."""
    line = bytearray(rest)
    searched = 0
    while (end := line.find(b"\n", searched)) < 0 and len(line) <= MAX_REPLY_BYTES:
        searched = len(line)
        data = connection.recv(_CHUNK)
        if not data:
            return bytes(line), b""
        line += data
    stop = end + 1 if end >= 0 else len(line)
    return bytes(line[:stop]), bytes(line[stop:])
