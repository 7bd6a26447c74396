"""Capsules: round trips, and that the size of the pieces never matters."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.errors import DecodeError
from mqvpn_core.wire.capsules import Capsule, CapsuleLimits, CapsuleParser, encode_capsule
from tests.properties.wire.strategies import capsules, damaged

pytestmark = pytest.mark.slow

streams = st.lists(capsules, max_size=4)
hostile = st.binary(max_size=200) | damaged(
    streams.map(lambda items: b"".join(map(encode_capsule, items)))
)
LIMITS = CapsuleLimits(max_control_bytes=120, max_datagram_bytes=60)


def outcome(pieces: list[bytes], limits: CapsuleLimits) -> list[Capsule] | str:
    """Return all capsules, or the error."""
    parser = CapsuleParser(limits)
    result: list[Capsule] = []
    bound = 16 + max(limits.max_control_bytes, limits.max_datagram_bytes)
    try:
        for piece in pieces:
            result += parser.feed(piece)
            assert parser.buffered_bytes < bound
        parser.finish()
    except DecodeError as error:
        return f"{type(error).__name__}: {error}"
    return result


@given(streams)
def test_round_trip(items: list[Capsule]) -> None:
    data = b"".join(map(encode_capsule, items))
    assert outcome([data], CapsuleLimits()) == items


@given(hostile, st.lists(st.integers(0, 200), max_size=8))
def test_pieces_give_what_the_whole_gives(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    whole = outcome([data], LIMITS)
    assert outcome(pieces, LIMITS) == whole
    assert outcome([data[index : index + 1] for index in range(len(data))], LIMITS) == whole


@given(hostile)
def test_tolerance_only_ever_accepts_more(data: bytes) -> None:
    strict = outcome([data], CapsuleLimits())
    tolerant = outcome([data], CapsuleLimits(tolerate_host_bits=True))
    assert tolerant == strict or "host bits" in strict
