"""Frozen values to JSON and back, by the types of their fields.

For values that are settings through and through, where a codec by hand would repeat every field.
What it knows: dataclasses and named tuples, enums, addresses, networks and paths as texts, bytes as
hex, tuples, sets, mappings by name, alternatives (the first that fits). Nothing is believed: a
member too many or too few, or of another type, is a `DecodeError`.
"""

import enum
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import TypeVar, Union, cast, get_args, get_origin, get_type_hints

from mqvpn_core.errors import DecodeError
from mqvpn_core.runtime.control_codec import JsonValue

_T = TypeVar("_T")

_AS_TEXT = (
    *(IPv4Address, IPv4Interface, IPv4Network),
    *(IPv6Address, IPv6Interface, IPv6Network),
    Path,
)
_READ_TEXT: Mapping[object, Callable[[str], object]] = {
    **{kind: kind for kind in _AS_TEXT},
    bytes: bytes.fromhex,
}


def to_json(value: object) -> JsonValue:
    """Return a value as JSON.

    Raises:
        TypeError: it has a part of a type that nobody taught to this module.
    """
    form: JsonValue
    match value:
        case enum.Enum():
            form = to_json(value.value)
        case None | bool() | int() | float() | str():
            form = value
        case bytes():
            form = value.hex()
        case Mapping():
            form = {_name(name): to_json(each) for name, each in value.items()}
        case tuple() | frozenset():
            form = [to_json(each) for each in value]
        case _ if isinstance(value, _AS_TEXT):
            form = str(value)
        case _ if is_dataclass(value):
            form = {each.name: to_json(getattr(value, each.name)) for each in fields(value)}
        case _:
            raise TypeError(f"a {type(value).__name__} has no form in JSON")
    return form


def from_json(kind: type[_T], value: JsonValue) -> _T:
    """Return the value of a type that `to_json` wrote.

    Raises:
        DecodeError: it is no such value.
    """
    return cast("_T", _read(kind, value))


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError("a mapping by something else than names has no form in JSON")
    return name


def _read(kind: object, value: JsonValue) -> object:
    origin: object = get_origin(kind)
    if origin in {Union, UnionType}:
        return _read_first_that_fits(get_args(kind), value)
    if origin is not None:
        return _read_many(origin, get_args(kind), value)
    if isinstance(kind, type):
        return _read_class(kind, value)
    # A NewType is what it stands for.
    return _read(getattr(kind, "__supertype__", NoneType), value)


def _read_class(kind: type, value: JsonValue) -> object:
    if is_dataclass(kind):
        return _read_dataclass(kind, value)
    if issubclass(kind, tuple):
        types = _types_of(kind)
        parts = _read_tuple(tuple(types.values()), value)
        return _make(kind, dict(zip(types, parts, strict=True)))
    if issubclass(kind, enum.Enum) or kind in _READ_TEXT:
        return _read_named(kind, value)
    return _read_plain(kind, value)


def _read_plain(kind: type, value: JsonValue) -> object:
    if kind is float and type(value) is int:
        return float(value)
    # The exact type: true and false are no numbers here.
    if kind in {bool, int, float, str, NoneType} and type(value) is kind:
        return value
    raise DecodeError(f"expected {kind.__name__}")


def _read_named(kind: type, value: JsonValue) -> object:
    try:
        if issubclass(kind, enum.Enum):
            return kind(value)
        if isinstance(value, str):
            return _READ_TEXT[kind](value)
    except ValueError:
        pass
    raise DecodeError(f"expected {kind.__name__}")


def _read_first_that_fits(kinds: tuple[object, ...], value: JsonValue) -> object:
    for kind in kinds:
        try:
            return _read(kind, value)
        except DecodeError:
            continue
    raise DecodeError("a member is of none of the types that it may have")


def _read_many(origin: object, kinds: tuple[object, ...], value: JsonValue) -> object:
    if origin is Mapping:
        if not isinstance(value, dict):
            raise DecodeError("expected an object")
        return MappingProxyType({name: _read(kinds[1], each) for name, each in value.items()})
    if origin is frozenset and isinstance(value, list):
        return frozenset(_read(kinds[0], each) for each in value)
    if origin is tuple:
        return _read_tuple(kinds, value)
    raise DecodeError("expected a list")


def _read_tuple(kinds: tuple[object, ...], value: JsonValue) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise DecodeError("expected a list")
    if kinds[-1] is Ellipsis:
        return tuple(_read(kinds[0], each) for each in value)
    if len(kinds) != len(value):
        raise DecodeError(f"expected {len(kinds)} members")
    return tuple(_read(kind, each) for kind, each in zip(kinds, value, strict=True))


def _read_dataclass(kind: type, value: JsonValue) -> object:
    types = _types_of(kind)
    if not isinstance(value, dict) or value.keys() != types.keys():
        raise DecodeError(f"expected the members of {kind.__name__}")
    parts: dict[str, object] = {}
    for name, each in value.items():
        try:
            parts[name] = _read(types[name], each)
        except DecodeError as error:
            raise DecodeError(f"{name}: {error}") from None
    return _make(kind, parts)


def _make(kind: type, parts: dict[str, object]) -> object:
    return kind(**parts)


@cache
def _types_of(kind: type) -> dict[str, object]:
    return get_type_hints(kind)
