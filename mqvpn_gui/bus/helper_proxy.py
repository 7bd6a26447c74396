"""The helper as an object of Qt: typed values, signals when they change, calls that never wait.

Holds nothing that the helper does not know better: after a restart of the helper, or of the bus,
everything is read anew.
"""

import os
from collections.abc import Callable, Mapping

from jeepney import DBusAddress, HeaderFields, MatchRule, Message
from jeepney.fds import FileDescriptor
from PySide6.QtCore import QObject, QTimer, Signal

from mqvpn_gui.bus.qt_bus import BUS, Call, CallError, QtBus, Reply, body_of
from mqvpn_gui.model.event_store import EventRecord, record_from
from mqvpn_gui.model.helper_state import OFFLINE, HelperState, merged, with_statistics
from mqvpn_helper.interface import bus_interface as table
from mqvpn_helper.interface.bus_names import (
    API_LEVEL,
    BUS_NAME,
    INTERFACE_NAME,
    MAX_EVENTS,
    OBJECT_PATH,
    PROPERTIES_INTERFACE,
    TunnelState,
)

HELPER = DBusAddress(OBJECT_PATH, BUS_NAME, INTERFACE_NAME)
"""The helper's object."""

MIN_API_LEVEL = API_LEVEL
"""Helpers below this are too old for this window."""

_PROPERTIES = HELPER.with_interface(PROPERTIES_INTERFACE)
_SERVICE_UNKNOWN = "org.freedesktop.DBus.Error.ServiceUnknown"
_LOOK_AGAIN_MS = 5000

Outcome = Callable[[CallError | None], None]
"""Told how a call ended; None: well."""


class HelperProxy(QObject):
    """The helper, as far as the window cares.

    A: `state`, `obstacle`. C: the methods of the helper, `start`, `stop`,
    `look_again`, `watch_statistics`.
    """

    state_changed = Signal(object)
    """A new `HelperState`."""
    events_arrived = Signal(list)
    """New `EventRecord` values, the oldest first."""
    history_read = Signal(list)
    """`EventRecord` values from before this program was started, the oldest first."""
    died = Signal()
    """The helper is gone although a tunnel was up."""
    restarted = Signal()
    """The helper was started anew: its events count from 1 again."""
    secrets_needed = Signal(str)
    """The secret of this profile is needed once more."""
    reached = Signal(object)
    """A `CallError` when the helper cannot be reached, None when it answers."""

    def __init__(self, bus: QtBus, parent: QObject | None = None) -> None:
        """Listen; `start` opens the bus.

        Args:
            bus: the system bus.
            parent: owner in Qt's sense.
        """
        super().__init__(parent)
        self.state: HelperState = OFFLINE
        """What is known."""
        self.obstacle: CallError | None = None
        """Why the helper cannot be reached; None while it can, or before the first try."""
        self._bus = bus
        self._is_stopped = False
        self._owner = ""
        self._interval_ms = 0
        self._last_event = 0
        self._has_history = False
        self._reading = 0
        self._retry = QTimer(self)
        self._retry.setSingleShot(True)
        self._retry.timeout.connect(self.look_again)
        bus.opened.connect(self.look_again)
        bus.lost.connect(self._on_bus_lost)
        properties = MatchRule(type="signal", interface=PROPERTIES_INTERFACE, path=OBJECT_PATH)
        bus.listen(properties, self._on_properties)
        own = MatchRule(type="signal", interface=INTERFACE_NAME, path=OBJECT_PATH)
        bus.listen(own, self._on_signal)
        owners = MatchRule(type="signal", interface=BUS.interface, member="NameOwnerChanged")
        owners.add_arg_condition(0, BUS_NAME)
        bus.listen(owners, self._on_owner_changed)

    # Finding it

    def start(self) -> None:
        """Open the bus."""
        self._bus.open()

    def stop(self) -> None:
        """Ask nothing any more, and say nothing."""
        self._is_stopped = True
        self._retry.stop()
        self.blockSignals(True)

    def look_again(self) -> None:
        """Ask the helper for everything; the bus starts it when it is installed."""
        self._retry.stop()
        if self._is_stopped:
            return
        start = Call(
            target=BUS, method="StartServiceByName", signature="su", arguments=(BUS_NAME, 0)
        )
        self._bus.call(start, self._on_started)

    def _on_started(self, started: Reply) -> None:
        # The helper may run although the bus could not start it: then it was started by hand.
        # Anybody on the bus may send us signals that look like the helper's: the sender decides.
        owner = Call(target=BUS, method="GetNameOwner", signature="s", arguments=(BUS_NAME,))
        self._bus.call(owner, lambda reply: self._on_owner_read(started, reply))

    def _on_owner_read(self, started: Reply, reply: Reply) -> None:
        if isinstance(reply, CallError):
            self._set_obstacle(started if isinstance(started, CallError) else reply)
            return
        self._owner = str(reply[0])
        everything = Call(
            target=_PROPERTIES,
            method=table.GET_ALL.name,
            signature=table.GET_ALL.input_signature,
            arguments=(INTERFACE_NAME,),
        )
        self._bus.call(everything, self._on_properties_read)

    def _on_properties_read(self, reply: Reply) -> None:
        if isinstance(reply, CallError):
            self._set_obstacle(reply)
            return
        values = reply[0] if reply and isinstance(reply[0], Mapping) else {}
        self._set_state(merged(OFFLINE, values))
        self._set_obstacle(None)
        self._subscribe()
        self._read_events()

    def _set_obstacle(self, obstacle: CallError | None) -> None:
        self.obstacle = obstacle
        if obstacle is not None:
            self._set_state(OFFLINE)
            self._look_again_later()
        self.reached.emit(obstacle)

    def _look_again_later(self, milliseconds: int = _LOOK_AGAIN_MS) -> None:
        if not self._is_stopped:
            self._retry.start(milliseconds)

    def _on_bus_lost(self, reason: str) -> None:
        self._set_obstacle(CallError(name=_SERVICE_UNKNOWN, text=reason))

    def _on_owner_changed(self, message: Message) -> None:
        match body_of(message):
            case (str(name), _, str(new_owner)) if name == BUS_NAME and _is_from_bus(message):
                self._owner = new_owner
                self._last_event = 0
                if new_owner:
                    self.restarted.emit()
                    self.look_again()
                elif self.state.is_wanted or self.state.state is TunnelState.BLOCKED:
                    # Started again, it brings its tunnel up, or watches over its kill switch.
                    self.died.emit()
                    self._look_again_later(milliseconds=1)
                # Else it ended because nothing was to do; the next call starts it again.
            case _:
                pass

    # What it says

    def _is_from_helper(self, message: Message) -> bool:
        return bool(self._owner) and message.header.fields.get(HeaderFields.sender) == self._owner

    def _on_properties(self, message: Message) -> None:
        if not self._is_from_helper(message):
            return
        match body_of(message):
            case (str(interface), dict(changed), *_) if interface == INTERFACE_NAME:
                self._set_state(merged(self.state, changed))
            case _:
                pass

    def _on_signal(self, message: Message) -> None:
        if not self._is_from_helper(message):
            return
        name = message.header.fields.get(HeaderFields.member)
        body = body_of(message)
        if name == table.STATS.name and len(body) == len(table.STATS.arguments):
            self._set_state(with_statistics(self.state, body[1]))
        elif name == table.EVENT.name and len(body) == len(table.EVENT.arguments):
            fields = (argument.name for argument in table.EVENT.arguments)
            record = record_from(dict(zip(fields, body, strict=True)))
            # While events are read, the answer will have this one as well, and what came before.
            if record is not None and not self._reading:
                self._take_events([record])
        elif name == table.SECRETS_NEEDED.name and body and isinstance(body[0], str):
            self.secrets_needed.emit(body[0])

    def _set_state(self, state: HelperState) -> None:
        if state != self.state:
            self.state = state
            self.state_changed.emit(state)

    def _read_events(self) -> None:
        self._reading += 1

        def on_reply(reply: Reply) -> None:
            self._reading -= 1
            if isinstance(reply, CallError) or not reply or not isinstance(reply[0], list):
                return  # not ours to see
            given = (record_from(each) for each in reply[0] if isinstance(each, Mapping))
            is_old, self._has_history = not self._has_history, True
            self._take_events([record for record in given if record is not None], is_old=is_old)

        self._bus.call(_call_of(table.GET_EVENTS, self._last_event, MAX_EVENTS), on_reply)

    def _take_events(self, records: list[EventRecord], *, is_old: bool = False) -> None:
        # Two questions may be under way: each event once.
        new = [record for record in records if record.id > self._last_event]
        if new:
            self._last_event = new[-1].id
            (self.history_read if is_old else self.events_arrived).emit(new)

    # Calls

    def watch_statistics(self, interval_ms: int) -> None:
        """Have the numbers of the paths sent; 0 when nobody looks."""
        if interval_ms != self._interval_ms:
            self._interval_ms = interval_ms
            if self.state.is_present:
                self._subscribe()

    def connect_tunnel(
        self, profile: Mapping[str, tuple[str, object]], secrets: int, outcome: Outcome
    ) -> None:
        """Bring a tunnel up.

        Args:
            profile: settings with their D-Bus types.
            secrets: descriptor that the secrets are read from; closed here.
            outcome: told how the call ended; how the tunnel does, `state_changed` tells.
        """
        self._call_with_secrets(table.CONNECT, (dict(profile),), secrets, outcome)

    def provide_secrets(self, secrets: int, outcome: Outcome) -> None:
        """Answer `secrets_needed`."""
        self._call_with_secrets(table.PROVIDE_SECRETS, (), secrets, outcome)

    def disconnect_tunnel(self, outcome: Outcome) -> None:
        """Take the tunnel down."""
        self._call_for_outcome(table.DISCONNECT, outcome)

    def set_path_policy(
        self, interface: str, policy: Mapping[str, tuple[str, object]], outcome: Outcome
    ) -> None:
        """Change what an interface is used for."""
        self._call_for_outcome(table.SET_PATH_POLICY, outcome, interface, dict(policy))

    def set_kill_switch(self, mode: str, outcome: Outcome) -> None:
        """Change the kill switch."""
        self._call_for_outcome(table.SET_KILL_SWITCH, outcome, mode)

    def allow_portal(self, interface: str, seconds: int, outcome: Outcome) -> None:
        """Let one interface past the kill switch for a while."""
        self._call_for_outcome(table.ALLOW_PORTAL, outcome, interface, seconds)

    def set_dns(self, settings: Mapping[str, tuple[str, object]], outcome: Outcome) -> None:
        """Change how names are resolved."""
        self._call_for_outcome(table.SET_DNS, outcome, dict(settings))

    def set_split(self, settings: Mapping[str, tuple[str, object]], outcome: Outcome) -> None:
        """Change what goes beside the tunnel."""
        self._call_for_outcome(table.SET_SPLIT, outcome, dict(settings))

    def recover(self, outcome: Outcome) -> None:
        """Remove every trace from the machine."""
        self._call_for_outcome(table.RECOVER, outcome)

    def collect_diagnostics(self, on_report: Callable[[int | CallError], None]) -> None:
        """Ask for a report; the handler gets a descriptor to read it from, and closes it."""

        def on_reply(reply: Reply) -> None:
            if isinstance(reply, CallError):
                on_report(reply)
            elif reply and isinstance(reply[0], FileDescriptor):
                on_report(reply[0].to_raw_fd())
            else:
                on_report(CallError(name=_SERVICE_UNKNOWN, text="the helper sent no report"))

        self._bus.call(_call_of(table.COLLECT_DIAGNOSTICS), on_reply)

    def _subscribe(self) -> None:
        self._bus.call(_call_of(table.SUBSCRIBE, self._interval_ms), lambda _reply: None)

    def _call_with_secrets(
        self, method: table.Method, arguments: tuple[object, ...], secrets: int, outcome: Outcome
    ) -> None:
        def on_reply(reply: Reply) -> None:
            os.close(secrets)
            outcome(reply if isinstance(reply, CallError) else None)

        self._bus.call(_call_of(method, *arguments, secrets), on_reply)

    def _call_for_outcome(self, method: table.Method, outcome: Outcome, *arguments: object) -> None:
        def on_reply(reply: Reply) -> None:
            outcome(reply if isinstance(reply, CallError) else None)

        self._bus.call(_call_of(method, *arguments), on_reply)


def _is_from_bus(message: Message) -> bool:
    return message.header.fields.get(HeaderFields.sender) == BUS.bus_name


def _call_of(method: table.Method, *arguments: object) -> Call:
    return Call(
        target=HELPER,
        method=method.name,
        signature=method.input_signature,
        arguments=arguments,
        may_ask=method.action is not None and method is not table.GET_EVENTS,
    )
