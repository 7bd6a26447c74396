"""What NetworkManager knows of the machine's networks, where it runs and may be asked.

Whether a network wants a login first, and which links cost money. Without NetworkManager, or in a
sandbox that does not let us ask it, nothing is known, and nothing else depends on it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from jeepney import DBusAddress, HeaderFields, MatchRule, Message
from PySide6.QtCore import QObject, Signal

from mqvpn_gui.bus.qt_bus import BUS, Call, CallError, QtBus, Reply, body_of
from mqvpn_gui.model.plain_text import plain
from mqvpn_helper.interface.bus_names import PROPERTIES_INTERFACE

NETWORK_MANAGER = "org.freedesktop.NetworkManager"
"""Its bus name, and its interface."""
MANAGER = DBusAddress("/org/freedesktop/NetworkManager", NETWORK_MANAGER, NETWORK_MANAGER)
"""Its object."""
DEVICE_INTERFACE = f"{NETWORK_MANAGER}.Device"
"""Interface of its devices."""

_PORTAL = 2  # NMConnectivityState
_METERED = (1, 3)  # NMMetered: yes, guessed yes
_MAX_INTERFACES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkStatus:
    """What is known of the networks."""

    wants_login: bool = False
    """A page of the network has to be visited before anything passes."""
    check_uri: str = ""
    """An address without encryption that such a network answers with its page; empty: not known."""
    metered: frozenset[str] = frozenset()
    """Interfaces whose traffic costs money."""


class NetworkWatch(QObject):
    """Follows NetworkManager.

    A: `status`. C: `ask_about`.
    """

    changed = Signal(object)
    """A new `NetworkStatus`."""

    def __init__(self, bus: QtBus) -> None:
        """Listen on the system bus; never start a service.

        Args:
            bus: the system bus.
        """
        super().__init__(bus)
        self.status = NetworkStatus()
        """What is known."""
        self._bus = bus
        self._owner = ""
        self._asked: frozenset[str] = frozenset()
        bus.opened.connect(self._look_for_it)
        bus.lost.connect(lambda _reason: self._forget())
        owners = MatchRule(type="signal", interface=BUS.interface, member="NameOwnerChanged")
        owners.add_arg_condition(0, NETWORK_MANAGER)
        bus.listen(owners, self._on_owner_changed)
        changes = MatchRule(type="signal", interface=PROPERTIES_INTERFACE, path=MANAGER.object_path)
        bus.listen(changes, self._on_properties)

    def ask_about(self, interfaces: Iterable[str]) -> None:
        """Find out which of these cost money; asked again when the set of them changes."""
        wanted = frozenset(list(interfaces)[:_MAX_INTERFACES])
        if not self._owner or wanted == self._asked:
            return
        for gone in self.status.metered - wanted:
            self._note_metered(gone, is_metered=False)
        for interface in wanted - self._asked:
            self._ask_about(interface)
        self._asked = wanted

    def _look_for_it(self) -> None:
        ask = Call(target=BUS, method="GetNameOwner", signature="s", arguments=(NETWORK_MANAGER,))

        def on_reply(reply: Reply) -> None:
            if not isinstance(reply, CallError) and reply:
                self._meet(str(reply[0]))

        self._bus.call(ask, on_reply)

    def _on_owner_changed(self, message: Message) -> None:
        if message.header.fields.get(HeaderFields.sender) != BUS.bus_name:
            return
        match body_of(message):
            case (str(name), _, str(owner)) if name == NETWORK_MANAGER:
                if owner:
                    self._meet(owner)
                else:
                    self._forget()
            case _:
                pass

    def _meet(self, owner: str) -> None:
        self._owner = owner
        self._asked = frozenset()
        ask = Call(
            target=MANAGER.with_interface(PROPERTIES_INTERFACE),
            method="GetAll",
            signature="s",
            arguments=(NETWORK_MANAGER,),
        )

        def on_reply(reply: Reply) -> None:
            match reply:
                case (dict(values), *_):
                    self._take(values)
                case _:
                    pass

        self._bus.call(ask, on_reply)

    def _forget(self) -> None:
        self._owner = ""
        self._asked = frozenset()
        self._put(NetworkStatus())

    def _on_properties(self, message: Message) -> None:
        if not self._owner or message.header.fields.get(HeaderFields.sender) != self._owner:
            return
        match body_of(message):
            case (str(interface), dict(values), *_) if interface == NETWORK_MANAGER:
                self._take(values)
            case _:
                pass

    def _take(self, values: dict[object, object]) -> None:
        status = self.status
        connectivity, uri = values.get("Connectivity"), values.get("ConnectivityCheckUri")
        if isinstance(connectivity, int):
            status = replace(status, wants_login=connectivity == _PORTAL)
        if isinstance(uri, str):
            uri = plain(uri)
            status = replace(status, check_uri=uri if uri.startswith("http://") else "")
        self._put(status)

    def _ask_about(self, interface: str) -> None:
        find = Call(
            target=MANAGER, method="GetDeviceByIpIface", signature="s", arguments=(interface,)
        )

        def on_device(reply: Reply) -> None:
            if isinstance(reply, CallError) or not reply or not isinstance(reply[0], str):
                return
            device = DBusAddress(reply[0], NETWORK_MANAGER, PROPERTIES_INTERFACE)
            ask = Call(
                target=device,
                method="Get",
                signature="ss",
                arguments=(DEVICE_INTERFACE, "Metered"),
            )
            self._bus.call(ask, on_metered)

        def on_metered(reply: Reply) -> None:
            if not isinstance(reply, CallError) and reply:
                self._note_metered(interface, is_metered=reply[0] in _METERED)

        self._bus.call(find, on_device)

    def _note_metered(self, interface: str, *, is_metered: bool) -> None:
        one = frozenset({interface})
        metered = self.status.metered | one if is_metered else self.status.metered - one
        self._put(replace(self.status, metered=metered))

    def _put(self, status: NetworkStatus) -> None:
        if status != self.status:
            self.status = status
            self.changed.emit(status)
