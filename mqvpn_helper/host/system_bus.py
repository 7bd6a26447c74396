"""The system bus for host code: one call after another, each with a deadline.

jeepney is loaded when the first call is made: a machine without it has no system bus for us.
"""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from mqvpn_helper.host.failures import HostChangeError

if TYPE_CHECKING:
    from jeepney.io.blocking import DBusConnection

_DEADLINE = 5.0


class SystemBus:
    """One connection to the system bus, to be used as a context manager."""

    def __init__(self) -> None:
        """Prepare; the connection is opened by ``with``."""
        self._connection: DBusConnection | None = None

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            HostChangeError: there is no bus, or nothing to speak to it with.
        """
        try:
            from jeepney.io.blocking import (  # noqa: PLC0415 - a server runs without it
                open_dbus_connection,
            )
        except ImportError as error:
            raise HostChangeError(
                "the Python package jeepney is missing, which speaks to the system bus: pip"
                " install jeepney"
            ) from error
        try:
            self._connection = open_dbus_connection("SYSTEM", auth_timeout=_DEADLINE)
        except (OSError, ValueError, KeyError) as error:
            raise HostChangeError(f"there is no system bus: {error}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def call(
        self,
        target: tuple[str, str, str],
        method: str,
        signature: str = "",
        body: tuple[object, ...] = (),
    ) -> tuple[object, ...]:
        """Call a method and return what it answers.

        Args:
            target: bus name, object path, interface.
            method: the method.
            signature: D-Bus signature of the arguments.
            body: the arguments.

        Raises:
            HostChangeError: the answer is an error, or there is none in time.
        """
        from jeepney import (  # noqa: PLC0415 - see __enter__
            DBusAddress,
            DBusErrorResponse,
            new_method_call,
        )
        from jeepney.wrappers import unwrap_msg  # noqa: PLC0415 - see __enter__

        if self._connection is None:
            raise RuntimeError("SystemBus is used outside its with block")
        bus_name, path, interface = target
        address = DBusAddress(path, bus_name=bus_name, interface=interface)
        message = new_method_call(address, method, signature or None, body)
        try:
            return unwrap_msg(self._connection.send_and_get_reply(message, timeout=_DEADLINE))
        except DBusErrorResponse as error:
            reason = f"{error.name}: {error.data[0] if error.data else ''}"
            raise HostChangeError(f"{bus_name} refused {method}: {reason}") from error
        except (OSError, TimeoutError) as error:
            raise HostChangeError(f"{bus_name} does not answer {method}") from error
