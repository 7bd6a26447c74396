"""The status for people: a page, or a line for each path."""

from collections.abc import Iterator, Sequence

from mqvpn_core.app.local_time import local_time_text
from mqvpn_core.app.one_line import one_line
from mqvpn_core.app.tables import Column, render_table
from mqvpn_core.app.units import age_text, rate_text, size_text
from mqvpn_core.errors import DecodeError, HostError
from mqvpn_core.runtime.control_codec import JsonValue
from mqvpn_core.runtime.status_values import (
    ClientStatus,
    PathStatus,
    Status,
    WorkerStatus,
    decode_status_values,
)

_DOWN_AND_UP = (
    Column(heading="down", rank=3, is_number=True),
    Column(heading="up", rank=3, is_number=True),
)
_IN_AND_OUT = (
    Column(heading="in", rank=3, is_number=True),
    Column(heading="out", rank=3, is_number=True),
)
_PATH_COLUMNS = (
    Column(heading="path", rank=0),
    Column(heading="interface", rank=0),
    Column(heading="role", rank=5),
    Column(heading="state", rank=0),
    Column(heading="RTT", rank=1, is_number=True),
    Column(heading="min", rank=11, is_number=True),
    Column(heading="jitter", rank=7, is_number=True),
    Column(heading="loss", rank=2, is_number=True),
    *_DOWN_AND_UP,
    Column(heading="share", rank=4, is_number=True),
    Column(heading="capacity", rank=6, is_number=True),
    Column(heading="cc", rank=14),
    Column(heading="cwnd", rank=10, is_number=True),
    Column(heading="received", rank=8, is_number=True),
    Column(heading="sent", rank=8, is_number=True),
    Column(heading="MTU", rank=12, is_number=True),
    Column(heading="local", rank=13),
    Column(heading="remote", rank=9),
)
_SERVERS_WORDS = {"down": _IN_AND_OUT[0], "up": _IN_AND_OUT[1]}
# A server knows no interfaces; there the address of the client tells the paths apart.
_CLIENTS_PATH_COLUMNS = (
    Column(heading="client", rank=0),
    _PATH_COLUMNS[0],
    Column(heading="from", rank=1),
    *(_SERVERS_WORDS.get(column.heading, column) for column in _PATH_COLUMNS[2:-2]),
)
_CLIENT_COLUMNS = (
    Column(heading="client", rank=0),
    Column(heading="from", rank=4),
    Column(heading="addresses", rank=1),
    Column(heading="connected", rank=5),
    Column(heading="paths", rank=2, is_number=True),
    Column(heading="RTT", rank=6, is_number=True),
    *_IN_AND_OUT,
    Column(heading="received", rank=7, is_number=True),
    Column(heading="sent", rank=7, is_number=True),
)


_WORKER_COLUMNS = (
    Column(heading="worker", rank=0),
    Column(heading="process", rank=1, is_number=True),
    Column(heading="state", rank=0),
    Column(heading="clients", rank=2, is_number=True),
    Column(heading="restarts", rank=3, is_number=True),
)


def read_status(value: JsonValue) -> Status:
    """Return the status in an answer.

    Raises:
        HostError: it is not a status that this version knows.
    """
    try:
        return decode_status_values(value)
    except DecodeError as error:
        raise HostError(f"cannot read the status, is it another version? {error}") from None


def render_status(status: Status, width: int | None = None) -> list[str]:
    """Return the status as a page.

    Args:
        status: the status.
        width: most characters in a line, None for as many as it takes.
    """
    age = age_text(status.seconds_in_state)
    lines = [
        f"{status.role} on {status.tun_name}: {status.state} for {age}",
        f"  server     {status.server}",
        f"  addresses  {', '.join(status.addresses) or '-'}",
        f"  MTU        {status.mtu or '-'}",
        *(f"  {name:<11}{text}" for name, text in _protection(status)),
        f"  scheduler  {status.scheduler or '-'}",
        f"  process    {status.pid}, mqvpn {status.version}, kernel {status.kernel}",
    ]
    if status.kernel_reason:
        lines.append(f"             {status.kernel} because: {status.kernel_reason}")
    if status.role == "server":
        lines.append(f"  clients    {status.client_count}")
    if status.workers:
        rows = [_worker_row(worker) for worker in status.workers]
        lines += ["", *render_table(_WORKER_COLUMNS, rows, width)]
    if status.paths:
        rows = [_path_row(path) for path in status.paths]
        lines += ["", *render_table(_PATH_COLUMNS, rows, width)]
    if status.clients:
        rows = [_client_row(client) for client in status.clients]
        lines += ["", *render_table(_CLIENT_COLUMNS, rows, width)]
    by_path = [(client, path) for client in status.clients for path in client.paths]
    if by_path:
        rows = [_clients_path_row(client, path) for client, path in by_path]
        lines += ["", *render_table(_CLIENTS_PATH_COLUMNS, rows, width)]
    counted = [f"  {name:<32} {count}" for name, count in status.counters.items() if count]
    if counted:
        lines += ["", "counters", *counted]
    return [one_line(line)[:width] for line in lines]


def _protection(status: Status) -> Iterator[tuple[str, str]]:
    if status.dns_method:
        yield "names", f"resolved by {status.dns_method}"
    if status.kill_switch not in {"", "off"}:
        yield "kill switch", f"  {status.kill_switch}"
    if status.portal:
        left = age_text(status.portal_seconds)
        yield "exception", f"{status.portal} is past the kill switch for {left}"


def status_lines(status: Status) -> list[str]:
    """Return a line for each path, or one that there is none, for logs and filters."""
    front = f"{local_time_text(status.taken_at)} {status.role} {status.tun_name} {status.state}"
    lines = [_path_line(front, path) for path in status.paths]
    for client in status.clients:
        name = f"{front} client {_client_name(client)}"
        lines += [_path_line(name, path) for path in client.paths]
    return [one_line(line) for line in lines or [front]]


def _path_line(front: str, path: PathStatus) -> str:
    return (
        f"{front} path {path.id} {path.interface or path.remote} {_role(path)} {path.state}"
        f" rtt {path.srtt_ms:.1f} ms jitter {path.jitter_ms:.1f} ms loss {path.loss:.1%}"
        f" in {rate_text(path.rx_rate)} out {rate_text(path.tx_rate)} share {path.share:.0%}"
    )


def _path_row(path: PathStatus) -> list[str]:
    return [
        str(path.id),
        path.interface or "-",
        *_path_numbers(path),
        path.local,
        path.remote,
    ]


def _clients_path_row(client: ClientStatus, path: PathStatus) -> list[str]:
    return [_client_name(client), str(path.id), path.remote, *_path_numbers(path)]


def _path_numbers(path: PathStatus) -> Sequence[str]:
    return (
        _role(path),
        path.state,
        f"{path.srtt_ms:.1f} ms",
        f"{path.min_rtt_ms:.1f} ms",
        f"{path.jitter_ms:.1f} ms",
        f"{path.loss:.1%}",
        rate_text(path.rx_rate),
        rate_text(path.tx_rate),
        f"{path.share:.0%}",
        rate_text(path.capacity) if path.capacity else "-",
        f"{path.cc} {path.cc_state}",
        size_text(path.congestion_window),
        size_text(path.rx_bytes),
        size_text(path.tx_bytes),
        str(path.mtu),
    )


def _role(path: PathStatus) -> str:
    """Return what the path is for; a wish of the other side alone is marked."""
    if path.peer_is_backup and path.use != "backup":
        return f"{path.use} (backup for the peer)"
    return path.use


def _worker_row(worker: WorkerStatus) -> list[str]:
    return [
        str(worker.number),
        str(worker.pid or "-"),
        worker.state,
        str(worker.client_count),
        str(worker.restarts),
    ]


def _client_row(client: ClientStatus) -> list[str]:
    return [
        _client_name(client),
        client.remote,
        ", ".join(client.addresses) or "-",
        age_text(client.seconds_connected),
        str(len(client.paths)),
        f"{client.srtt_ms:.1f} ms",
        rate_text(client.rx_rate),
        rate_text(client.tx_rate),
        size_text(client.rx_bytes),
        size_text(client.tx_bytes),
    ]


def _client_name(client: ClientStatus) -> str:
    return client.user or "(shared key)"
