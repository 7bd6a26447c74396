"""Events in sentences: the event log, the notification, the card and the tray say the same."""

from collections.abc import Callable

from PySide6.QtCore import QCoreApplication

from mqvpn_gui.model.event_store import EventGroup, EventRecord
from mqvpn_gui.words.quantities import milliseconds, short_moment, unbroken
from mqvpn_helper.interface.bus_names import BusEventKind


def _tr(text: str) -> str:
    return QCoreApplication.translate("events", text)


def title(record: EventRecord) -> str:
    """What kind of event it is, in one or two words."""
    return {
        BusEventKind.CONNECTED: _tr("Connected"),
        BusEventKind.DISCONNECTED: _tr("Disconnected"),
        BusEventKind.RECONNECTING: _tr("Reconnecting"),
        BusEventKind.LINK_ADDED: _tr("Link added"),
        BusEventKind.LINK_REMOVED: _tr("Link removed"),
        BusEventKind.PATH_ADDED: _tr("Path opened"),
        BusEventKind.PATH_UP: _tr("Path works"),
        BusEventKind.PATH_DOWN: _tr("Path lost"),
        BusEventKind.PATH_MOVED: _tr("Path moved"),
        BusEventKind.RECOVERED: _tr("Path recovered"),
        BusEventKind.FAILOVER: _tr("Failover"),
        BusEventKind.ROLE_CHANGED: _tr("Role changed"),
        BusEventKind.KILLSWITCH: _tr("Kill switch"),
        BusEventKind.PORTAL: _tr("Network login"),
        BusEventKind.DNS: _tr("DNS"),
        BusEventKind.SPLIT: _tr("Split tunnelling"),
        BusEventKind.AUTH_FAILED: _tr("Not accepted"),
        BusEventKind.SERVER_CHANGED: _tr("Server changed"),
        BusEventKind.CORE_DIED: _tr("Restarted"),
        BusEventKind.SUSPENDED: _tr("Sleep"),
        BusEventKind.RESUMED: _tr("Awake"),
        BusEventKind.OTHER: _tr("Note"),
    }[record.kind]


def sentence(record: EventRecord, name_of: Callable[[str], str]) -> str:
    """The whole story of an event in one line.

    Args:
        record: the event.
        name_of: turns an interface into what the user calls it, such as ``WiFi wlan0``.
    """
    lost = name_of(record.path) if record.path else ""
    parts = {
        BusEventKind.FAILOVER: lambda: _failover(record, lost, name_of),
        BusEventKind.PATH_DOWN: lambda: _tr("{0} lost").format(lost) + _reason(record),
        BusEventKind.PATH_UP: lambda: _tr("{0} works").format(lost),
        BusEventKind.PATH_ADDED: lambda: _tr("trying {0}").format(lost),
        BusEventKind.PATH_MOVED: lambda: _tr("{0} has a new address").format(lost),
        BusEventKind.RECOVERED: lambda: _recovered(record, lost),
        BusEventKind.LINK_ADDED: lambda: _tr("{0} appeared").format(lost),
        BusEventKind.LINK_REMOVED: lambda: _tr("{0} is gone").format(lost),
        BusEventKind.ROLE_CHANGED: lambda: _tr("{0} is now {1}").format(lost, _role(record)),
        BusEventKind.CONNECTED: lambda: (
            _tr("connected to {0}").format(record.text("server") or _tr("the server"))
            + _gap(record)
        ),
        BusEventKind.DISCONNECTED: lambda: _tr("disconnected") + _reason(record),
        BusEventKind.RECONNECTING: lambda: _tr("connection lost, trying again") + _reason(record),
        BusEventKind.KILLSWITCH: lambda: _tr("kill switch: {0}").format(record.text("mode")),
        BusEventKind.DNS: lambda: _tr("name resolution: {0}").format(record.text("method")),
        BusEventKind.AUTH_FAILED: lambda: _tr("the server does not accept the key"),
        BusEventKind.CORE_DIED: lambda: _tr("the network process ended and was started again"),
        BusEventKind.SUSPENDED: lambda: _tr("the machine goes to sleep"),
        BusEventKind.RESUMED: lambda: _tr("the machine is awake, paths are checked"),
    }
    tell = parts.get(record.kind)
    return tell() if tell is not None else record.text("text") or title(record)


def failover_of(record: EventRecord, interface: str, name_of: Callable[[str], str]) -> str:
    """A failover as one of its two links tells it.

    Args:
        record: the failover.
        interface: the link that was lost, or the one that traffic went on over.
        name_of: turns an interface into what the user calls it.
    """
    if interface == record.path:
        to = record.text("to_interface")
        text = _tr("Lost, traffic went on over {0}").format(
            name_of(to) if to else _tr("another path")
        )
    else:
        text = _tr("Took over from {0}").format(name_of(record.path))
    return f"{text}{_gap(record)} {unbroken(f'({short_moment(record.at)})')}"


def group(value: EventGroup) -> str:
    """A group of events, as the filter names it."""
    return {
        EventGroup.ALL: _tr("All events"),
        EventGroup.FAILOVER: _tr("Failover"),
        EventGroup.CONNECTION: _tr("Connection"),
        EventGroup.LINKS: _tr("Links"),
        EventGroup.PROTECTION: _tr("Protection"),
    }[value]


def _role(record: EventRecord) -> str:
    role = record.text("role")
    return {
        "primary": _tr("primary"),
        "secondary": _tr("secondary"),
        "backup": _tr("backup"),
        "never": _tr("not used"),
    }.get(role, role)


def _failover(record: EventRecord, lost: str, name_of: Callable[[str], str]) -> str:
    to = record.text("to_interface")
    text = _tr("{0} lost, continuing on {1}").format(
        lost, name_of(to) if to else _tr("another path")
    )
    return text + _gap(record)


def _gap(record: EventRecord) -> str:
    gap = record.number("gap_ms")
    return "" if gap is None else _tr(", gap {0}").format(milliseconds(gap))


def _recovered(record: EventRecord, lost: str) -> str:
    silent = record.number("silent_ms")
    text = _tr("{0} works again").format(lost)
    return text if silent is None else text + _tr(" after {0}").format(milliseconds(silent))


def _reason(record: EventRecord) -> str:
    reason = record.text("reason")
    return f" ({reason})" if reason else ""
