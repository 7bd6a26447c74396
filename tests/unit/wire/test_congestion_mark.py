import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.wire.ip_packets import with_congestion_mark

IPV4 = bytes.fromhex("4502003c1c4640004006b1e4ac100a63ac100a0c") + b"payload"
"""ECT(0), with a checksum that fits."""
IPV6 = bytes.fromhex("602abcde00081140") + bytes(range(32)) + b"12345678"
"""Not-ECT is 60 0a..: this one has ECT(0) in the second byte."""


def words_sum(header: bytes) -> int:
    """Sum of the ones' complement; 0xffff for a header whose checksum fits."""
    total = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, len(header), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def with_checksum(header: bytes) -> bytes:
    blank = header[:10] + b"\0\0" + header[12:]
    return header[:10] + (0xFFFF - words_sum(blank)).to_bytes(2, "big") + header[12:]


@pytest.mark.parametrize("ecn", [1, 2, 3])
def test_ipv4_keeps_a_checksum_that_fits(ecn: int) -> None:
    header = with_checksum(IPV4[:1] + bytes([0xB8 | ecn]) + IPV4[2:20])
    marked = with_congestion_mark(header + b"payload")
    assert marked is not None
    assert marked[1] == 0xB8 | 3
    assert words_sum(marked[:20]) == 0xFFFF
    assert (marked[:1], marked[2:10], marked[12:]) == (
        header[:1],
        header[2:10],
        header[12:] + b"payload",
    )


def test_ipv6_has_it_in_its_traffic_class() -> None:
    marked = with_congestion_mark(IPV6)
    assert marked == IPV6[:1] + bytes([IPV6[1] | 0x30]) + IPV6[2:]


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x45\x02",
        IPV4[:1] + b"\x00" + IPV4[2:],
        IPV6[:1] + b"\x0a" + IPV6[2:],
        b"\x52" + IPV4[1:],
    ],
)
def test_what_cannot_be_marked(packet: bytes) -> None:
    assert with_congestion_mark(packet) is None


@given(header=st.binary(min_size=19, max_size=19), ecn=st.integers(1, 2))
def test_any_ipv4_header_keeps_its_checksum(header: bytes, ecn: int) -> None:
    fitting = with_checksum(b"\x45" + bytes([header[0] & 0xFC | ecn]) + header[1:])
    marked = with_congestion_mark(fitting)
    assert marked is not None
    assert words_sum(marked) == 0xFFFF


@given(packet=st.binary(max_size=80))
def test_any_bytes_keep_their_length(packet: bytes) -> None:
    marked = with_congestion_mark(packet)
    assert marked is None or len(marked) == len(packet)
