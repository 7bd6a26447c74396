"""Methods that change nothing: properties, subscriptions, events, the report, introspection.

Each checks its arguments first and returns what to do then; permission is asked for in between, by
`mqvpn_helper.service.dispatch`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import trio

from mqvpn_helper.interface import bus_interface as table
from mqvpn_helper.interface.bus_interface import Method
from mqvpn_helper.interface.bus_names import INTERFACE_NAME, MAX_EVENTS, BusError
from mqvpn_helper.interface.introspection import introspection_xml
from mqvpn_helper.service.calls import Action, Call, CallError, Handler, Results
from mqvpn_helper.service.diagnostics import make_report, open_report
from mqvpn_helper.service.event_store import EventStore, StoredEvent
from mqvpn_helper.service.machine_care import MachineCare
from mqvpn_helper.service.name_watch import NameWatch
from mqvpn_helper.service.ownership import ROOT, Ownership
from mqvpn_helper.service.property_board import PropertyBoard
from mqvpn_helper.service.subscriptions import Subscriptions
from mqvpn_helper.service.variants import VariantMap, variants_of

_MACHINE_ID = trio.Path("/etc/machine-id")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingParts:
    """What there is to read."""

    board: PropertyBoard
    """The properties."""
    ownership: Ownership
    """Who may see what."""
    events: EventStore
    """The last events."""
    subscriptions: Subscriptions
    """Who wants to hear."""
    names: NameWatch
    """Tells when a subscriber is gone."""
    machine: MachineCare
    """Knows the machine, for the report."""
    greet: Callable[[str, int], None]
    """Tells a new subscriber what is waiting for an answer."""
    stats_wanted: Callable[[], None]
    """Told when who wants statistics has changed."""


class ReadingMethods:
    """The methods that read. A: `handlers`."""

    def __init__(self, parts: ReadingParts) -> None:
        """Take what there is to read."""
        self._parts = parts

    def handlers(self) -> Mapping[Method, Handler]:
        """Return what each method of the table does."""
        return {
            table.SUBSCRIBE: self._subscribe,
            table.UNSUBSCRIBE: self._unsubscribe,
            table.GET_EVENTS: self._get_events,
            table.COLLECT_DIAGNOSTICS: self._collect_diagnostics,
            table.INTROSPECT: lambda _: _answer(introspection_xml()),
            table.PING: lambda _: _answer(),
            table.GET_MACHINE_ID: self._get_machine_id,
            table.GET: self._get,
            table.GET_ALL: self._get_all,
            table.SET: self._set,
        }

    def subscriber_gone(self, name: str) -> None:
        """Forget a connection that is gone."""
        if self._parts.subscriptions.remove(name):
            self._parts.stats_wanted()

    def _subscribe(self, call: Call) -> Action:
        interval, caller = call.number(0), call.caller

        async def act() -> Results:
            subscriptions = self._parts.subscriptions
            is_new = not subscriptions.has(caller.sender)
            now = trio.current_time()
            if not subscriptions.put(caller.sender, caller.uid, interval, now):
                raise CallError(BusError.TOO_MANY_REQUESTS, "too many subscribers")
            self._parts.stats_wanted()
            if is_new:
                self._parts.greet(caller.sender, caller.uid)
                await self._parts.names.watch(caller.sender)
            return ()

        return act

    def _unsubscribe(self, call: Call) -> Action:
        async def act() -> Results:
            if self._parts.subscriptions.remove(call.caller.sender):
                self._parts.names.unwatch(call.caller.sender)
                self._parts.stats_wanted()
            return ()

        return act

    def _get_events(self, call: Call) -> Action:
        since, limit, uid = call.number(0), min(call.number(1), MAX_EVENTS), call.caller.uid

        async def act() -> Results:
            # Whoever had to be allowed to read what is not his own reads everything.
            is_own_only = uid != ROOT and self._parts.ownership.may_see(uid)
            found = self._parts.events.after(since, limit=limit, owner=uid if is_own_only else None)
            return ([_event_variants(each) for each in found],)

        return act

    def _collect_diagnostics(self, _call: Call) -> Action:
        async def act() -> Results:
            findings = await self._parts.machine.findings()
            events = self._parts.events.after(0, limit=MAX_EVENTS, owner=None)
            return (open_report(make_report(self._parts.board, events, findings)),)

        return act

    def _get_machine_id(self, _call: Call) -> Action:
        async def act() -> Results:
            try:
                return ((await _MACHINE_ID.read_text(encoding="ascii")).strip(),)
            except OSError as error:
                raise CallError(BusError.UNSUPPORTED, "this machine has no identity") from error

        return act

    def _get(self, call: Call) -> Action:
        _check_interface(call.text(0))
        found = self._parts.board.find(call.text(1))
        if found is None:
            raise CallError(BusError.BAD_ARGUMENTS, f"there is no property {call.text(1)[:80]}")
        if found.is_private and not self._parts.ownership.may_see(call.caller.uid):
            raise CallError(BusError.NOT_AUTHORIZED, "only the owner of the tunnel may read this")
        return _answer((found.signature, self._parts.board.value(found)))

    def _get_all(self, call: Call) -> Action:
        _check_interface(call.text(0))
        is_insider = self._parts.ownership.may_see(call.caller.uid)
        return _answer(self._parts.board.visible(is_insider=is_insider))

    def _set(self, _call: Call) -> Action:
        raise CallError(BusError.BAD_ARGUMENTS, "all properties are read-only")


def _answer(*results: object) -> Action:
    async def act() -> Results:
        return results

    return act


def _check_interface(name: str) -> None:
    # The specification lets an empty name stand for every interface.
    if name not in (INTERFACE_NAME, ""):
        raise CallError(BusError.BAD_ARGUMENTS, f"the interface {name[:80]} has no properties")


def _event_variants(event: StoredEvent) -> VariantMap:
    return {
        "id": ("t", event.id),
        "time_us": ("t", event.time_us),
        "kind": ("s", event.kind.value),
        "path": ("s", event.path),
        "detail": ("a{sv}", variants_of(event.detail)),
    }
