"""Tells a running server to read its configuration again."""

import os
import signal
from pathlib import Path

from mqvpn_core.app.control_client import fetch_status
from mqvpn_core.errors import HostError


def reload_server(control_socket: Path | None) -> None:
    """Send SIGHUP to the server behind a control socket.

    Raises:
        HostError: it has no socket, is not running, or is not ours to tell.
    """
    if control_socket is None:
        raise HostError("it has no control socket to be found by")
    status = fetch_status(control_socket)
    values = status if isinstance(status, dict) else {}
    number = values.get("pid")
    if values.get("role") != "server" or not isinstance(number, int) or number <= 1:
        raise HostError(f"{control_socket}: that is not a server")
    try:
        os.kill(number, signal.SIGHUP)
    except OSError as error:
        raise HostError(f"process {number}: {error.strerror}") from None
