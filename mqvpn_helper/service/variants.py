"""Plain values out of D-Bus variants and back."""

from collections.abc import Mapping
from typing import TypeAlias

from mqvpn_helper.interface.bus_interface import PATH_FIELDS
from mqvpn_helper.interface.control_messages import DetailValue, PathReport
from mqvpn_helper.interface.core_coding import path_members

Variant: TypeAlias = tuple[str, object]
"""Signature and value."""
VariantMap: TypeAlias = dict[str, Variant]
"""What jeepney makes of ``a{sv}``."""

_PLAIN = frozenset("bynqiuxtds") | {"as", "a{ss}", "a{st}", "a{su}", "a{sx}", "a{si}"}
_LARGEST = {"u": (1 << 32) - 1, "t": (1 << 64) - 1, "x": (1 << 63) - 1}


class VariantError(ValueError):
    """A variant has a type that no setting has."""


def plain_members(members: object) -> dict[str, object]:
    """Return the values of an ``a{sv}`` without their signatures.

    Descriptors and nested variants are refused: nothing that is read this way may have them.

    Raises:
        VariantError: a value has such a type.
    """
    plain: dict[str, object] = {}
    for name, value in _items(members):
        signature, inner = value
        if signature not in _PLAIN:
            raise VariantError(f"{name[:40]!r} has the type {str(signature)[:20]!r}")
        plain[name] = inner
    return plain


def variants_of(detail: Mapping[str, DetailValue]) -> VariantMap:
    """Return details of an event as ``a{sv}``."""
    return {name: _variant(value) for name, value in detail.items()}


def path_variants(path: PathReport) -> VariantMap:
    """Return one path as ``a{sv}``, with the types of `PATH_FIELDS`."""
    values = path_members(path)
    return {
        name: (signature, _fitting(values[name], signature))
        for name, signature in PATH_FIELDS.items()
    }


def _items(members: object) -> list[tuple[str, tuple[object, object]]]:
    assert isinstance(members, dict)  # the signature of the call was a{sv}
    return list(members.items())


def _variant(value: DetailValue) -> Variant:
    match value:
        case bool():
            return "b", value
        case int():
            return "x", max(min(value, _LARGEST["x"]), -_LARGEST["x"])
        case float():
            return "d", value
        case str():
            return "s", value


def _fitting(value: object, signature: str) -> object:
    if signature in ("u", "t"):
        assert isinstance(value, int)
        return max(min(value, _LARGEST[signature]), 0)
    return value
