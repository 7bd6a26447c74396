"""The helper on the system bus, for a program that may wait.

Names and signatures come from the table of the interface. Signals count only when the helper's
own connection sent them: anybody on the bus may send us one that looks the same.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn, Self

from jeepney import (
    AuthenticationError,
    DBusAddress,
    HeaderFields,
    MatchRule,
    Message,
    MessageFlag,
    MessageType,
    message_bus,
    new_method_call,
)
from jeepney.fds import FileDescriptor
from jeepney.io.blocking import DBusConnection, open_dbus_connection
from typing_extensions import override

from mqvpn_gui.bus.variants import without_types
from mqvpn_gui.command.authentication_agent import AuthenticationAgent
from mqvpn_gui.model.plain_text import plain
from mqvpn_gui.user.errors import HelperError, HelperMissingError, NotAuthorizedError
from mqvpn_gui.user.helper_install import install_command
from mqvpn_helper.interface.bus_interface import SIGNALS, Method
from mqvpn_helper.interface.bus_names import (
    BUS_NAME,
    INTERFACE_NAME,
    OBJECT_PATH,
    PROPERTIES_INTERFACE,
    BusError,
)

QUICK = 20.0
"""Seconds for an answer that needs nobody; the helper may have to be started first."""
WITH_QUESTION = 300.0
"""Seconds for an answer that may need somebody to type a password."""

_HELPER = DBusAddress(OBJECT_PATH, BUS_NAME, INTERFACE_NAME)
_BUS = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
_STANDARD_ERROR = "org.freedesktop.DBus.Error."
_MISSING = ("ServiceUnknown", "NameHasNoOwner", "Spawn.")
_MAX_WAITING_SIGNALS = 5000
_FIRST_SERIAL = 1 << 16


class BusCallError(HelperError):
    """The helper refused with a typed error."""

    def __init__(self, kind: BusError, problem: str, advice: str = "") -> None:
        """Say what it refused.

        Args:
            kind: the type of the error.
            problem: what is wrong, in one line.
            advice: what to do.
        """
        super().__init__(problem, advice)
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperSignal:
    """Something that the helper sent by itself."""

    name: str
    """Name of the signal."""
    values: tuple[object, ...]
    """What it carries, without D-Bus types."""


class HelperClient:
    """A connection to the helper.

    A: `is_helper_gone`. C: `properties`, `call`, `signals`, `close`.
    """

    def __init__(
        self, connection: DBusConnection, agent: AuthenticationAgent | None = None
    ) -> None:
        """Use an open connection to the bus; closed by `close`.

        Args:
            connection: the connection.
            agent: asks on the terminal for polkit; started when something may be asked.
        """
        self._connection = connection
        self._agent = agent or AuthenticationAgent(is_wanted=False)
        self._serials = itertools.count(_FIRST_SERIAL)
        self._filter = connection.filter(MatchRule(type="signal"), bufsize=_MAX_WAITING_SIGNALS)
        self._waiting = self._filter.queue
        self._owner = ""
        self._is_gone = False
        rules = (
            MatchRule(type="signal", interface=PROPERTIES_INTERFACE, path=OBJECT_PATH),
            _owner_rule(),
        )
        for rule in rules:
            self._request(message_bus.AddMatch(rule), QUICK)

    @classmethod
    def open(cls, agent: AuthenticationAgent | None = None) -> Self:
        """Connect to the system bus and find the helper; it is started where it is installed.

        Args:
            agent: as for the constructor.

        Raises:
            HelperError: there is no bus or no helper.
        """
        try:
            connection = open_dbus_connection("SYSTEM", enable_fds=True, auth_timeout=QUICK)
        except (OSError, AuthenticationError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else type(error).__name__
            raise HelperMissingError(
                f"there is no system bus on this machine ({reason})",
                "without one use 'mqvpn-core client', which needs no helper",
            ) from None
        try:
            client = cls(connection, agent)
            client.find()
        except BaseException:
            connection.close()
            raise
        return client

    @property
    def is_helper_gone(self) -> bool:
        """The helper has left the bus since it was found."""
        return self._is_gone

    def find(self) -> None:
        """Find out which connection is the helper's.

        Raises:
            HelperError: there is none.
        """
        start = new_method_call(_BUS, "StartServiceByName", "su", (BUS_NAME, 0))
        self._request(start, QUICK)
        owner = self._request(message_bus.GetNameOwner(BUS_NAME), QUICK)
        self._owner = str(owner[0])
        self._is_gone = False

    def properties(self) -> Mapping[str, object]:
        """Return every property that this user may see, without D-Bus types.

        Raises:
            HelperError: the helper does not answer.
        """
        target = _HELPER.with_interface(PROPERTIES_INTERFACE)
        (values,) = self._request(
            new_method_call(target, "GetAll", "s", (INTERFACE_NAME,)), QUICK, "a{sv}"
        )
        return values if isinstance(values, Mapping) else {}

    def call(self, method: Method, *arguments: object) -> tuple[object, ...]:
        """Call a method of the helper.

        Somebody may be asked for a password meanwhile.

        Raises:
            HelperError: it refuses or does not answer.
        """
        message = new_method_call(_HELPER, method.name, method.input_signature, arguments)
        limit = QUICK
        if method.action is not None:
            limit = WITH_QUESTION
            self._agent.start()
        return self._request(message, limit, method.output_signature)

    def signals(self, timeout: float) -> Iterator[HelperSignal]:
        """Give signals of the helper as they come, until none came for ``timeout`` seconds.

        Ends as well when the helper leaves the bus, see `is_helper_gone`.

        Raises:
            HelperError: the bus is gone.
        """
        while not self.is_helper_gone:
            try:
                message = self._connection.recv_until_filtered(self._waiting, timeout=timeout)
            except TimeoutError:
                return
            except OSError:
                raise HelperError("the system bus is gone") from None
            found = self._read_signal(message)
            if found is not None:
                yield found

    def close(self) -> None:
        """Leave the bus."""
        self._agent.stop()
        self._filter.close()
        self._connection.close()

    def __enter__(self) -> Self:
        """Use the connection for a while."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the bus."""
        self.close()

    def _read_signal(self, message: Message) -> HelperSignal | None:
        fields = message.header.fields
        name, sender = fields.get(HeaderFields.member), fields.get(HeaderFields.sender)
        interface = fields.get(HeaderFields.interface)
        if sender == _BUS.bus_name and name == "NameOwnerChanged":
            match message.body:
                # The one that its start brought, before it was found, names it as well.
                case (str(changed), _, str(owner)) if changed == BUS_NAME:
                    self._is_gone = owner != self._owner
            return None
        if sender != self._owner or not self._owner:
            return None
        signature = str(fields.get(HeaderFields.signature, ""))
        if interface == PROPERTIES_INTERFACE and name == "PropertiesChanged":
            return HelperSignal(name=name, values=without_types(signature, message.body))
        for signal in SIGNALS:
            if interface == INTERFACE_NAME and name == signal.name:
                if signature != signal.signature:
                    return None
                return HelperSignal(name=name, values=without_types(signature, message.body))
        return None  # a newer helper tells more

    def _request(
        self, message: Message, timeout: float, signature: str | None = None
    ) -> tuple[object, ...]:
        """Send a call and return the values of its answer."""
        message.header.flags |= MessageFlag.allow_interactive_authorization
        try:
            reply = self._connection.send_and_get_reply(message, timeout=timeout)
        except TimeoutError:
            raise HelperError(
                f"the helper gave no answer within {timeout:g} seconds",
                "'systemctl status mqvpn-helper' may say why",
            ) from None
        except OSError:
            raise HelperError("the system bus closed the connection") from None
        if reply.header.message_type is MessageType.error:
            _refuse(reply)
        if signature is None:
            return reply.body
        found = str(reply.header.fields.get(HeaderFields.signature, ""))
        if found != signature:
            close_descriptors(reply.body)
            raise HelperError(
                f"the helper answers in another form ({found[:20]!r})",
                "helper and command are of different versions: update both",
            )
        return without_types(signature, reply.body)

    @override
    def __repr__(self) -> str:
        return f"HelperClient({self._owner or 'no helper'})"


def close_descriptors(values: tuple[object, ...]) -> None:
    """Close the descriptors in an answer that nobody wants."""
    for value in values:
        if isinstance(value, FileDescriptor):
            value.close()


def _owner_rule() -> MatchRule:
    rule = MatchRule(type="signal", interface=_BUS.interface, member="NameOwnerChanged")
    rule.add_arg_condition(0, BUS_NAME)
    return rule


def _refuse(reply: Message) -> NoReturn:
    """Put an error of the bus or the helper into words."""
    name = str(reply.header.fields.get(HeaderFields.error_name, ""))
    text = plain(reply.body[0]) if reply.body else ""
    if name == BusError.NOT_AUTHORIZED.bus_name:
        raise NotAuthorizedError(
            f"you may not do that ({text})" if text else "you may not do that",
            "log in at this machine itself, or ask who administers it (polkit, org.mqvpn.*)",
        )
    for kind in BusError:
        if name == kind.bus_name:
            raise BusCallError(kind, text or kind.value, _ADVICE.get(kind, ""))
    standard = name.removeprefix(_STANDARD_ERROR)
    if standard.startswith(_MISSING):
        raise HelperMissingError("mqvpn's helper is not installed", f"run: {install_command()}")
    if standard == "AccessDenied":
        raise NotAuthorizedError(
            "the system bus does not let you talk to mqvpn's helper",
            f"its bus policy is not installed; run: {install_command()}",
        )
    if standard in {"UnknownMethod", "UnknownInterface"}:
        raise HelperError("mqvpn's helper is too old for this", f"update it: {install_command()}")
    raise HelperError(f"the helper failed: {text or plain(name)}")


_ADVICE: Mapping[BusError, str] = {
    BusError.BUSY: "'mqvpn down' ends the tunnel that is up",
    BusError.NOT_CONNECTED: "'mqvpn up' opens a tunnel",
    BusError.TOO_MANY_REQUESTS: "wait a moment and try again",
    BusError.NO_TUN: "as root: modprobe tun",
    BusError.BAD_PROFILE: "'mqvpn profile edit NAME' changes it",
    BusError.CREDENTIALS: "ask for a new link, or give the key again: mqvpn profile set-key NAME",
    BusError.CERTIFICATE: "do not connect to it before you know why: ask for a new link",
    BusError.UNREACHABLE: "is this machine online, and is UDP allowed where you are?",
}
