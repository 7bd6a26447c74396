"""The state of the tunnel as lines for people and as a value for programs."""

from collections.abc import Sequence

from mqvpn_gui.command.tables import Column, table_lines
from mqvpn_gui.command.words import (
    age_text,
    kill_switch_text,
    milliseconds,
    path_state_text,
    rate_text,
    size_text,
    state_text,
)
from mqvpn_gui.model.helper_state import HelperState, PathInfo
from mqvpn_helper.interface.bus_interface import NO_OWNER
from mqvpn_helper.interface.bus_names import TunnelState

_PATH_COLUMNS = (
    Column(heading="interface"),
    Column(heading="kind", rank=6),
    Column(heading="role", rank=1),
    Column(heading="state"),
    Column(heading="RTT", is_number=True),
    Column(heading="jitter", rank=7, is_number=True),
    Column(heading="loss", rank=2, is_number=True),
    Column(heading="down", rank=3, is_number=True),
    Column(heading="up", rank=3, is_number=True),
    Column(heading="share", rank=4, is_number=True),
    Column(heading="this month", rank=5, is_number=True),
)

_SHOWN_NAMES = 4


def status_lines(state: HelperState, own_uid: int, now: float, width: int) -> list[str]:
    """Return the whole state.

    Args:
        state: what the helper says.
        own_uid: the user who asks.
        now: seconds since 1970.
        width: characters in a line.
    """
    head = state_text(state)
    if state.state is not TunnelState.OFF and state.since:
        head += f" for {age_text(now - state.since)}"
    lines = [head]
    if state.error[0]:
        lines.append(f"  error        {state.error[1] or state.error[0]}")
    facts = [
        ("profile", state.profile),
        ("server", state.server),
        ("device", state.tun_name),
        ("addresses", ", ".join(state.addresses)),
        ("beside it", _listed((*state.split.exclude, *map(_programs, state.split.cgroups)))),
        ("only in it", _listed(state.split.include)),
        ("names", f"resolved by {state.dns_method}" if state.dns_method else ""),
    ]
    lines += [f"  {name:<11}  {value}" for name, value in facts if value]
    lines.append(f"  kill switch  {kill_switch_text(state.kill_switch)}")
    if state.portal_interface and state.portal_until > now:
        rest = age_text(state.portal_until - now)
        lines.append(f"  exception    {state.portal_interface} is past the kill switch for {rest}")
    if state.owner not in (NO_OWNER, own_uid):
        lines.append(f"  the tunnel belongs to user {state.owner}; its details are private")
    if state.paths:
        lines += ["", *path_lines(state.paths, width)]
    return [line[:width] for line in lines]


def _programs(group: str) -> str:
    return f"programs of {group}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def path_lines(paths: Sequence[PathInfo], width: int) -> list[str]:
    """Return a table of paths."""
    return table_lines(_PATH_COLUMNS, [_path_row(path) for path in paths], width)


def _path_row(path: PathInfo) -> tuple[str, ...]:
    used = size_text(path.used_bytes)
    if path.cap_bytes:
        used += f" of {size_text(path.cap_bytes)}"
    return (
        path.interface,
        path.kind.value + (", metered" if path.is_metered else ""),
        path.role.value,
        path_state_text(path),
        milliseconds(path.rtt_ms) if path.rtt_ms else "",
        milliseconds(path.jitter_ms) if path.rtt_ms else "",
        f"{path.loss:.1%}",
        rate_text(path.rx_bps),
        rate_text(path.tx_bps),
        f"{path.share:.0%}",
        used,
    )


def status_value(state: HelperState) -> dict[str, object]:
    """Return the state for JSON; keys are only ever added."""
    name, text = state.error
    return {
        "state": state.state.value,
        "since": state.since or None,
        "profile": state.profile,
        "server": state.server,
        "owner": None if state.owner == NO_OWNER else state.owner,
        "tun_name": state.tun_name,
        "addresses": list(state.addresses),
        "split_exclude": list(state.split.exclude),
        "split_include": list(state.split.include),
        "split_cgroups": list(state.split.cgroups),
        "dns_method": state.dns_method,
        "kill_switch": state.kill_switch.value,
        "portal": {"interface": state.portal_interface, "until": state.portal_until}
        if state.portal_interface
        else None,
        "paths": paths_value(state.paths),
        "error": {"name": name, "text": text} if name else None,
        "helper": {"version": state.version, "api_level": state.api_level},
    }


def paths_value(paths: Sequence[PathInfo]) -> list[dict[str, object]]:
    """Return paths for JSON."""
    return [
        {
            "interface": path.interface,
            "kind": path.kind.value,
            "state": path.state.value,
            "role": path.role.value,
            "rtt_ms": path.rtt_ms,
            "jitter_ms": path.jitter_ms,
            "loss": path.loss,
            "rx_bps": path.rx_bps,
            "tx_bps": path.tx_bps,
            "share": path.share,
            "metered": path.is_metered,
            "mtu": path.mtu,
            "used_bytes": path.used_bytes,
            "cap_bytes": path.cap_bytes,
        }
        for path in paths
    ]
