"""Which events are worth a bubble: quiet unless something is lost that the user counts on."""

import enum
from collections.abc import Mapping
from types import MappingProxyType

from mqvpn_gui.model.event_store import EventRecord
from mqvpn_helper.interface.bus_names import BusEventKind


class NoticeClass(enum.Enum):
    """What a user switches on and off."""

    CONNECTION = "connection"
    """The connection is lost or comes back."""
    FAILOVER = "failover"
    """Traffic goes on over another path."""
    PROTECTION = "protection"
    """The kill switch blocks, or the key is refused."""
    LINKS = "links"
    """Links come and go."""


_CLASSES: Mapping[BusEventKind, NoticeClass] = MappingProxyType(
    {
        BusEventKind.RECONNECTING: NoticeClass.CONNECTION,
        BusEventKind.DISCONNECTED: NoticeClass.CONNECTION,
        BusEventKind.CORE_DIED: NoticeClass.CONNECTION,
        BusEventKind.FAILOVER: NoticeClass.FAILOVER,
        BusEventKind.KILLSWITCH: NoticeClass.PROTECTION,
        BusEventKind.AUTH_FAILED: NoticeClass.PROTECTION,
        BusEventKind.LINK_ADDED: NoticeClass.LINKS,
        BusEventKind.LINK_REMOVED: NoticeClass.LINKS,
        BusEventKind.PATH_UP: NoticeClass.LINKS,
        BusEventKind.RECOVERED: NoticeClass.LINKS,
    }
)

_URGENT = frozenset({BusEventKind.AUTH_FAILED, BusEventKind.DISCONNECTED})


def notice_class(record: EventRecord) -> NoticeClass | None:
    """The class of an event; None: never worth a bubble.

    A tunnel that the user took down is no news: such an event has no reason.
    """
    if record.kind is BusEventKind.DISCONNECTED and not record.text("reason"):
        return None
    return _CLASSES.get(record.kind)


def is_urgent(record: EventRecord) -> bool:
    """Whether the bubble stays until the user has seen it."""
    return record.kind in _URGENT
