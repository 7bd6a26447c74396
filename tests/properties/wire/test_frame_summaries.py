"""Whatever a peer puts into a packet has a summary."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.wire.frame_summaries import summarise_frames

pytestmark = pytest.mark.slow


@given(st.binary(max_size=200) | st.lists(st.integers(0, 0x41), max_size=80).map(bytes))
def test_any_payload_has_a_summary_that_json_can_carry(payload: bytes) -> None:
    summaries = summarise_frames(payload)
    assert bool(summaries) == bool(payload)
    json.dumps([dict(summary.values) for summary in summaries], allow_nan=False)
