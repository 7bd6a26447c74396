"""The asking side of the status: find the socket, ask, and show the answer to people."""

import socket
from collections.abc import Sequence
from pathlib import Path

from mqvpn_core.app.one_line import one_line
from mqvpn_core.errors import DecodeError, HostError
from mqvpn_core.runtime.control_codec import (
    MAX_REPLY_BYTES,
    ControlCommand,
    JsonValue,
    decode_reply,
    encode_request,
)
from mqvpn_core.runtime.status_values import (
    ClientStatus,
    PathStatus,
    decode_status_values,
)

RUN_DIRECTORY = Path("/run/mqvpn")
"""Where control sockets are by default."""

_TIMEOUT = 5.0
_CHUNK = 65536
_KIB = 1024
_MINUTE = 60
_HOUR = 3600


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
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT)
        try:
            connection.connect(str(path))
            connection.sendall(encode_request(ControlCommand.STATUS))
            line = _receive_line(connection)
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
    if not line:
        raise HostError(f"{path}: no answer; it answers only root and the user it runs as")
    try:
        reply = decode_reply(line)
    except DecodeError as error:
        raise HostError(f"{path}: not an answer of mqvpn: {error}") from None
    if reply.error is not None:
        raise HostError(f"{path}: {reply.error}")
    return reply.status


def render_status(value: JsonValue) -> str:
    """Return the status as lines for a terminal.

    Raises:
        HostError: ``value`` is not a status that this version knows.
    """
    try:
        status = decode_status_values(value)
    except DecodeError as error:
        raise HostError(f"cannot read the status, is it another version? {error}") from None
    lines = [
        f"{status.role} on {status.tun_name}: {status.state} for {_age(status.seconds_in_state)}",
        f"  server     {status.server}",
        f"  addresses  {', '.join(status.addresses) or '-'}",
        f"  MTU        {status.mtu or '-'}",
        f"  process    {status.pid}, mqvpn {status.version}, kernel {status.kernel}",
    ]
    if status.role == "server":
        lines.append(f"  clients    {status.client_count}")
    if status.paths:
        lines += ["", *_table(_PATH_HEADINGS, [_path_row(path) for path in status.paths])]
    if status.clients:
        lines += ["", *_table(_CLIENT_HEADINGS, [_client_row(each) for each in status.clients])]
    counted = [f"  {name:<32} {count}" for name, count in status.counters.items() if count]
    if counted:
        lines += ["", "counters", *counted]
    return "\n".join(one_line(line) for line in lines) + "\n"


def _receive_line(connection: socket.socket) -> bytes:
    line = bytearray()
    while len(line) <= MAX_REPLY_BYTES:
        data = connection.recv(_CHUNK)
        line += data
        if not data or data.endswith(b"\n"):
            break
    return bytes(line)


_PATH_HEADINGS = (
    *("path", "interface", "local", "remote", "state"),
    *("RTT", "min", "loss", "cwnd", "sent", "received", "MTU"),
)
_CLIENT_HEADINGS = ("user", "remote", "addresses", "connected", "RTT", "sent", "received")


def _path_row(path: PathStatus) -> list[str]:
    return [
        str(path.id),
        path.interface or "-",
        path.local,
        path.remote,
        path.state,
        f"{path.srtt_ms:.1f} ms",
        f"{path.min_rtt_ms:.1f} ms",
        f"{path.loss:.1%}",
        _size(path.congestion_window),
        _size(path.tx_bytes),
        _size(path.rx_bytes),
        str(path.mtu),
    ]


def _client_row(client: ClientStatus) -> list[str]:
    return [
        client.user or "(shared key)",
        client.remote,
        ", ".join(client.addresses) or "-",
        _age(client.seconds_connected),
        f"{client.srtt_ms:.1f} ms",
        _size(client.tx_bytes),
        _size(client.rx_bytes),
    ]


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    all_rows = [headings, *rows]
    widths = [max(len(row[column]) for row in all_rows) for column in range(len(headings))]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in all_rows]


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < _KIB:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _KIB
    return f"{count:.1f} TiB"


def _age(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min {seconds % _MINUTE:.0f} s"
    return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"
