"""Trace records as qlog: version 0.3, JSON text sequences (RFC 7464).

Names follow the qlog main schema and its QUIC events. Packets carry the ID of their path in the
header, events in ``path``; what the schema has no name for is a ``connectivity:path_updated``.
Times are milliseconds since the start of the connection. Pure: no file, no clock.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import assert_never

from mqvpn_core.ids import FourTuple, Instant, PathId, SocketAddress
from mqvpn_core.quic.events import (
    ConnectionTerminated,
    Event,
    HandshakeCompleted,
    HandshakeConfirmed,
    KeysUpdated,
    PathAbandoned,
    PathMigrated,
    PathMtuChanged,
    PathOpened,
    PathRecovered,
    PathStatusChanged,
    PathSuspected,
    PathUseChanged,
    PathValidated,
    TrafficMoved,
)
from mqvpn_core.quic.trace import (
    CongestionStateTraced,
    ConnectionStarted,
    DatagramTraced,
    EventTraced,
    MetricsTraced,
    PacketsLostTraced,
    PacketTraced,
    TraceRecord,
)
from mqvpn_core.runtime.control_codec import JsonValue
from mqvpn_core.wire.frame_summaries import FrameSummary

_RECORD_SEPARATOR = b"\x1e"
_MILLISECONDS = 1000.0
_TIMES = frozenset({"smoothed_rtt", "min_rtt", "latest_rtt", "rtt_variance"})
_PATH_ZERO = PathId(0)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One qlog event but for its time."""

    name: str
    data: dict[str, JsonValue]
    path_id: PathId | None = None


def encode_header(start: ConnectionStarted, start_wall: float, version: str) -> bytes:
    """Return the head of a trace.

    Args:
        start: the first record.
        start_wall: its time in seconds since 1970.
        version: of the program.
    """
    role = "client" if start.is_client else "server"
    connection = start.original_destination_cid.hex()
    return _line(
        {
            "qlog_version": "0.3",
            "qlog_format": "JSON-SEQ",
            "title": f"mqvpn {role}",
            "code_version": version,
            "trace": {
                "vantage_point": {"name": "mqvpn", "type": role},
                "common_fields": {
                    "ODCID": connection,
                    "group_id": connection,
                    "protocol_type": ["QUIC", "HTTP3"],
                    "time_format": "relative",
                    "reference_time": start_wall * _MILLISECONDS,
                },
            },
        }
    )


def encode_record(record: TraceRecord, start: Instant) -> bytes:
    """Return a record as qlog events; some make several, a few none.

    Args:
        record: the record.
        start: the time of the first one.
    """
    time = round((record.at - start) * _MILLISECONDS, 3)
    return b"".join(_encode(entry, time) for entry in _entries(record))


def encode_note(text: str, at: Instant, start: Instant) -> bytes:
    """Return a remark about the trace itself."""
    entry = _Entry("loglevel:warning", {"message": text})
    return _encode(entry, round((at - start) * _MILLISECONDS, 3))


def _encode(entry: _Entry, time: float) -> bytes:
    event: dict[str, JsonValue] = {"time": time, "name": entry.name, "data": entry.data}
    if entry.path_id is not None:
        event["path"] = str(entry.path_id)
    return _line(event)


def _line(value: JsonValue) -> bytes:
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return _RECORD_SEPARATOR + text.encode() + b"\n"


def _entries(record: TraceRecord) -> Iterator[_Entry]:
    match record:
        case ConnectionStarted():
            yield _Entry("connectivity:connection_started", _started(record))
            yield _assigned(_PATH_ZERO, record.four_tuple)
        case DatagramTraced():
            name = "transport:datagrams_sent" if record.is_sent else "transport:datagrams_received"
            yield _Entry(name, {"count": 1, "raw": [{"length": record.size}]})
        case PacketTraced():
            yield _packet(record)
        case PacketsLostTraced():
            for number in record.numbers:
                data: dict[str, JsonValue] = {"header": _header(record.path_id, number)}
                yield _Entry("recovery:packet_lost", data, record.path_id)
        case MetricsTraced():
            yield _Entry("recovery:metrics_updated", _metrics(record.values), record.path_id)
        case CongestionStateTraced():
            state: dict[str, JsonValue] = {"new": record.state}
            yield _Entry("recovery:congestion_state_updated", state, record.path_id)
        case EventTraced():
            yield from _event_entries(record.event)
        case _:
            assert_never(record)


def _started(record: ConnectionStarted) -> dict[str, JsonValue]:
    local, remote = record.four_tuple
    return {
        "ip_version": "v6" if ":" in remote.host else "v4",
        "src_ip": local.host,
        "src_port": local.port,
        "dst_ip": remote.host,
        "dst_port": remote.port,
        "protocol": "QUIC",
    }


def _assigned(path_id: PathId, four_tuple: FourTuple) -> _Entry:
    data: dict[str, JsonValue] = {
        "path_id": str(path_id),
        "path_local": _endpoint(four_tuple.local),
        "path_remote": _endpoint(four_tuple.remote),
    }
    return _Entry("connectivity:path_assigned", data, path_id)


def _endpoint(address: SocketAddress) -> dict[str, JsonValue]:
    family = "v6" if ":" in address.host else "v4"
    return {f"ip_{family}": address.host, f"port_{family}": address.port}


def _packet(record: PacketTraced) -> _Entry:
    return _Entry(
        "transport:packet_sent" if record.is_sent else "transport:packet_received",
        {
            "header": _header(record.path_id, record.number),
            "raw": {"length": record.size},
            "frames": [_frame(summary) for summary in record.frames],
        },
        record.path_id,
    )


def _header(path_id: PathId, number: int) -> dict[str, JsonValue]:
    return {"packet_type": "1RTT", "packet_number": number, "path_id": path_id}


def _frame(summary: FrameSummary) -> dict[str, JsonValue]:
    frame: dict[str, JsonValue] = {"frame_type": summary.name}
    for name, value in summary.values.items():
        frame[name] = [[*pair] for pair in value] if isinstance(value, tuple) else value
    return frame


def _metrics(values: Mapping[str, int | float]) -> dict[str, JsonValue]:
    return {
        name: round(value * _MILLISECONDS, 3) if name in _TIMES else value
        for name, value in values.items()
    }


def _event_entries(event: Event) -> Iterator[_Entry]:
    match event:
        case HandshakeCompleted():
            data: dict[str, JsonValue] = {"new": "handshake_complete", "multipath": event.multipath}
            yield _Entry("connectivity:connection_state_updated", data)
        case HandshakeConfirmed():
            yield _Entry("connectivity:connection_state_updated", {"new": "handshake_confirmed"})
        case KeysUpdated():
            trigger = "local_update" if event.initiated_locally else "remote_update"
            for key_type in ("client_1rtt_secret", "server_1rtt_secret"):
                yield _Entry(
                    "security:key_updated",
                    {"key_type": key_type, "key_phase": event.key_phase, "trigger": trigger},
                )
        case ConnectionTerminated():
            code = "application_code" if event.is_application else "connection_code"
            owner = "remote" if event.by_peer else "local"
            closed: dict[str, JsonValue] = {"owner": owner, code: int(event.error_code)}
            yield _Entry("connectivity:connection_closed", {**closed, "reason": event.reason})
        case PathOpened():
            yield _assigned(event.path_id, event.four_tuple)
        case PathMigrated():
            yield _assigned(event.path_id, event.new)
        case PathMtuChanged():
            yield _Entry(
                "connectivity:mtu_updated", {"new": event.max_datagram_size}, event.path_id
            )
        case _:
            yield from _path_updates(event)


def _path_updates(event: Event) -> Iterator[_Entry]:
    change: dict[str, JsonValue]
    match event:
        case PathValidated():
            change = {"state": "validated"}
        case PathSuspected():
            change = {"state": "suspect", "silent_for": event.silent_for * _MILLISECONDS}
        case PathRecovered():
            change = {"state": "recovered", "silent_for": event.silent_for * _MILLISECONDS}
        case PathAbandoned():
            change = {
                "state": "abandoned",
                "error_code": int(event.error_code),
                "owner": "remote" if event.by_peer else "local",
                "reason": event.reason,
            }
        case TrafficMoved():
            change = {
                "state": "succeeded",
                "successor": str(event.to_path_id),
                "gap": event.gap * _MILLISECONDS,
                "reason": event.reason,
            }
        case PathUseChanged():
            change = {"use": event.use.value}
        case PathStatusChanged():
            change = {"peer_status": "backup" if event.is_backup else "available"}
        case _:
            return  # the packets tell it
    yield _Entry(
        "connectivity:path_updated", {"path_id": str(event.path_id), **change}, event.path_id
    )
