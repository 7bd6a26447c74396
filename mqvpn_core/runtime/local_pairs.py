"""Connected pairs of local sockets, for processes that one starts."""

import socket
from contextlib import ExitStack

from mqvpn_core.runtime.udp_opening import SO_SNDBUFFORCE, set_buffer

_BUFFER_BYTES = 4 << 20


def local_pair(held: ExitStack, kind: socket.SocketKind) -> tuple[socket.socket, socket.socket]:
    """Return a pair that is closed at the end."""
    near, far = socket.socketpair(socket.AF_UNIX, kind)
    return held.enter_context(near), held.enter_context(far)


def message_pair(held: ExitStack) -> tuple[socket.socket, socket.socket]:
    """Return a pair that keeps messages apart; the first can send long ones."""
    near, far = local_pair(held, socket.SOCK_SEQPACKET)
    enlarge_buffer(near)
    return near, far


def enlarge_buffer(sender: socket.socket) -> None:
    """Let a socket hold much that was not received yet, as far as we are allowed to."""
    set_buffer(sender, SO_SNDBUFFORCE, socket.SO_SNDBUF, _BUFFER_BYTES)
