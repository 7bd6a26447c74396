"""Whatever arrives at either end of the control socket: a value or a DecodeError."""

import json
from contextlib import suppress
from dataclasses import fields

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mqvpn_core.errors import DecodeError
from mqvpn_core.runtime.control_codec import (
    EventsReply,
    JsonValue,
    StatusReply,
    decode_reply,
    decode_request,
    encode_reply,
)
from mqvpn_core.runtime.event_values import CoreEvent, EventKind, decode_event, encode_event
from mqvpn_core.runtime.status_values import Status, decode_status_values, encode_status_values
from tests.unit.runtime.status_samples import CLIENT, SERVER

pytestmark = pytest.mark.slow

_JSON: st.SearchStrategy[JsonValue] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
_MEMBERS = [field.name for field in fields(Status)]


@given(st.binary(max_size=300) | _JSON.map(lambda value: json.dumps(value).encode()))
@example(b'{"version":1,"status":1' + b"[" * 100)
@example(b'{"version":1e400}')
def test_any_line(line: bytes) -> None:
    for decode in (decode_request, decode_reply):
        with suppress(DecodeError):
            decode(line)


@given(_JSON)
def test_any_status_survives_its_line(status: JsonValue) -> None:
    assert decode_reply(encode_reply(StatusReply(status=status))) == StatusReply(status=status)


@given(_JSON | st.dictionaries(st.sampled_from(_MEMBERS), _JSON))
def test_any_value_is_a_status_or_refused(value: JsonValue) -> None:
    with suppress(DecodeError):
        decode_status_values(value)


@given(st.sampled_from([CLIENT, SERVER]), st.sampled_from(_MEMBERS), _JSON)
def test_any_changed_member_is_read_or_refused(sample: Status, name: str, value: JsonValue) -> None:
    whole = encode_status_values(sample)
    assert isinstance(whole, dict)
    with suppress(DecodeError):
        decode_status_values({**whole, name: value})


_EVENT = CoreEvent(
    number=7,
    at=1.5,
    wall=1.7e9,
    kind=EventKind.FAILOVER,
    text="wlan0 is silent, continuing on wwan0, gap 62 ms",
    path=0,
    interface="wlan0",
    details={"gap_ms": 62.25, "to_path": 1, "reason": "it is silent"},
)


@given(st.lists(_JSON, max_size=4), st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_any_events_survive_their_line(events: list[JsonValue], missed: int, last: int) -> None:
    reply = EventsReply(events=tuple(events), missed=missed, last=last, more=False)
    assert decode_reply(encode_reply(reply)) == reply


@given(st.sampled_from(list(encode_event(_EVENT))), _JSON)
def test_any_changed_member_of_an_event_is_read_or_refused(name: str, value: JsonValue) -> None:
    whole = encode_event(_EVENT)
    assert decode_event(whole) == _EVENT
    with suppress(DecodeError):
        decode_event({**whole, name: value})
