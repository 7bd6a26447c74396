"""The sockets of a driver as the bypass knows them: by numbers, and only those of the system."""

from mqvpn_core.dataplane import kernel
from mqvpn_core.dataplane.bypass import SocketCounts
from mqvpn_core.dataplane.packets import ReadDatagrams
from mqvpn_core.ids import SocketAddress
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams
from mqvpn_core.runtime.limited_socket import LimitedSocket
from mqvpn_core.runtime.packet_ports import DatagramSocket
from mqvpn_core.runtime.udp_sockets import UdpSocket


class BypassSockets:
    """Sockets by their numbers and addresses.

    A: `key_of`, `find`. C: `add`, `remove`. B: `receive`, `count`.
    """

    def __init__(self, bypass: kernel.Bypass) -> None:
        """Start without sockets.

        Args:
            bypass: is told of each; it has to be held for that.
        """
        self._bypass = bypass
        self._next_key = 0
        self._keys: dict[DatagramSocket, int] = {}
        self._plain: dict[int, UdpSocket] = {}
        self._by_local: dict[SocketAddress, DatagramSocket | None] = {}

    def key_of(self, socket: DatagramSocket) -> int | None:
        """Return the number of a socket; None when it has none."""
        return self._keys.get(socket)

    def add(self, socket: DatagramSocket) -> None:
        """Give a socket a number, if it is one of the system's."""
        inner = socket.inner if isinstance(socket, LimitedSocket) else socket
        if isinstance(inner, UdpSocket):
            key, self._next_key = self._next_key, self._next_key + 1
            self._keys[socket] = key
            self._plain[key] = inner
            self._bypass.add_socket(key, inner.fileno())
            self._by_local.clear()

    def remove(self, socket: DatagramSocket) -> int | None:
        """Forget a socket before it is closed, and return its number; harmless when done twice."""
        key = self._keys.pop(socket, None)
        if key is not None:
            del self._plain[key]
            self._by_local.clear()
            self._bypass.remove_socket(key)
        return key

    def find(self, local: SocketAddress) -> tuple[int, UdpSocket] | None:
        """Find the socket of a local address, unless it must not be read as fast as it goes."""
        try:
            socket = self._by_local[local]
        except KeyError:
            socket = self._by_local[local] = self._search(local)
        if socket is None or (isinstance(socket, LimitedSocket) and socket.is_limited):
            return None
        key = self._keys[socket]
        return key, self._plain[key]

    def receive(self, key: int, read: ReadDatagrams) -> ReceivedDatagrams | None:
        """Make of what the bypass has read what the socket would have made of it."""
        socket = self._plain.get(key)
        return None if socket is None else socket.received(*read)

    def count(self, counts: SocketCounts) -> None:
        """Let a socket count what the bypass has read and sent."""
        socket = self._plain.get(counts[0])
        if socket is not None:
            socket.note_bypassed(counts)

    def _search(self, local: SocketAddress) -> DatagramSocket | None:
        wildcard = SocketAddress("::" if ":" in local.host else "0.0.0.0", local.port)  # noqa: S104 - compared, not bound
        for wanted in (local, wildcard):
            # The newest of several, as in the outbox.
            for socket in reversed(self._keys):
                if socket.local_address == wanted:
                    return socket
        return None
