"""A peer that breaks rules in authentic packets: each frame gets the error code of its RFC.

The peer is a stock connection whose keys seal whatever a test asks for. Both of our roles are
tested: our server against a client that misbehaves, our client against a server that does.
"""

from dataclasses import dataclass

import pytest

from mqvpn_core.quic.events import ConnectionTerminated
from mqvpn_core.testing.entropy import seeded_libraries
from mqvpn_core.wire.code_points import FrameType, TransportErrorCode
from tests.simulation.injector import Oddities
from tests.simulation.misbehaviour import assert_alive, assert_closed_with, inject, make_scene, v

E = TransportErrorCode


@dataclass(frozen=True)
class Case:
    """Frames of one packet and what they must lead to."""

    name: str
    frames: bytes
    code: int
    roles: tuple[str, ...] = ("client", "server")


def _token() -> bytes:
    return bytes(range(16))


CASES = [
    Case("no frames", b"", E.PROTOCOL_VIOLATION),
    Case("unknown frame type", v(0x21), E.FRAME_ENCODING_ERROR),
    Case("unknown long frame type", v(0x3FFF), E.FRAME_ENCODING_ERROR),
    Case("frame type not shortest", b"\x40\x01" + bytes(20), E.PROTOCOL_VIOLATION),
    Case("frame type cut short", b"\x01" * 20 + b"\x7f", E.FRAME_ENCODING_ERROR),
    Case("ACK cut short", v(FrameType.ACK, 1), E.FRAME_ENCODING_ERROR),
    Case("ACK of unsent", v(FrameType.ACK, 1000, 0, 0, 0), E.PROTOCOL_VIOLATION),
    Case("ACK below zero", v(FrameType.ACK, 2, 0, 0, 3), E.FRAME_ENCODING_ERROR),
    Case("ACK gap below zero", v(FrameType.ACK, 2, 0, 1, 0, 2, 0), E.FRAME_ENCODING_ERROR),
    Case("ACK with lost ranges", v(FrameType.ACK, 2, 0, 9, 0), E.FRAME_ENCODING_ERROR),
    Case("ACK huge range count", v(FrameType.ACK, 2, 0, 2**60, 0), E.FRAME_ENCODING_ERROR),
    Case("ACK_ECN cut short", v(FrameType.ACK_ECN, 0, 0, 0, 0, 1), E.FRAME_ENCODING_ERROR),
    Case("RESET_STREAM cut short", v(FrameType.RESET_STREAM, 0, 0), E.FRAME_ENCODING_ERROR),
    Case(
        "RESET_STREAM on our unidirectional stream",
        v(FrameType.RESET_STREAM, 3, 0, 0),
        E.STREAM_STATE_ERROR,
        ("server",),
    ),
    Case(
        "RESET_STREAM on our unidirectional stream",
        v(FrameType.RESET_STREAM, 2, 0, 0),
        E.STREAM_STATE_ERROR,
        ("client",),
    ),
    Case(
        "RESET_STREAM with a final size beyond the limit",
        v(FrameType.RESET_STREAM, 0, 0, 2**40),
        E.FLOW_CONTROL_ERROR,
        ("server",),
    ),
    Case(
        "STOP_SENDING on a stream we only receive",
        v(FrameType.STOP_SENDING, 2, 0),
        E.STREAM_STATE_ERROR,
        ("server",),
    ),
    Case(
        "STOP_SENDING on a stream we only receive",
        v(FrameType.STOP_SENDING, 3, 0),
        E.STREAM_STATE_ERROR,
        ("client",),
    ),
    Case(
        "STOP_SENDING on a stream of ours that does not exist",
        v(FrameType.STOP_SENDING, 401, 0),
        E.STREAM_STATE_ERROR,
        ("server",),
    ),
    Case("CRYPTO cut short", v(FrameType.CRYPTO, 0, 50) + bytes(3), E.FRAME_ENCODING_ERROR),
    Case(
        "CRYPTO far beyond the buffer",
        v(FrameType.CRYPTO, 2**40, 1) + b"x",
        E.CRYPTO_BUFFER_EXCEEDED,
    ),
    Case(
        "CRYPTO beyond 2^62",
        v(FrameType.CRYPTO, 2**62 - 1, 1) + b"x",
        E.FRAME_ENCODING_ERROR,
    ),
    Case(
        "NEW_TOKEN from a client",
        v(FrameType.NEW_TOKEN, 1) + b"x",
        E.PROTOCOL_VIOLATION,
        ("server",),
    ),
    Case("NEW_TOKEN without token", v(FrameType.NEW_TOKEN, 0), E.FRAME_ENCODING_ERROR, ("client",)),
    Case("STREAM cut short", v(0x0A, 0, 50) + bytes(3), E.FRAME_ENCODING_ERROR),
    Case("STREAM beyond 2^62", v(0x0E, 0, 2**62 - 1, 1) + b"x", E.FRAME_ENCODING_ERROR),
    Case(
        "STREAM beyond stream limit", v(0x0E, 0, 2**40, 1) + b"x", E.FLOW_CONTROL_ERROR, ("server",)
    ),
    Case(
        "STREAM beyond stream limit", v(0x0E, 1, 2**40, 1) + b"x", E.FLOW_CONTROL_ERROR, ("client",)
    ),
    Case(
        "STREAM with too high an ID", v(0x0A, 40_000, 1) + b"x", E.STREAM_LIMIT_ERROR, ("server",)
    ),
    Case(
        "STREAM with too high an ID", v(0x0A, 40_001, 1) + b"x", E.STREAM_LIMIT_ERROR, ("client",)
    ),
    Case("STREAM on our unused stream", v(0x0A, 401, 1) + b"x", E.STREAM_STATE_ERROR, ("server",)),
    Case("STREAM on our unused stream", v(0x0A, 400, 1) + b"x", E.STREAM_STATE_ERROR, ("client",)),
    Case("STREAM on our one-way stream", v(0x0A, 3, 1) + b"x", E.STREAM_STATE_ERROR, ("server",)),
    Case("STREAM on our one-way stream", v(0x0A, 2, 1) + b"x", E.STREAM_STATE_ERROR, ("client",)),
    Case(
        "STREAM beyond its final size",
        v(0x0F, 0, 0, 1) + b"x" + v(0x0E, 0, 1, 1) + b"x",
        E.FINAL_SIZE_ERROR,
        ("server",),
    ),
    Case(
        "STREAM with another final size",
        v(0x0F, 0, 5, 0) + v(0x0F, 0, 6, 0),
        E.FINAL_SIZE_ERROR,
        ("server",),
    ),
    Case("MAX_DATA cut short", bytes([FrameType.MAX_DATA]), E.FRAME_ENCODING_ERROR),
    Case(
        "MAX_STREAM_DATA on a stream we only receive",
        v(FrameType.MAX_STREAM_DATA, 2, 9),
        E.STREAM_STATE_ERROR,
        ("server",),
    ),
    Case(
        "MAX_STREAM_DATA on an unused stream of ours",
        v(FrameType.MAX_STREAM_DATA, 401, 9),
        E.STREAM_STATE_ERROR,
        ("server",),
    ),
    Case("MAX_STREAMS too high", v(FrameType.MAX_STREAMS_BIDI, 2**60 + 1), E.FRAME_ENCODING_ERROR),
    Case("MAX_STREAMS too high", v(FrameType.MAX_STREAMS_UNI, 2**60 + 1), E.FRAME_ENCODING_ERROR),
    Case(
        "STREAMS_BLOCKED too high",
        v(FrameType.STREAMS_BLOCKED_BIDI, 2**60 + 1),
        E.FRAME_ENCODING_ERROR,
    ),
    Case(
        "STREAM_DATA_BLOCKED on a stream we only send",
        v(FrameType.STREAM_DATA_BLOCKED, 3, 9),
        E.STREAM_STATE_ERROR,
        ("server",),
    ),
    Case(
        "NEW_CONNECTION_ID without an ID",
        v(FrameType.NEW_CONNECTION_ID, 9, 0, 0) + _token(),
        E.FRAME_ENCODING_ERROR,
    ),
    Case(
        "NEW_CONNECTION_ID with a long ID",
        v(FrameType.NEW_CONNECTION_ID, 9, 0) + b"\x15" + bytes(21) + _token(),
        E.FRAME_ENCODING_ERROR,
    ),
    Case(
        "NEW_CONNECTION_ID that retires itself",
        v(FrameType.NEW_CONNECTION_ID, 9, 10) + b"\x08" + b"newcidab" + _token(),
        E.FRAME_ENCODING_ERROR,
    ),
    Case(
        "NEW_CONNECTION_ID with two IDs for one number",
        v(FrameType.NEW_CONNECTION_ID, 9, 4)
        + b"\x08"
        + b"newcidab"
        + _token()
        + v(FrameType.NEW_CONNECTION_ID, 9, 0)
        + b"\x08"
        + b"newcidcd"
        + _token(),
        E.PROTOCOL_VIOLATION,
    ),
    Case(
        "NEW_CONNECTION_ID with two numbers for one ID",
        v(FrameType.NEW_CONNECTION_ID, 9, 4)
        + b"\x08"
        + b"newcidab"
        + _token()
        + v(FrameType.NEW_CONNECTION_ID, 10, 0)
        + b"\x08"
        + b"newcidab"
        + _token(),
        E.PROTOCOL_VIOLATION,
    ),
    Case(
        "NEW_CONNECTION_ID beyond our limit",
        b"".join(
            v(FrameType.NEW_CONNECTION_ID, number, 0) + b"\x08" + b"newcid%02d" % number + _token()
            for number in range(20, 29)
        ),
        E.CONNECTION_ID_LIMIT_ERROR,
    ),
    Case(
        "NEW_CONNECTION_ID cut short",
        v(FrameType.NEW_CONNECTION_ID, 9, 0) + b"\x08abc",
        E.FRAME_ENCODING_ERROR,
    ),
    Case(
        "RETIRE_CONNECTION_ID of nothing",
        v(FrameType.RETIRE_CONNECTION_ID, 900),
        E.PROTOCOL_VIOLATION,
    ),
    Case(
        "PATH_CHALLENGE cut short",
        bytes([FrameType.PATH_CHALLENGE]) + bytes(7),
        E.FRAME_ENCODING_ERROR,
    ),
    Case(
        "PATH_RESPONSE cut short",
        bytes([FrameType.PATH_RESPONSE]) + bytes(7),
        E.FRAME_ENCODING_ERROR,
    ),
    Case(
        "CONNECTION_CLOSE cut short",
        v(FrameType.CONNECTION_CLOSE, 0, 0, 9) + b"x",
        E.FRAME_ENCODING_ERROR,
    ),
    Case(
        "HANDSHAKE_DONE from a client",
        v(FrameType.HANDSHAKE_DONE),
        E.PROTOCOL_VIOLATION,
        ("server",),
    ),
    Case(
        "DATAGRAM cut short",
        v(FrameType.DATAGRAM_WITH_LENGTH, 50) + bytes(9),
        E.FRAME_ENCODING_ERROR,
    ),
    Case(
        "PATH_ACK without multipath", v(FrameType.PATH_ACK, 0, 0, 0, 0, 0), E.FRAME_ENCODING_ERROR
    ),
    Case("PATH_ABANDON without multipath", v(FrameType.PATH_ABANDON, 0, 0), E.FRAME_ENCODING_ERROR),
    Case("MAX_PATH_ID without multipath", v(FrameType.MAX_PATH_ID, 9), E.FRAME_ENCODING_ERROR),
]


@pytest.mark.parametrize(
    ("role", "case"),
    [pytest.param(role, case, id=f"{role}-{case.name}") for case in CASES for role in case.roles],
)
def test_a_violation_has_its_error_code(role: str, case: Case) -> None:
    with seeded_libraries(1):
        scene = make_scene(role)
        inject(scene, case.frames)
        assert_closed_with(scene, case.code)


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("bits", [1, 2, 3])
def test_reserved_bits_are_a_violation(bits: int, role: str) -> None:
    with seeded_libraries(1):
        scene = make_scene(role)
        inject(scene, bytes([FrameType.PING]) * 10, oddities=Oddities(reserved_bits=bits))
        assert_closed_with(scene, E.PROTOCOL_VIOLATION)


HARMLESS = [
    ("PADDING", bytes(100)),
    ("PINGs", bytes([FrameType.PING]) * 100),
    ("an old ACK", v(FrameType.ACK, 0, 0, 0, 0)),
    ("the same ACK twice", v(FrameType.ACK, 0, 0, 0, 0) * 2),
    ("an ACK with a huge delay", v(FrameType.ACK, 0, 2**62 - 1, 0, 0)),
    ("an ACK with ECN counts from nowhere", v(FrameType.ACK_ECN, 0, 0, 0, 0, 2**61, 0, 2**61)),
    ("MAX_DATA that shrinks", v(FrameType.MAX_DATA, 1)),
    ("MAX_STREAMS that shrinks", v(FrameType.MAX_STREAMS_BIDI, 0)),
    ("DATA_BLOCKED", v(FrameType.DATA_BLOCKED, 5)),
    ("PATH_RESPONSE to no challenge", bytes([FrameType.PATH_RESPONSE]) + bytes(8)),
    ("many PATH_CHALLENGEs", (bytes([FrameType.PATH_CHALLENGE]) + bytes(8)) * 100),
    ("a DATAGRAM for no request", v(FrameType.DATAGRAM_WITH_LENGTH, 1, 0)),
    ("many DATAGRAMs", v(FrameType.DATAGRAM_WITH_LENGTH, 1) * 100),
    ("a CRYPTO frame that was seen before", v(FrameType.CRYPTO, 0, 0)),
]


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize(
    ("frames"), [frames for _, frames in HARMLESS], ids=[n for n, _ in HARMLESS]
)
def test_what_is_odd_but_allowed_is_survived(frames: bytes, role: str) -> None:
    with seeded_libraries(1):
        scene = make_scene(role)
        inject(scene, frames)
        assert_alive(scene)


@pytest.mark.parametrize("role", ["client", "server"])
def test_a_connection_id_may_be_announced_again(role: str) -> None:
    """RFC 9000 s19.15: a retransmission "MUST NOT be treated as a connection error"."""
    with seeded_libraries(1):
        scene = make_scene(role)
        for known in scene.quic._host_cids[1:]:
            token = known.stateless_reset_token
            announcement = v(FrameType.NEW_CONNECTION_ID, known.sequence_number, 0, 8) + known.cid
            inject(scene, (announcement + token) * 2)
        assert_alive(scene)


@pytest.mark.parametrize("role", ["client", "server"])
def test_forged_and_misdirected_packets_are_dropped(role: str) -> None:
    with seeded_libraries(1):
        scene = make_scene(role)
        ping = bytes([FrameType.PING]) * 20
        for oddities in (
            Oddities(is_damaged=True),
            Oddities(path_id=1),
            Oddities(destination_cid=b"nowhere!"),
            Oddities(packet_number=0),
        ):
            inject(scene, ping, oddities=oddities)
        assert_alive(scene)


@pytest.mark.parametrize("role", ["client", "server"])
def test_a_repeated_packet_is_handled_once(role: str) -> None:
    with seeded_libraries(1):
        scene = make_scene(role)
        datagram = scene.injector.datagram(v(FrameType.DATAGRAM_WITH_LENGTH, 20) + bytes(20))
        for _ in range(5):
            scene.simulator.inject(datagram)
        scene.simulator.run_for(1)
        path = scene.ours.connection.statistics().paths[0]
        before = path.received_packets
        scene.simulator.inject(datagram)
        scene.simulator.run_for(1)
        assert scene.ours.connection.statistics().paths[0].received_packets == before
        assert_alive(scene)


@pytest.mark.slow
@pytest.mark.parametrize("role", ["client", "server"])
def test_a_flood_of_connection_id_retirements_is_bounded(role: str) -> None:
    """Every retirement makes us issue another ID; the peer never acknowledges any of it."""
    with seeded_libraries(1):
        scene = make_scene(role)
        for number in range(2000):
            scene.simulator.inject(
                scene.injector.datagram(v(FrameType.RETIRE_CONNECTION_ID, number) + bytes(8))
            )
            scene.simulator.run_for(0.001)
            if isinstance(scene.ours.events[-1], ConnectionTerminated):
                break
        connection = scene.ours.connection
        assert len(connection._sources.control_frames) <= 1000
        assert len(connection.local_connection_ids.all_connection_ids) <= 8
