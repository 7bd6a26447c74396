"""Tells the bus what has changed: public things to all, private ones to subscribers who may see."""

from collections.abc import Sequence

import trio
from jeepney import DBusAddress, new_signal
from jeepney.low_level import HeaderFields, Message

from mqvpn_helper.interface.bus_interface import (
    EVENT,
    PROPERTIES_CHANGED,
    SECRETS_NEEDED,
    STATS,
    Signal,
)
from mqvpn_helper.interface.bus_names import INTERFACE_NAME, OBJECT_PATH, PROPERTIES_INTERFACE
from mqvpn_helper.interface.control_messages import PathReport
from mqvpn_helper.service.bus_link import BusLink
from mqvpn_helper.service.event_store import StoredEvent
from mqvpn_helper.service.ownership import Ownership
from mqvpn_helper.service.property_board import PropertyBoard
from mqvpn_helper.service.subscriptions import Subscriptions
from mqvpn_helper.service.variants import VariantMap, path_variants, variants_of

_OURS = DBusAddress(OBJECT_PATH, interface=INTERFACE_NAME)
_PROPERTIES = DBusAddress(OBJECT_PATH, interface=PROPERTIES_INTERFACE)
_SECONDS_BETWEEN_CHANGES = 0.05


class Announcer:
    """Sends all signals. Tasks: `run`.

    C: `tell_event`, `tell_stats`, `ask_secrets`, `stop_asking`, `greet`.
    """

    def __init__(
        self,
        bus: BusLink,
        board: PropertyBoard,
        subscriptions: Subscriptions,
        ownership: Ownership,
    ) -> None:
        """Take what there is to tell, and to whom."""
        self._bus = bus
        self._board = board
        self._subscriptions = subscriptions
        self._ownership = ownership
        self._wanted_secret: str | None = None

    async def run(self) -> None:
        """Announce changes of properties, those that come together at once."""
        while True:
            await self._board.wait_changed()
            self.tell_changes()
            await trio.sleep(_SECONDS_BETWEEN_CHANGES)

    def tell_changes(self) -> None:
        """Announce what has changed since the last time."""
        public, private = self._board.take_changes()
        if public:
            self._bus.post(_changes(public))
        if private:
            for name in self._insiders():
                self._bus.post(_addressed(_changes(private), name))

    def tell_event(self, event: StoredEvent) -> None:
        """Tell subscribers of an event."""
        body = (
            event.id,
            event.time_us,
            event.kind.value,
            event.path,
            variants_of(event.detail),
        )
        for name in self._insiders():
            self._bus.post(_addressed(_signal(EVENT, body), name))

    def tell_stats(self, paths: Sequence[PathReport], time_us: int) -> None:
        """Tell the numbers of all paths to those whose turn it is."""
        due = self._subscriptions.take_due(self._ownership.may_see, trio.current_time())
        if not due:
            return
        body = (time_us, {each.interface: path_variants(each) for each in paths})
        for name in due:
            self._bus.post(_addressed(_signal(STATS, body), name))

    def ask_secrets(self, profile: str) -> None:
        """Ask subscribers for the secret of a profile, those to come as well."""
        self._wanted_secret = profile
        for name in self._insiders():
            self._bus.post(_addressed(_signal(SECRETS_NEEDED, (profile,)), name))

    def stop_asking(self) -> None:
        """Ask nobody any more."""
        self._wanted_secret = None

    def greet(self, name: str, uid: int) -> None:
        """Ask a new subscriber what the others have been asked before.

        Args:
            name: its name on the bus.
            uid: its user.
        """
        if self._wanted_secret is not None and self._ownership.may_see(uid):
            self._bus.post(_addressed(_signal(SECRETS_NEEDED, (self._wanted_secret,)), name))

    def _insiders(self) -> list[str]:
        return self._subscriptions.insiders(self._ownership.may_see)


def _changes(values: VariantMap) -> Message:
    return new_signal(
        _PROPERTIES,
        PROPERTIES_CHANGED.name,
        PROPERTIES_CHANGED.signature,
        (INTERFACE_NAME, values, []),
    )


def _signal(signal: Signal, body: tuple[object, ...]) -> Message:
    return new_signal(_OURS, signal.name, signal.signature, body)


def _addressed(message: Message, name: str) -> Message:
    message.header.fields[HeaderFields.destination] = name
    return message
