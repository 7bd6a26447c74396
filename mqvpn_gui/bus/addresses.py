"""Where the two buses are, in the form that Python's sockets take."""

from jeepney.bus import find_session_bus, find_system_bus


def system_bus_address() -> str:
    """The socket of the system bus."""
    return _socket_name(find_system_bus())


def session_bus_address() -> str:
    """The socket of the session bus.

    Raises:
        KeyError: there is no session bus.
    """
    return _socket_name(find_session_bus())


def _socket_name(address: str | bytes) -> str:
    return address.decode() if isinstance(address, bytes) else address
