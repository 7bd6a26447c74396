"""Turns events into bubbles, as the user wants them, and takes back those that are not true."""

from collections.abc import Callable

from PySide6.QtCore import QObject

from mqvpn_gui.bus.notifications import Notification, Notifications
from mqvpn_gui.model.event_store import EventRecord
from mqvpn_gui.model.helper_state import HelperState
from mqvpn_gui.model.preferences import Preferences
from mqvpn_gui.model.worth_telling import NoticeClass, is_urgent, notice_class
from mqvpn_gui.words import events, states
from mqvpn_gui.words.messages import told_failure
from mqvpn_helper.interface.bus_names import BusEventKind, TunnelState

_CONNECTION = "connection"
_BLOCKED = "blocked"


class Notices(QObject):
    """Decides with the user's preferences what becomes a bubble.

    C: `tell`, `tell_state`.
    """

    def __init__(
        self,
        notifications: Notifications,
        preferences: Callable[[], Preferences],
        name_of: Callable[[str], str],
    ) -> None:
        """Stand ready.

        Args:
            notifications: shows them.
            preferences: returns what the user wants now.
            name_of: turns an interface into what the user calls it.
        """
        super().__init__(notifications)
        self._notifications = notifications
        self._preferences = preferences
        self._name_of = name_of

    def tell(self, record: EventRecord) -> None:
        """Show an event as a bubble, where it is worth one."""
        if record.kind is BusEventKind.CONNECTED:
            self._notifications.take_back(_CONNECTION)
        kind = notice_class(record)
        if kind is None or not self._is_wanted(kind):
            return
        text = events.sentence(record, self._name_of)
        self._notifications.show(
            Notification(
                subject=kind.value,
                title=events.title(record),
                text=text[:1].upper() + text[1:],
                is_urgent=is_urgent(record),
                actions={"open": self.tr("Open mqvpn")},
            )
        )

    def tell_state(self, before: HelperState, state: HelperState) -> None:
        """Show that nothing leaves the machine any more, which no event tells."""
        is_blocked = state.state is TunnelState.BLOCKED
        if not is_blocked:
            if before.state is TunnelState.BLOCKED:
                self._notifications.take_back(_BLOCKED)
        elif before.is_wanted and self._is_wanted(NoticeClass.PROTECTION):
            text = self.tr("The kill switch lets nothing out until the tunnel is up again.")
            self._notifications.show(
                Notification(
                    subject=_BLOCKED,
                    title=states.tunnel_state(state),
                    text=f"{told_failure(*state.error)} {text}" if state.error[1] else text,
                    is_urgent=True,
                    actions={"open": self.tr("Open mqvpn")},
                )
            )

    def _is_wanted(self, kind: NoticeClass) -> bool:
        wanted = self._preferences()
        return {
            NoticeClass.CONNECTION: wanted.notifies_connection,
            NoticeClass.FAILOVER: wanted.notifies_failover,
            NoticeClass.PROTECTION: wanted.notifies_protection,
            NoticeClass.LINKS: wanted.notifies_links,
        }[kind]
