"""DATAGRAM frames in a row are read like single ones, however their lengths are written."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.errors import RemoteProtocolError
from mqvpn_core.ids import Instant
from mqvpn_core.quic.aioquic_bridge.frame_table import FrameTable, PacketFrames
from mqvpn_core.testing.pair import Pair
from mqvpn_core.wire.code_points import TransportErrorCode

NOW = Instant(1.0)
PING = b"\x01"


@pytest.fixture(scope="module")
def table() -> Iterator[FrameTable]:
    with Pair(3) as pair:
        pair.handshake()
        yield FrameTable(pair.server.connection.engine, offers_multipath=False)


def read(table: FrameTable, payload: bytes) -> PacketFrames:
    return table.handle(payload, bytes(8), NOW)


def varint(value: int, size: int) -> bytes:
    """Encode a value in that many bytes."""
    mark = {1: 0, 2: 1, 4: 2, 8: 3}[size] << (8 * size - 2)
    return (value | mark).to_bytes(size, "big")


@st.composite
def frames(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A frame with a length, and what is in it."""
    data = bytes(draw(st.integers(0, 100)))
    sizes = (1, 2, 4, 8) if len(data) < 64 else (2, 4, 8)
    return b"\x31" + varint(len(data), draw(st.sampled_from(sizes))) + data, data


@given(st.lists(frames(), min_size=1, max_size=12), st.booleans(), st.binary(max_size=20))
def test_frames_in_a_row(
    table: FrameTable,
    some: list[tuple[bytes, bytes]],
    has_ping: bool,
    tail: bytes,
) -> None:
    payload = b"".join(frame for frame, _ in some) + PING * has_ping + b"\x30" + tail
    found = read(table, payload)
    assert found.datagrams == [*(data for _, data in some), tail]
    assert found.is_ack_eliciting
    assert not found.is_probing


@given(st.lists(frames(), max_size=4), frames(), st.integers(1, 10))
def test_a_frame_that_is_cut_short(
    table: FrameTable, some: list[tuple[bytes, bytes]], last: tuple[bytes, bytes], missing: int
) -> None:
    cut = last[0][: max(1, len(last[0]) - missing)]
    with pytest.raises(RemoteProtocolError) as caught:
        read(table, b"".join(frame for frame, _ in some) + cut)
    assert caught.value.error_code == TransportErrorCode.FRAME_ENCODING_ERROR
