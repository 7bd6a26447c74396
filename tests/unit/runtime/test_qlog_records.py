"""Trace records as qlog, line by line."""

import json
from typing import cast

import pytest

from mqvpn_core.ids import FourTuple, Instant, PathId, SocketAddress
from mqvpn_core.quic.events import (
    ConnectionTerminated,
    DatagramsReceived,
    Event,
    HandshakeCompleted,
    HandshakeConfirmed,
    KeysUpdated,
    PathAbandoned,
    PathIdsAvailable,
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
from mqvpn_core.quic.path_use import PathUse
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
from mqvpn_core.runtime.qlog_records import encode_header, encode_note, encode_record
from mqvpn_core.wire.frame_summaries import summarise_frames

START = Instant(100.0)
AT = Instant(100.5)
WIFI, LTE = PathId(0), PathId(1)
V4 = FourTuple(SocketAddress("192.0.2.1", 5), SocketAddress("203.0.113.1", 443))
V6 = FourTuple(SocketAddress("2001:db8::1", 6), SocketAddress("2001:db8::2", 443))
V4_PATH = {
    "path_local": {"ip_v4": "192.0.2.1", "port_v4": 5},
    "path_remote": {"ip_v4": "203.0.113.1", "port_v4": 443},
}
STARTED = ConnectionStarted(
    at=START, four_tuple=V4, original_destination_cid=b"\x01\xab", is_client=True
)


def lines(data: bytes) -> list[dict[str, JsonValue]]:
    parts = data.split(b"\x1e")
    assert parts[0] == b""
    assert all(part.endswith(b"\n") and part.count(b"\n") == 1 for part in parts[1:])
    return [cast("dict[str, JsonValue]", json.loads(part)) for part in parts[1:]]


def encoded(record: TraceRecord) -> list[dict[str, JsonValue]]:
    return lines(encode_record(record, START))


def test_the_head_names_version_role_and_time() -> None:
    (head,) = lines(encode_header(STARTED, 1.7e9, "0.1.0"))
    assert head["qlog_version"] == "0.3"
    assert head["qlog_format"] == "JSON-SEQ"
    assert head["code_version"] == "0.1.0"
    assert head["trace"] == {
        "vantage_point": {"name": "mqvpn", "type": "client"},
        "common_fields": {
            "ODCID": "01ab",
            "group_id": "01ab",
            "protocol_type": ["QUIC", "HTTP3"],
            "time_format": "relative",
            "reference_time": 1.7e12,
        },
    }


def test_a_connection_starts_with_its_path() -> None:
    started, assigned = encoded(STARTED)
    assert started == {
        "time": 0.0,
        "name": "connectivity:connection_started",
        "data": {
            "ip_version": "v4",
            "src_ip": "192.0.2.1",
            "src_port": 5,
            "dst_ip": "203.0.113.1",
            "dst_port": 443,
            "protocol": "QUIC",
        },
    }
    assert assigned == {
        "time": 0.0,
        "name": "connectivity:path_assigned",
        "path": "0",
        "data": {"path_id": "0", **V4_PATH},
    }


@pytest.mark.parametrize(("is_sent", "word"), [(True, "sent"), (False, "received")])
def test_packets_carry_their_path_and_their_frames(is_sent: bool, word: str) -> None:
    record = PacketTraced(
        at=AT,
        is_sent=is_sent,
        path_id=LTE,
        number=7,
        size=60,
        frames=summarise_frames(bytes([0x02, 9, 0, 0, 1]) + b"\x31\x01a\x30bc"),
    )
    assert encoded(record) == [
        {
            "time": 500.0,
            "name": f"transport:packet_{word}",
            "path": "1",
            "data": {
                "header": {"packet_type": "1RTT", "packet_number": 7, "path_id": 1},
                "raw": {"length": 60},
                "frames": [
                    {"frame_type": "ack", "ack_delay": 0.0, "acked_ranges": [[8, 9]]},
                    {"frame_type": "datagram", "count": 2, "length": 3},
                ],
            },
        }
    ]


def test_datagrams_of_the_handshake_have_their_size() -> None:
    record = DatagramTraced(at=AT, is_sent=True, size=1200)
    assert encoded(record) == [
        {
            "time": 500.0,
            "name": "transport:datagrams_sent",
            "data": {"count": 1, "raw": [{"length": 1200}]},
        }
    ]


def test_each_lost_packet_is_told() -> None:
    found = encoded(PacketsLostTraced(at=AT, path_id=LTE, numbers=(4, 9)))
    assert [line["name"] for line in found] == ["recovery:packet_lost"] * 2
    assert [line["data"] for line in found] == [
        {"header": {"packet_type": "1RTT", "packet_number": number, "path_id": 1}}
        for number in (4, 9)
    ]


def test_times_of_metrics_are_milliseconds() -> None:
    values = {"smoothed_rtt": 0.0123, "congestion_window": 14_000}
    (line,) = encoded(MetricsTraced(at=AT, path_id=LTE, values=values))
    assert line["name"] == "recovery:metrics_updated"
    assert line["data"] == {"smoothed_rtt": 12.3, "congestion_window": 14_000}


@pytest.mark.parametrize(
    ("event", "name", "data"),
    [
        (
            HandshakeCompleted(alpn="h3", session_resumed=False, multipath=True),
            "connectivity:connection_state_updated",
            {"new": "handshake_complete", "multipath": True},
        ),
        (
            HandshakeConfirmed(),
            "connectivity:connection_state_updated",
            {"new": "handshake_confirmed"},
        ),
        (
            ConnectionTerminated(error_code=0x100, reason="bye", by_peer=True, is_application=True),
            "connectivity:connection_closed",
            {"owner": "remote", "application_code": 0x100, "reason": "bye"},
        ),
        (
            ConnectionTerminated(error_code=7, reason="", by_peer=False, is_application=False),
            "connectivity:connection_closed",
            {"owner": "local", "connection_code": 7, "reason": ""},
        ),
        (
            PathOpened(path_id=LTE, four_tuple=V6),
            "connectivity:path_assigned",
            {
                "path_id": "1",
                "path_local": {"ip_v6": "2001:db8::1", "port_v6": 6},
                "path_remote": {"ip_v6": "2001:db8::2", "port_v6": 443},
            },
        ),
        (
            PathMigrated(path_id=WIFI, old=V6, new=V4),
            "connectivity:path_assigned",
            {"path_id": "0", **V4_PATH},
        ),
        (
            PathMtuChanged(path_id=LTE, max_datagram_size=1400),
            "connectivity:mtu_updated",
            {"new": 1400},
        ),
        (
            PathValidated(path_id=LTE, four_tuple=V4),
            "connectivity:path_updated",
            {"path_id": "1", "state": "validated"},
        ),
        (
            PathSuspected(path_id=LTE, silent_for=0.25),
            "connectivity:path_updated",
            {"path_id": "1", "state": "suspect", "silent_for": 250.0},
        ),
        (
            PathRecovered(path_id=LTE, silent_for=0.25),
            "connectivity:path_updated",
            {"path_id": "1", "state": "recovered", "silent_for": 250.0},
        ),
        (
            PathAbandoned(path_id=LTE, error_code=0x3E76, by_peer=False, reason="gone"),
            "connectivity:path_updated",
            {
                "path_id": "1",
                "state": "abandoned",
                "error_code": 0x3E76,
                "owner": "local",
                "reason": "gone",
            },
        ),
        (
            TrafficMoved(path_id=WIFI, to_path_id=LTE, gap=0.062, reason="it is silent"),
            "connectivity:path_updated",
            {
                "path_id": "0",
                "state": "succeeded",
                "successor": "1",
                "gap": 62.0,
                "reason": "it is silent",
            },
        ),
        (
            PathUseChanged(path_id=LTE, use=PathUse.BACKUP),
            "connectivity:path_updated",
            {"path_id": "1", "use": "backup"},
        ),
        (
            PathStatusChanged(path_id=LTE, is_backup=False),
            "connectivity:path_updated",
            {"path_id": "1", "peer_status": "available"},
        ),
    ],
)
def test_events_have_their_name(event: Event, name: str, data: dict[str, JsonValue]) -> None:
    (line,) = encoded(EventTraced(at=AT, event=event))
    assert (line["time"], line["name"], line["data"]) == (500.0, name, data)


def test_a_key_update_concerns_both_directions() -> None:
    found = encoded(EventTraced(at=AT, event=KeysUpdated(key_phase=2, initiated_locally=False)))
    assert [line["data"] for line in found] == [
        {"key_type": f"{side}_1rtt_secret", "key_phase": 2, "trigger": "remote_update"}
        for side in ("client", "server")
    ]


@pytest.mark.parametrize("event", [DatagramsReceived(payloads=()), PathIdsAvailable()])
def test_what_the_packets_tell_is_not_told_again(event: Event) -> None:
    assert encoded(EventTraced(at=AT, event=event)) == []


def test_remarks_are_warnings() -> None:
    (line,) = lines(encode_note("5 records are missing", AT, START))
    assert (line["name"], line["data"]) == (
        "loglevel:warning",
        {"message": "5 records are missing"},
    )


def test_congestion_control_says_what_it_does() -> None:
    (line,) = encoded(CongestionStateTraced(at=AT, path_id=LTE, state="startup"))
    assert line == {
        "time": 500.0,
        "name": "recovery:congestion_state_updated",
        "path": "1",
        "data": {"new": "startup"},
    }
