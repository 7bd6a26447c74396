"""The words for states, roles and kinds, each in one place and the same in every window."""

from PySide6.QtCore import QCoreApplication

from mqvpn_gui.model.helper_state import (
    HelperState,
    KillSwitch,
    LinkKind,
    PathInfo,
    PathState,
    Role,
)
from mqvpn_gui.words.quantities import (
    milliseconds,
    spoken_milliseconds,
    spoken_percent,
    spoken_rate,
)
from mqvpn_helper.interface.bus_names import TunnelState

_UNUSED_SHARE = 0.01


def _tr(text: str) -> str:
    return QCoreApplication.translate("states", text)


def tunnel_state(state: HelperState) -> str:
    """The state of the tunnel in one or two words."""
    if not state.is_present:
        return _tr("Helper not running")
    return {
        TunnelState.OFF: _tr("Off"),
        TunnelState.CONNECTING: _tr("Connecting"),
        TunnelState.UP: _tr("Connected"),
        TunnelState.DEGRADED: _tr("Connected, a path is down"),
        TunnelState.RECONNECTING: _tr("Reconnecting"),
        TunnelState.BLOCKED: _tr("Blocked by the kill switch"),
        TunnelState.ERROR: _tr("Error"),
    }[state.state]


def tooltip(state: HelperState) -> str:
    """What the tray icon says when the pointer rests on it."""
    if not state.carries_traffic:
        return _tr("mqvpn: {0}").format(tunnel_state(state))
    working = state.working_paths
    fastest = min((path.rtt_ms for path in working), default=0.0)
    return _tr("mqvpn: connected to {0}, {1} of {2} paths, {3}").format(
        state.profile or state.server, len(working), len(state.paths), milliseconds(fastest)
    )


def path_state(path: PathInfo) -> str:
    """What a path does, in one or two words."""
    if path.role is Role.NEVER:
        return _tr("Off")
    if path.state is PathState.ACTIVE:
        is_waiting = path.role is Role.BACKUP and path.share < _UNUSED_SHARE
        return _tr("Standby") if is_waiting else _tr("Active")
    return {
        PathState.VALIDATING: _tr("Connecting"),
        PathState.SUSPECT: _tr("No internet"),
        PathState.ABANDONING: _tr("No link"),
    }[path.state]


def kind(kind_of_link: LinkKind) -> str:
    """What a network interface is."""
    return {
        LinkKind.WIRED: _tr("Ethernet"),
        LinkKind.WIRELESS: _tr("WiFi"),
        LinkKind.CELLULAR: _tr("LTE"),
        LinkKind.OTHER: _tr("Link"),
    }[kind_of_link]


def link_name(path: PathInfo) -> str:
    """An interface with what it is: ``WiFi wlan0``."""
    return f"{kind(path.kind)} {path.interface}"


def role(value: Role) -> str:
    """What a path is for."""
    return {
        Role.PRIMARY: _tr("Primary"),
        Role.SECONDARY: _tr("Secondary"),
        Role.BACKUP: _tr("Backup"),
        Role.NEVER: _tr("Never"),
    }[value]


def kill_switch(mode: KillSwitch) -> str:
    """The kill switch."""
    return {
        KillSwitch.OFF: _tr("Off"),
        KillSwitch.STANDARD: _tr("Standard"),
        KillSwitch.ALWAYS: _tr("Always"),
    }[mode]


def spoken_path(path: PathInfo) -> str:
    """A path in one sentence, for a screen reader."""
    if path.state is not PathState.ACTIVE:
        return _tr("Path {0}: {1}").format(link_name(path), path_state(path))
    return _tr("Path {0}: {1}, {2}, {3} loss, {4} down, {5} up, {6} of the traffic").format(
        link_name(path),
        path_state(path),
        spoken_milliseconds(path.rtt_ms),
        spoken_percent(path.loss),
        spoken_rate(path.rx_bps),
        spoken_rate(path.tx_bps),
        spoken_percent(path.share),
    )
