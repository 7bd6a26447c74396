"""One D-Bus connection, served by the Qt event loop: no thread, and no call that waits.

jeepney's parser and authenticator do the protocol; this owns the socket. When the bus goes away
everybody who waits is told, and the connection is made anew by itself.
"""

import array
import contextlib
import itertools
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jeepney import (
    DBusAddress,
    HeaderFields,
    MatchRule,
    Message,
    MessageFlag,
    MessageType,
    Parser,
    new_error,
    new_method_call,
    new_method_return,
)
from jeepney.auth import BEGIN, AuthenticationError, Authenticator
from jeepney.bus_messages import message_bus
from jeepney.fds import FileDescriptor, fds_buf_size
from PySide6.QtCore import QObject, QSocketNotifier, QTimer, Signal

from mqvpn_gui.bus.variants import without_types

BUS = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
"""The bus itself."""

LOST = "org.freedesktop.DBus.Error.Disconnected"
"""Name of the error of calls that were under way when the bus went away."""

TIMED_OUT = "org.freedesktop.DBus.Error.NoReply"
"""Name of the error of calls that nobody answered in time."""

DEFAULT_TIMEOUT = 25.0
"""Seconds that a call may take, as usual on D-Bus."""

_UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"
_RECONNECT_MS = 1000
_READ_BYTES = 1 << 16
_MAX_MESSAGE_BYTES = 8 << 20
_MAX_UNSENT_BYTES = 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One method call."""

    target: DBusAddress
    """Object and interface."""
    method: str
    """Name of the method."""
    signature: str = ""
    """D-Bus types of the arguments."""
    arguments: tuple[object, ...] = ()
    """The arguments."""
    may_ask: bool = False
    """The user may be asked for a password by polkit; takes as long as it takes."""
    timeout: float | None = DEFAULT_TIMEOUT
    """Seconds; None: no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallError:
    """What came instead of a result."""

    name: str
    """D-Bus name of the error."""
    text: str
    """It in words, as the other side put it."""


Reply = tuple[object, ...] | CallError
ReplyHandler = Callable[[Reply], None]
SignalHandler = Callable[[Message], None]
MethodHandler = Callable[[str, tuple[object, ...]], CallError | None]


@dataclass(slots=True)
class _Waiting:
    """A call without an answer yet."""

    handler: ReplyHandler
    timer: QTimer | None


class QtBus(QObject):
    """A connection to the system or the session bus.

    A: `is_open`, `unique_name`. C: `open`, `close`, `call`, `listen`, `serve`.
    """

    opened = Signal()
    """The bus can be used; after a loss, once more."""
    lost = Signal(str)
    """The bus is gone, with the reason."""

    def __init__(self, find_address: Callable[[], str], parent: QObject | None = None) -> None:
        """Stay closed until `open`.

        Args:
            find_address: returns the path of the bus's socket, in Python's form.
            parent: owner in Qt's sense.
        """
        super().__init__(parent)
        self.is_open = False
        """Whether calls can be made."""
        self.unique_name = ""
        """Our name on the bus."""
        self._find_address = find_address
        self._socket: socket.socket | None = None
        self._notifiers: list[QSocketNotifier] = []
        self._authenticator = Authenticator(enable_fds=True)
        self._parser = Parser()
        self._serials = itertools.count(1)
        self._unsent: list[tuple[bytes, list[int]]] = []
        self._waiting: dict[int, _Waiting] = {}
        self._served: dict[tuple[str, str], MethodHandler] = {}
        self._listeners: list[tuple[MatchRule, SignalHandler]] = []
        self._retry = QTimer(self)
        self._retry.setSingleShot(True)
        self._retry.setInterval(_RECONNECT_MS)
        self._retry.timeout.connect(self.open)

    def open(self) -> None:
        """Connect; `opened` tells when that is done, a failure is tried again by itself."""
        if self._socket is not None:
            return
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            made.connect(self._find_address())
        except (OSError, KeyError, ValueError, RuntimeError, StopIteration) as error:
            made.close()
            self._fail(f"cannot reach the bus: {error}")
            return
        self._socket = made
        self._authenticator = Authenticator(enable_fds=True)
        self._parser = Parser()
        kinds = (QSocketNotifier.Type.Read, QSocketNotifier.Type.Write)
        self._notifiers = [QSocketNotifier(made.fileno(), kind, self) for kind in kinds]
        self._notifiers[0].activated.connect(self._read)
        self._notifiers[1].activated.connect(self._write)
        self._send_authentication()

    def close(self) -> None:
        """Let go of the bus and do not come back."""
        self._retry.stop()
        self._drop_socket("closed")
        self._retry.stop()

    def call(self, call: Call, on_reply: ReplyHandler) -> None:
        """Make a call; the handler is called exactly once, never from inside this method.

        Args:
            call: what to call.
            on_reply: takes the results, or the error.
        """
        if not self.is_open:
            gone = CallError(name=LOST, text="there is no connection to the bus")
            QTimer.singleShot(0, self, lambda: on_reply(gone))
            return
        message = new_method_call(call.target, call.method, call.signature or None, call.arguments)
        if call.may_ask:
            message.header.flags |= MessageFlag.allow_interactive_authorization
        serial = next(self._serials)
        timer = None
        if call.timeout is not None and not call.may_ask:
            timer = QTimer(self)
            timer.setSingleShot(True)
            timer.timeout.connect(lambda: self._answer(serial, _no_reply(call)))
            timer.start(round(call.timeout * 1000))
        self._waiting[serial] = _Waiting(on_reply, timer)
        self._send(message, serial)

    def listen(self, rule: MatchRule, handler: SignalHandler) -> None:
        """Have a handler called for each signal that matches, also after a reconnection."""
        self._listeners.append((rule, handler))
        if self.is_open:
            self._add_match(rule)

    def serve(self, path: str, interface: str, handler: MethodHandler) -> None:
        """Answer calls of others to one interface of one object.

        Args:
            path: the object.
            interface: the interface.
            handler: given method and arguments, returns None, or an error.
        """
        self._served[path, interface] = handler

    # Connection

    def _send_authentication(self) -> None:
        for line in self._authenticator:
            if not line:
                break  # nothing more before the bus has answered
            self._unsent.append((bytes(line), []))
        self._write()

    def _become_open(self) -> None:
        hello = message_bus.Hello()
        serial = next(self._serials)
        self._waiting[serial] = _Waiting(self._greeted, None)
        self._send(hello, serial)

    def _greeted(self, reply: Reply) -> None:
        if isinstance(reply, CallError):
            self._drop_socket(f"the bus does not want us: {reply.text}")
            return
        self.unique_name = str(reply[0])
        self.is_open = True
        for rule, _ in self._listeners:
            self._add_match(rule)
        self.opened.emit()

    def _add_match(self, rule: MatchRule) -> None:
        self.call(
            Call(target=BUS, method="AddMatch", signature="s", arguments=(rule.serialise(),)),
            lambda _reply: None,
        )

    def _fail(self, reason: str) -> None:
        self._retry.start()
        self.lost.emit(reason)

    def _drop_socket(self, reason: str) -> None:
        if self._socket is None:
            return
        for notifier in self._notifiers:
            notifier.setEnabled(False)
            notifier.deleteLater()
        self._notifiers = []
        self._socket.close()
        self._socket = None
        self.is_open = False
        self.unique_name = ""
        self._unsent.clear()
        for serial in list(self._waiting):
            self._answer(serial, CallError(name=LOST, text=reason))
        self._fail(reason)

    # Output

    def _send(self, message: Message, serial: int) -> None:
        descriptors: array.array[int] = array.array("i")
        data = message.serialise(serial=serial, fds=descriptors)
        self._unsent.append((data, list(descriptors)))
        self._write()

    def _write(self) -> None:
        if self._socket is None:
            return
        while self._unsent:
            data, descriptors = self._unsent[0]
            try:
                sent = socket.send_fds(self._socket, [data], descriptors)
            except BlockingIOError:
                break
            except OSError as error:
                self._drop_socket(f"cannot write to the bus: {error.strerror}")
                return
            if sent == len(data):
                self._unsent.pop(0)
            else:
                self._unsent[0] = (data[sent:], [])
        self._notifiers[1].setEnabled(bool(self._unsent))
        if sum(len(data) for data, _ in self._unsent) > _MAX_UNSENT_BYTES:
            self._drop_socket("the bus takes nothing any more")

    # Input

    def _read(self) -> None:
        if self._socket is None:
            return
        if not self._authenticator.authenticated:
            self._read_authentication(self._socket)
            return
        try:
            data, ancillary, _, _ = self._socket.recvmsg(_READ_BYTES, fds_buf_size())
        except BlockingIOError:
            return
        except OSError as error:
            self._drop_socket(f"cannot read from the bus: {error.strerror}")
            return
        if not data:
            self._drop_socket("the bus closed the connection")
            return
        self._parser.add_data(data, FileDescriptor.from_ancdata(ancillary))
        for message in self._messages():
            self._dispatch(message)

    def _read_authentication(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(_READ_BYTES)
            if not data:
                raise ConnectionResetError
            self._authenticator.feed(data)
        except BlockingIOError:
            return
        except (OSError, AuthenticationError) as error:
            self._drop_socket(f"the bus does not let us in: {error}")
            return
        self._send_authentication()
        if self._authenticator.authenticated:
            self._unsent.append((BEGIN, []))  # the authenticator leaves that to its owner
            self._become_open()

    def _messages(self) -> Sequence[Message]:
        found = []
        try:
            while (message := self._parser.get_next_message()) is not None:
                found.append(message)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            self._drop_socket(f"the bus sent nonsense: {error}")
            return []
        if self._parser.bytes_desired() > _MAX_MESSAGE_BYTES:
            self._drop_socket("the bus sent too large a message")
        return found

    def _dispatch(self, message: Message) -> None:
        kind = message.header.message_type
        if kind is MessageType.signal:
            for rule, handler in list(self._listeners):
                if rule.matches(message):
                    handler(message)
        elif kind is MessageType.method_call:
            self._serve(message)
        elif kind in (MessageType.method_return, MessageType.error):
            serial = message.header.fields.get(HeaderFields.reply_serial)
            if isinstance(serial, int):
                self._answer(serial, _reply_of(message))

    def _serve(self, message: Message) -> None:
        fields = message.header.fields
        place = (str(fields.get(HeaderFields.path)), str(fields.get(HeaderFields.interface)))
        handler = self._served.get(place)
        body = body_of(message)
        if handler is None:
            error: CallError | None = CallError(
                name=_UNKNOWN_METHOD, text="there is no such method"
            )
        else:
            error = handler(str(fields.get(HeaderFields.member)), body)
        _close_descriptors(body)
        if MessageFlag.no_reply_expected in message.header.flags:
            return
        if error is None:
            reply = new_method_return(message)
        else:
            reply = new_error(message, error.name, "s", (error.text,))
        self._send(reply, next(self._serials))

    def _answer(self, serial: int, reply: Reply) -> None:
        waiting = self._waiting.pop(serial, None)
        if waiting is None:
            _close_descriptors(reply)
            return
        if waiting.timer is not None:
            waiting.timer.stop()
            waiting.timer.deleteLater()
        waiting.handler(reply)


def body_of(message: Message) -> tuple[object, ...]:
    """The body of a message without D-Bus types."""
    signature = str(message.header.fields.get(HeaderFields.signature, ""))
    return without_types(signature, tuple(message.body))


def _reply_of(message: Message) -> Reply:
    if message.header.message_type is MessageType.error:
        name = str(message.header.fields.get(HeaderFields.error_name, ""))
        text = message.body[0] if message.body and isinstance(message.body[0], str) else name
        return CallError(name=name, text=text)
    return body_of(message)


def _no_reply(call: Call) -> CallError:
    return CallError(name=TIMED_OUT, text=f"{call.method}: no answer within {call.timeout:.0f} s")


def _close_descriptors(reply: Reply) -> None:
    if isinstance(reply, CallError):
        return
    for each in reply:
        if isinstance(each, FileDescriptor):
            with contextlib.suppress(OSError):
                each.close()
