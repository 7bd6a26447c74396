"""Values to JSON and back by the types of their fields; what does not fit is a DecodeError."""

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.errors import DecodeError
from mqvpn_core.ids import IfIndex, SocketAddress
from mqvpn_core.runtime.control_codec import JsonValue
from mqvpn_core.runtime.typed_json import from_json, to_json
from mqvpn_helper.interface.host_plan import IPAddress, IPInterface


class Colour(enum.Enum):
    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    number: IfIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything:
    flag: bool
    count: int
    seconds: float
    text: str
    blob: bytes
    colour: Colour
    path: Path | None
    network: IPv4Network | IPv6Network | None
    interfaces: tuple[IPInterface, ...]
    sockets: tuple[tuple[int, SocketAddress], ...]
    users: frozenset[str | None]
    table: Mapping[str, IPAddress]
    inner: Inner


EXAMPLE = Everything(
    flag=True,
    count=3,
    seconds=2.0,
    text="ü",
    blob=b"\x00\xff",
    colour=Colour.RED,
    path=Path("/tmp/x"),  # noqa: S108 - nobody opens it
    network=ip_network("fd00::/64"),
    interfaces=(ip_interface("10.0.0.1/24"), ip_interface("fd00::1/64")),
    sockets=((7, SocketAddress("::", 443)),),
    users=frozenset({None, "alice"}),
    table={"a": ip_address("10.0.0.2")},
    inner=Inner(number=IfIndex(9)),
)


def through_text(value: JsonValue) -> JsonValue:
    return cast("JsonValue", json.loads(json.dumps(value)))


def test_a_value_comes_back_as_it_was() -> None:
    assert from_json(Everything, through_text(to_json(EXAMPLE))) == EXAMPLE


def test_what_may_be_missing_comes_back_missing() -> None:
    members = to_json(EXAMPLE)
    assert isinstance(members, dict)
    back = from_json(Everything, {**members, "path": None, "network": None})
    assert (back.path, back.network) == (None, None)


def test_a_whole_number_is_a_number_of_seconds_too() -> None:
    members = to_json(EXAMPLE)
    assert isinstance(members, dict)
    assert from_json(Everything, {**members, "seconds": 2}) == EXAMPLE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flag", 1),
        ("count", True),
        ("count", 1.0),
        ("count", None),
        ("seconds", "2"),
        ("seconds", False),
        ("text", None),
        ("blob", "0"),
        ("blob", 0),
        ("colour", "blue"),
        ("colour", ["red"]),
        ("path", 3),
        ("network", "10.0.0.1/8"),
        ("network", 1),
        ("interfaces", "10.0.0.1/24"),
        ("interfaces", ["10.0.0.1/33"]),
        ("sockets", [[7]]),
        ("sockets", [[7, ["::"]]]),
        ("sockets", [[7, {"host": "::", "port": 443}]]),
        ("users", {"alice": True}),
        ("users", [3]),
        ("table", ["10.0.0.2"]),
        ("table", {"a": "10.0.0"}),
        ("inner", {}),
        ("inner", {"number": 9, "more": 1}),
        ("inner", [9]),
    ],
)
def test_a_member_of_another_type_is_refused(name: str, value: JsonValue) -> None:
    members = to_json(EXAMPLE)
    assert isinstance(members, dict)
    with pytest.raises(DecodeError, match=f"^{name}: "):
        from_json(Everything, {**members, name: value})


def test_a_member_that_is_missing_or_unknown_is_refused() -> None:
    members = to_json(EXAMPLE)
    assert isinstance(members, dict)
    with pytest.raises(DecodeError, match="members of Everything"):
        from_json(Everything, {**members, "more": 1})
    del members["flag"]
    with pytest.raises(DecodeError, match="members of Everything"):
        from_json(Everything, members)


@pytest.mark.parametrize("value", [object(), {1: "by number"}, [1]])
def test_what_nobody_taught_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="no form in JSON"):
        to_json(value)


JSON_VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.sampled_from(sorted(Everything.__dataclass_fields__)), JSON_VALUES)
def test_any_member_is_read_or_refused(name: str, value: JsonValue) -> None:
    members = to_json(EXAMPLE)
    assert isinstance(members, dict)
    try:
        back = from_json(Everything, {**members, name: value})
    except DecodeError:
        return
    assert from_json(Everything, to_json(back)) == back or value != value  # noqa: PLR0124 - NaN
