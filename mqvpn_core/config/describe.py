"""Configurations as plain values for people and programs, with every secret hidden."""

import enum
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import TypeAlias

from mqvpn_core.config import quantities
from mqvpn_core.config.secret_values import HashedKey, Secret
from mqvpn_core.config.setting import Role
from mqvpn_core.config.settings import ClientConfig, QuicConfig, ServerConfig
from mqvpn_core.config.table import settings_of
from mqvpn_core.config.values import HostPort, Pin

PlainValue: TypeAlias = bool | int | float | str | list[str] | dict[str, str]
"""What a described setting looks like; JSON and TOML can both write it."""

HIDDEN = "(hidden)"
"""Stands for a secret."""

_NOT_CONFIGURED_BY_KEY = {"shared_key": "auth_key"}
_WORDS_FOR_NONE = {
    "mtu": "auto",
    "lease_file": "off",
    "control_socket": "off",
    "usage_file": "off",
}
_TEXTS_BY_LINK: Mapping[str, Callable[[int], str]] = {
    "caps": quantities.size_text,
    "rate_limits": quantities.rate_text,
}


def describe(config: ClientConfig | ServerConfig) -> dict[str, PlainValue]:
    """Return each key with its effective value."""
    role = Role.CLIENT if isinstance(config, ClientConfig) else Role.SERVER
    keys = {setting.name for setting in settings_of(role)}
    described: dict[str, PlainValue] = {}
    for name in type(config).__dataclass_fields__:
        value: object = getattr(config, name)
        if isinstance(value, QuicConfig):
            for part in QuicConfig.__dataclass_fields__:
                described[part] = _plain(part, getattr(value, part))
        else:
            described[_NOT_CONFIGURED_BY_KEY.get(name, name)] = _plain(name, value)
    return {name: value for name, value in described.items() if name in keys}


def _plain(name: str, value: object) -> PlainValue:
    match value:
        case None:
            return _WORDS_FOR_NONE.get(name, "")
        case bool() | int() | float() | str():
            return value
        case tuple() if name in {"roles", *_TEXTS_BY_LINK}:
            return {link: _text_by_link(name, setting) for link, setting in value}
        case tuple():
            return [_text(name, item) for item in value]
        case Mapping():
            return {str(user): HIDDEN for user in value}
        case _:
            return _text(name, value)


def _text_by_link(name: str, value: object) -> str:
    return _TEXTS_BY_LINK[name](value) if isinstance(value, int) else _text(name, value)


def _text(name: str, value: object) -> str:
    match value:
        case Secret() | HashedKey():
            return HIDDEN
        case enum.Enum():
            return str(value.value)
        case str() | Path() | HostPort() | Pin():
            return str(value)
        case IPv4Address() | IPv6Address() | IPv4Network() | IPv6Network():
            return str(value)
        case _:
            raise TypeError(f"{name} has a {type(value).__name__}, which nobody taught to describe")
