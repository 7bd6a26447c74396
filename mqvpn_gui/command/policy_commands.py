"""``mqvpn path set``, ``killswitch``, ``portal``, ``dns`` and ``split``: changes while it runs."""

import argparse

from mqvpn_gui.command.context import Context
from mqvpn_gui.command.exit_codes import ExitCode
from mqvpn_gui.command.parsing import UsageError
from mqvpn_gui.command.words import age_text, kill_switch_text
from mqvpn_gui.model.helper_state import OFFLINE, KillSwitch, merged
from mqvpn_gui.user.quantities import parse_rate, parse_size
from mqvpn_helper.interface.bus_interface import (
    ALLOW_PORTAL,
    SET_DNS,
    SET_KILL_SWITCH,
    SET_PATH_POLICY,
    SET_SPLIT,
)
from mqvpn_helper.interface.bus_names import MAX_PORTAL_SECONDS
from mqvpn_helper.interface.members import MemberError
from mqvpn_helper.interface.tunnel_settings import DnsSettings, PathPolicy, SplitSettings

_NONE = "none"
_MINUTE = 60


def set_path(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn path set``."""
    members: dict[str, tuple[str, object]] = {}
    if namespace.role is not None:
        members["role"] = ("s", namespace.role)
    if namespace.cap is not None:
        members["cap_bytes"] = ("t", 0 if namespace.cap == _NONE else parse_size(namespace.cap))
    if namespace.rate_limit is not None:
        rate = 0 if namespace.rate_limit == _NONE else parse_rate(namespace.rate_limit)
        members["rate_limit"] = ("t", rate)
    try:
        PathPolicy.from_mapping({name: value for name, (_, value) in members.items()})
    except MemberError as error:
        raise UsageError(str(error), "see mqvpn path set --help") from None
    with context.open_helper() as helper:
        helper.call(SET_PATH_POLICY, namespace.interface, members)
    value = {"interface": namespace.interface}
    value |= {name: setting for name, (_, setting) in members.items()}
    text = f"{namespace.interface}: changed until the tunnel ends"
    context.tell(text, value, as_json=namespace.json)
    return ExitCode.OK


def kill_switch(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn killswitch``."""
    with context.open_helper() as helper:
        if namespace.mode is not None:
            helper.call(SET_KILL_SWITCH, namespace.mode)
        state = merged(OFFLINE, helper.properties())
    if namespace.json:
        context.show_json({"kill_switch": state.kill_switch.value})
    else:
        context.show(kill_switch_text(state.kill_switch))
    if namespace.mode == KillSwitch.ALWAYS.value:
        context.note("it stays so after a reboot; 'mqvpn recover' always opens it")
    return ExitCode.OK


def portal(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn portal``."""
    seconds = 0 if namespace.end else _portal_seconds(namespace.minutes)
    with context.open_helper() as helper:
        helper.call(ALLOW_PORTAL, namespace.interface, seconds)
    text = "the exception is over"
    if seconds:
        text = (
            f"{namespace.interface} is past the kill switch for {age_text(seconds)}: log in to"
            f" the network now; 'mqvpn portal {namespace.interface} --end' closes it again"
        )
    value = {"interface": namespace.interface, "seconds": seconds}
    context.tell(text, value, as_json=namespace.json)
    return ExitCode.OK


def _portal_seconds(text: str) -> int:
    longest = MAX_PORTAL_SECONDS // _MINUTE
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= longest):
        raise UsageError(f"--minutes takes 1 to {longest}")
    return int(text) * _MINUTE


def set_dns(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn dns``."""
    servers: list[str] = [] if namespace.servers == [_NONE] else namespace.servers
    try:
        DnsSettings.from_mapping({"dns": servers})
    except MemberError as error:
        raise UsageError(str(error), "see mqvpn dns --help") from None
    with context.open_helper() as helper:
        helper.call(SET_DNS, {"dns": ("as", servers)})
        state = merged(OFFLINE, helper.properties())
    method = f" by {state.dns_method}" if state.dns_method else ""
    text = f"names are resolved{method} by: {', '.join(servers) or 'the usual servers'}"
    value = {"dns": servers, "dns_method": state.dns_method}
    context.tell(text, value, as_json=namespace.json)
    return ExitCode.OK


def set_split(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn split``."""
    members: dict[str, tuple[str, object]] = {
        "split_exclude": ("as", namespace.exclude or []),
        "split_include": ("as", namespace.include or []),
        "split_cgroups": ("as", namespace.cgroup or []),
        "allow_lan": ("b", namespace.allow_lan),
    }
    values = {name: value for name, (_, value) in members.items()}
    try:
        SplitSettings.from_mapping(values)
    except MemberError as error:
        raise UsageError(str(error), "see mqvpn split --help") from None
    with context.open_helper() as helper:
        helper.call(SET_SPLIT, members)
    context.tell("changed until the tunnel ends", values, as_json=namespace.json)
    return ExitCode.OK
