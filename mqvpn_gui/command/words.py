"""States, paths and events in English, for a terminal; the window has its own, translated."""

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType

from mqvpn_gui.model.event_store import EventRecord
from mqvpn_gui.model.helper_state import HelperState, KillSwitch, PathInfo, PathState, Role
from mqvpn_helper.interface.bus_names import BusEventKind, TunnelState

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_KILO = 1000.0
_KIB = 1024.0
_TENFOLD, _HUNDREDFOLD = 10, 100
_UNUSED_SHARE = 0.01

_STATES: Mapping[TunnelState, str] = MappingProxyType(
    {
        TunnelState.OFF: "off",
        TunnelState.CONNECTING: "connecting",
        TunnelState.UP: "connected",
        TunnelState.DEGRADED: "connected, but not on every path",
        TunnelState.RECONNECTING: "connection lost, trying again",
        TunnelState.BLOCKED: "no tunnel, and the kill switch lets nothing out",
        TunnelState.ERROR: "given up",
    }
)
_PATH_STATES: Mapping[PathState, str] = MappingProxyType(
    {
        PathState.VALIDATING: "connecting",
        PathState.ACTIVE: "active",
        PathState.SUSPECT: "silent",
        PathState.ABANDONING: "gone",
    }
)
_KILL_SWITCHES: Mapping[KillSwitch, str] = MappingProxyType(
    {
        KillSwitch.OFF: "off: traffic passes beside a tunnel that is down",
        KillSwitch.STANDARD: "standard: nothing passes beside a tunnel that is wanted",
        KillSwitch.ALWAYS: "always: nothing passes but through a tunnel",
    }
)
_EVENTS: Mapping[BusEventKind, str] = MappingProxyType(
    {
        BusEventKind.CONNECTED: "connected",
        BusEventKind.DISCONNECTED: "disconnected",
        BusEventKind.RECONNECTING: "connection lost, trying again",
        BusEventKind.LINK_ADDED: "{path} appeared",
        BusEventKind.LINK_REMOVED: "{path} is gone",
        BusEventKind.PATH_ADDED: "trying {path}",
        BusEventKind.PATH_UP: "{path} works",
        BusEventKind.PATH_DOWN: "{path} is silent or gone",
        BusEventKind.PATH_MOVED: "{path} has another address",
        BusEventKind.RECOVERED: "{path} works again",
        BusEventKind.FAILOVER: "{path} lost, continuing on {to}",
        BusEventKind.ROLE_CHANGED: "{path} is now {role}",
        BusEventKind.KILLSWITCH: "kill switch: {mode}",
        BusEventKind.PORTAL: "exception for logging in to the network of {path}",
        BusEventKind.DNS: "name resolution: {method}",
        BusEventKind.SPLIT: "split tunnelling changed",
        BusEventKind.AUTH_FAILED: "the server does not accept the key",
        BusEventKind.SERVER_CHANGED: "the server has another address",
        BusEventKind.CORE_DIED: "the network process ended and is started again",
        BusEventKind.SUSPENDED: "the machine goes to sleep",
        BusEventKind.RESUMED: "the machine is awake again",
    }
)


def state_text(state: HelperState) -> str:
    """The state of the tunnel."""
    return _STATES[state.state]


def kill_switch_text(mode: KillSwitch) -> str:
    """What the kill switch does."""
    return _KILL_SWITCHES[mode]


def path_state_text(path: PathInfo) -> str:
    """What a path does."""
    if path.role is Role.NEVER:
        return "off"
    if path.state is PathState.ACTIVE and path.role is Role.BACKUP and path.share < _UNUSED_SHARE:
        return "standby"
    return _PATH_STATES[path.state]


def event_text(record: EventRecord) -> str:
    """What happened, in one line."""
    text = _EVENTS.get(record.kind, "").format(
        path=record.path or "a path",
        to=record.text("to_interface") or "another path",
        role=record.text("role") or "used otherwise",
        mode=record.text("mode") or "changed",
        method=record.text("method") or "as it was before",
    )
    if not text:
        return record.text("text") or record.kind.value
    for name, form in (("gap_ms", ", gap {}"), ("silent_ms", " after {}")):
        value = record.number(name)
        text += form.format(milliseconds(value)) if value is not None else ""
    reason = record.text("reason")
    return f"{text} ({reason})" if reason else text


def milliseconds(value: float) -> str:
    """A duration that may be a part of a second or several."""
    if value >= 10 * _KILO:
        return f"{value / _KILO:.1f} s"
    return f"{value:.1f} ms" if value < _TENFOLD else f"{value:.0f} ms"


def age_text(seconds: float) -> str:
    """How long something has lasted."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def rate_text(bits_per_second: float) -> str:
    """A rate, as links are sold."""
    rate = float(bits_per_second)
    for unit in ("bit/s", "kbit/s", "Mbit/s"):
        if rate < _KILO:
            return f"{rate:.0f} {unit}" if unit == "bit/s" else f"{_three_digits(rate)} {unit}"
        rate /= _KILO
    return f"{_three_digits(rate)} Gbit/s"


def size_text(count: float) -> str:
    """An amount of data."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < _KIB:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= _KIB
    return f"{size:.1f} TiB"


def moment_text(at: float) -> str:
    """A moment with date, in the time of this machine."""
    try:
        moment = dt.datetime.fromtimestamp(at, dt.UTC).astimezone()
    except (OverflowError, ValueError, OSError):
        return "?"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}"


def _three_digits(number: float) -> str:
    if number < _TENFOLD:
        return f"{number:.2f}"
    return f"{number:.1f}" if number < _HUNDREDFOLD else f"{number:.0f}"
