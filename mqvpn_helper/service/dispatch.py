"""From a message to a handler and back, by the table: limits, types, permission, errors.

The order is that of cost, and nothing is done before the last question is answered: how often this
connection calls; whether there is such a method with such types; whose connection it is, and how
often that user calls; whether the arguments make sense; whether polkit lets it. A call that is
refused anywhere has no effect.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import trio
from jeepney import new_error, new_method_return
from jeepney.bus_messages import message_bus
from jeepney.low_level import Header, HeaderFields, Message, MessageFlag, MessageType

from mqvpn_helper.interface.bus_interface import INTERFACES, Method
from mqvpn_helper.interface.bus_names import OBJECT_PATH, BusError, PolkitAction
from mqvpn_helper.interface.introspection import introspection_xml_of_parent
from mqvpn_helper.service.authority import Authority, Verdict
from mqvpn_helper.service.bus_link import BusLink, BusReplyError
from mqvpn_helper.service.calls import Action, Call, Caller, CallError, Handler, Results
from mqvpn_helper.service.message_stream import Incoming, UndecodableError, Unreadable
from mqvpn_helper.service.rate_limits import (
    BYTES_OF_ONE_CALL,
    MAX_CALLS_AT_ONCE,
    MAX_CALLS_OF_USER,
    SENDER_LIMIT,
    USER_LIMIT,
    CallCounter,
    RateLimiter,
)

_log = logging.getLogger(__name__)

_MAX_TEXT = 500
_MAX_REMEMBERED_USERS = 1000
_UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"
_UNKNOWN_OBJECT = "org.freedesktop.DBus.Error.UnknownObject"
_REFUSALS = {
    Verdict.DENIED: "not allowed by the policy of this machine",
    Verdict.CHALLENGE: "this needs a password; allow interactive authorization",
    Verdict.REFUSED: "the policy of this machine forbids it, or the password was wrong",
    Verdict.UNANSWERED: "the password was not given",
    Verdict.UNAVAILABLE: "polkit is not running; only root may do this",
}

_METHODS = {(i.name, method.name): method for i in INTERFACES for method in i.methods}
_METHODS_BY_NAME = {method.name: method for i in reversed(INTERFACES) for method in i.methods}
_PARENTS = {
    OBJECT_PATH[: position or 1]: OBJECT_PATH[position + 1 :].split("/")[0]
    for position, character in enumerate(OBJECT_PATH)
    if character == "/"
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """Who decides about permission."""

    authority: Authority
    """Knows who may do what."""
    required_action: Callable[[Method, Caller], PolkitAction | None]
    """What a caller must be allowed for a method as things are now."""


class Dispatcher:
    """Answers calls.

    A: ``busy_calls``, ``last_call_at``. C: `open`, `receive`. Tasks: `wait_quiet`.
    """

    def __init__(
        self,
        bus: BusLink,
        nursery: trio.Nursery,
        guards: Guards,
        handlers: Mapping[Method, Handler],
    ) -> None:
        """Take everything a call needs.

        Args:
            bus: where answers go.
            nursery: calls are tasks in it.
            guards: who may call what.
            handlers: what each method of the table does.
        """
        self._bus = bus
        self._nursery = nursery
        self._guards = guards
        self._handlers = handlers
        self._of_sender, self._of_user = RateLimiter(SENDER_LIMIT), RateLimiter(USER_LIMIT)
        self._sender_calls = CallCounter(MAX_CALLS_AT_ONCE)
        self._user_calls = CallCounter(MAX_CALLS_OF_USER)
        self._users: dict[str, int] = {}
        self._quiet = trio.Event()
        self._is_open = trio.Event()
        self.last_call_at = trio.current_time()
        """When somebody last called."""

    @property
    def busy_calls(self) -> int:
        """Calls that are not answered yet."""
        return self._sender_calls.total

    def open(self) -> None:
        """Answer from now on; what came before has waited."""
        self._is_open.set()

    async def wait_quiet(self) -> None:
        """Wait until every call is answered."""
        while self.busy_calls:
            self._quiet = trio.Event()
            await self._quiet.wait()

    def receive(self, arrival: Incoming | Unreadable) -> None:
        """Take a method call and answer it, now or in a task of its own."""
        header = arrival.header
        sender = header.fields.get(HeaderFields.sender) if header else None
        if header is None or not isinstance(sender, str):
            _close(arrival)
            return
        now = trio.current_time()
        self.last_call_at = now
        if not self._of_sender.allow(sender, now) or not self._sender_calls.begin(sender):
            _close(arrival)
            self._refuse(header, BusError.TOO_MANY_REQUESTS.bus_name, "too many calls, slow down")
            return
        self._nursery.start_soon(self._answer, arrival, header, sender)

    async def _answer(self, arrival: Incoming | Unreadable, header: Header, sender: str) -> None:
        try:
            await self._is_open.wait()
            await self._carry_out(_readable(arrival), sender)
        except CallError as error:
            self._refuse(header, error.kind.bus_name, error.text)
        except UndecodableError as error:
            self._refuse(header, BusError.BAD_ARGUMENTS.bus_name, str(error))
        except _NoSuchMethodError as error:
            self._refuse(header, error.name, str(error))
        except Exception:  # noqa: BLE001 - fault boundary: ends this call only
            _log.exception("call of %s failed", header.fields.get(HeaderFields.member))
            text = "the helper failed; its log has more"
            self._refuse(header, BusError.FAILED.bus_name, text)
        finally:
            _close(arrival)
            self._sender_calls.end(sender)
            self._quiet.set()

    async def _carry_out(self, incoming: Incoming, sender: str) -> None:
        header = incoming.header
        parent = _parent_description(header)
        if parent is not None:
            self._reply(header, "s", (parent,))
            return
        method = _find_method(header)
        if header.fields.get(HeaderFields.signature, "") != method.input_signature:
            raise CallError(
                BusError.BAD_ARGUMENTS, f"{method.name} takes {method.input_signature!r}"
            )
        uid = await self._uid_of(sender)
        cost = 1 + len(incoming.data) / BYTES_OF_ONE_CALL
        if not self._of_user.allow(uid, trio.current_time(), cost):
            raise CallError(BusError.TOO_MANY_REQUESTS, "too many calls of this user, slow down")
        if not self._user_calls.begin(uid):
            raise CallError(BusError.TOO_MANY_REQUESTS, "too many unfinished calls of this user")
        try:
            arguments = incoming.decode()
            caller = Caller(sender=sender, uid=uid)
            call = Call(caller=caller, arguments=arguments, incoming=incoming)
            action = self._handlers[method](call)
            results = await self._permitted(method, caller, action, header)
        finally:
            self._user_calls.end(uid)
        self._reply(header, method.output_signature, results)

    async def _permitted(
        self, method: Method, caller: Caller, action: Action, header: Header
    ) -> Results:
        is_interactive = bool(header.flags & MessageFlag.allow_interactive_authorization)
        granted: set[PolkitAction] = set()
        # Asking takes time: afterwards the tunnel may be another user's, and more is needed.
        while (needed := self._guards.required_action(method, caller)) not in {None, *granted}:
            assert needed is not None
            verdict = await self._guards.authority.check(
                caller.sender, caller.uid, needed, is_interactive=is_interactive
            )
            if verdict is not Verdict.GRANTED:
                text = f"{needed.value}: {_REFUSALS[verdict]}"
                raise CallError(BusError.NOT_AUTHORIZED, text)
            granted.add(needed)
        return await action()

    async def _uid_of(self, sender: str) -> int:
        # The bus gives a unique name once and never again, so what was said of it stays true.
        if (known := self._users.get(sender)) is not None:
            return known
        try:
            (uid,) = await self._bus.call(message_bus.GetConnectionUnixUser(sender))
        except BusReplyError as error:
            raise CallError(BusError.NOT_AUTHORIZED, "the caller is gone") from error
        assert isinstance(uid, int)
        if len(self._users) >= _MAX_REMEMBERED_USERS:
            self._users.clear()
        self._users[sender] = uid
        return uid

    def _reply(self, header: Header, signature: str, results: Results) -> None:
        if not header.flags & MessageFlag.no_reply_expected:
            call = Message(header, ())
            self._bus.post(new_method_return(call, signature or None, results))

    def _refuse(self, header: Header, name: str, text: str) -> None:
        wants_reply = not header.flags & MessageFlag.no_reply_expected
        if header.message_type is MessageType.method_call and wants_reply:
            shown = text[:_MAX_TEXT].replace("\0", "")
            self._bus.post(new_error(Message(header, ()), name, "s", (shown,)))


class _NoSuchMethodError(Exception):
    """There is no such object, interface or method."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


def _find_method(header: Header) -> Method:
    path = header.fields.get(HeaderFields.path)
    if path != OBJECT_PATH:
        raise _NoSuchMethodError(_UNKNOWN_OBJECT, f"the only object is {OBJECT_PATH}")
    member = str(header.fields.get(HeaderFields.member))
    interface = header.fields.get(HeaderFields.interface)
    # D-Bus specification: the interface of a call may be missing.
    found = (
        _METHODS_BY_NAME.get(member)
        if interface is None
        else _METHODS.get((str(interface), member))
    )
    if found is None:
        raise _NoSuchMethodError(_UNKNOWN_METHOD, f"there is no method {member[:80]}")
    return found


def _parent_description(header: Header) -> str | None:
    """Return what an object above ours says of itself, when that is the question."""
    child = _PARENTS.get(str(header.fields.get(HeaderFields.path)))
    if child is None or header.fields.get(HeaderFields.member) != "Introspect":
        return None
    return introspection_xml_of_parent(child)


def _readable(arrival: Incoming | Unreadable) -> Incoming:
    if isinstance(arrival, Unreadable):
        raise CallError(BusError.BAD_ARGUMENTS, arrival.reason)
    return arrival


def _close(arrival: Incoming | Unreadable) -> None:
    if isinstance(arrival, Incoming):
        arrival.close()
