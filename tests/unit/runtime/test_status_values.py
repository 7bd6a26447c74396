"""The status survives JSON, and nothing else passes for one."""

import json
from typing import cast

import pytest

from mqvpn_core.errors import DecodeError
from mqvpn_core.runtime.control_codec import JsonValue
from mqvpn_core.runtime.status_values import Status, decode_status_values, encode_status_values
from tests.unit.runtime.status_samples import CLIENT, SERVER


def as_json(status: Status) -> dict[str, JsonValue]:
    return cast("dict[str, JsonValue]", json.loads(json.dumps(encode_status_values(status))))


@pytest.mark.parametrize("status", [CLIENT, SERVER])
def test_status_survives_json(status: Status) -> None:
    assert decode_status_values(as_json(status)) == status


def test_unknown_members_are_ignored() -> None:
    assert decode_status_values({**as_json(CLIENT), "new": [1, 2]}) == CLIENT


@pytest.mark.parametrize("name", list(as_json(CLIENT)))
def test_missing_member_is_named(name: str) -> None:
    members = as_json(CLIENT)
    del members[name]
    with pytest.raises(DecodeError, match=f"{name} is missing"):
        decode_status_values(members)


@pytest.mark.parametrize("name", list(as_json(CLIENT)))
def test_member_of_another_type_is_refused(name: str) -> None:
    values: list[JsonValue] = [None, True, [5], {"a": "b"}, {"a": None}]
    for wrong in values:
        with pytest.raises(DecodeError):
            decode_status_values({**as_json(CLIENT), name: wrong})


@pytest.mark.parametrize("member", ["paths", "clients"])
def test_row_of_another_shape_is_refused(member: str) -> None:
    rows: list[JsonValue] = [[], {}, "x", {"id": 0}]
    for row in rows:
        with pytest.raises(DecodeError):
            decode_status_values({**as_json(SERVER), member: [row]})


@pytest.mark.parametrize("name", ["pid", "mtu", "seconds_in_state"])
def test_absurd_number_is_refused(name: str) -> None:
    with pytest.raises(DecodeError, match="too large"):
        decode_status_values({**as_json(CLIENT), name: 10**400})


@pytest.mark.parametrize("value", [None, [], "x", 5])
def test_what_is_no_object_is_refused(value: JsonValue) -> None:
    with pytest.raises(DecodeError, match="object"):
        decode_status_values(value)
