"""Which path IDs may be used: negotiation, limits, growth (RFC 10069 s2.1, s4.6, s4.7).

Path IDs are consumed in order and never used twice. Our limit grows by one for every path whose
state is gone, so that as many paths can live at a time as at the start, for ever.
"""

from mqvpn_core.errors import RemoteProtocolError
from mqvpn_core.ids import PathId
from mqvpn_core.quic.packet_number_ranges import PacketNumberRanges
from mqvpn_core.wire.code_points import TransportErrorCode

MAX_PATH_ID = 2**32 - 1
"""Largest path ID: it has to fit into the nonce."""


class PathIds:
    """Limits and use of path IDs on one connection.

    A: is_negotiated, local_maximum, peer_maximum, usable_maximum, next_unused, is_discarded
    B: on_max_path_id; check_announced raises for what the peer may not name
    C: negotiate, note_used, discard, grow
    """

    def __init__(self, local_initial: int | None) -> None:
        """Begin with what we advertise as initial_max_path_id; None leaves the extension out."""
        self.is_negotiated = False
        self.local_maximum = local_initial if local_initial is not None else 0
        self.peer_maximum = 0
        self._is_offered = local_initial is not None
        self._peer_initial = 0
        self._next = 1
        self._discarded = PacketNumberRanges()

    @property
    def usable_maximum(self) -> int:
        """Largest path ID that both sides allow."""
        return min(self.local_maximum, self.peer_maximum) if self.is_negotiated else 0

    @property
    def next_unused(self) -> PathId | None:
        """Path ID that the next path will have, if the limits allow one."""
        return PathId(self._next) if self._next <= self.usable_maximum else None

    @property
    def is_limited_by_peer(self) -> bool:
        """The next path fails because of the peer's limit."""
        return self._next > self.peer_maximum

    def negotiate(self, peer_initial: int | None) -> None:
        """Take the peer's initial_max_path_id; None when it sent none."""
        self.is_negotiated = self._is_offered and peer_initial is not None
        if self.is_negotiated and peer_initial is not None:
            self._peer_initial = self.peer_maximum = peer_initial

    def on_max_path_id(self, maximum: int) -> bool:
        """Process MAX_PATH_ID.

        Returns:
            True when it raised the limit.

        Raises:
            RemoteProtocolError: the value is out of range.
        """
        if maximum > MAX_PATH_ID or maximum < self._peer_initial:
            # RFC 10069 s4.6: above 2^32-1, or below what the transport parameter said
            raise RemoteProtocolError(
                TransportErrorCode.PROTOCOL_VIOLATION, "MAX_PATH_ID is out of range"
            )
        if maximum <= self.peer_maximum:
            return False
        self.peer_maximum = maximum
        return True

    def check_announced(self, path_id: int) -> None:
        """Refuse a path ID above what we announced (RFC 10069 s4).

        Raises:
            RemoteProtocolError: it is too large.
        """
        if path_id > self.local_maximum:
            raise RemoteProtocolError(
                TransportErrorCode.PROTOCOL_VIOLATION, f"path ID {path_id} is above our limit"
            )

    def note_used(self, path_id: PathId) -> None:
        """A path with this ID exists: the next one gets a greater ID."""
        self._next = max(self._next, path_id + 1)
        self._pass_over_discarded()

    def is_discarded(self, path_id: int) -> bool:
        """The path is gone, or was given up before it existed: frames about it are ignored."""
        return path_id in self._discarded

    def discard(self, path_id: PathId) -> None:
        """Never open or look at this path again."""
        self._discarded.add(path_id, path_id + 1)
        self._pass_over_discarded()

    def grow(self) -> bool:
        """All state of a discarded path is gone: there is room for another one.

        Returns:
            True when our limit grew and the peer has to be told.
        """
        if self.local_maximum >= MAX_PATH_ID:
            return False
        self.local_maximum += 1
        return True

    def _pass_over_discarded(self) -> None:
        # A path that was given up before it was opened leaves a hole behind the next one.
        while self._next in self._discarded:
            self._next += 1
