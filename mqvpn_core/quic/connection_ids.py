"""Connection IDs of one connection: those we issue and those the peer issued, per path ID.

RFC 9000 s5.1, s19.15, s19.16. A connection ID belongs to one path ID for the whole life of the
connection and is never issued twice. Frames are values here; sending them is `control_frames`'.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mqvpn_core.errors import RemoteProtocolError
from mqvpn_core.ids import PathId
from mqvpn_core.wire.code_points import TransportErrorCode
from mqvpn_core.wire.path_frames import NewConnectionId

ACTIVE_CONNECTION_ID_LIMIT = 8
"""Most connection IDs of the peer we keep for one path: what the engine advertises."""

ISSUED_CONNECTION_IDS = 4
"""Connection IDs we keep issued for one path: enough for rotation on migration."""

_MAX_REMEMBERED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalConnectionId:
    """A connection ID that the peer may send to."""

    connection_id: bytes
    """Its bytes."""
    path_id: PathId
    """The path it belongs to."""
    sequence_number: int
    """Its number within the path."""


class LocalConnectionIds:
    """What we issued, for all paths.

    A: lookup, active; C: issue, retire; D: take_route_changes.
    """

    def __init__(
        self,
        *,
        initial: bytes,
        generate: Callable[[], bytes],
        reset_token: Callable[[bytes], bytes],
    ) -> None:
        """Start with the connection ID of the handshake.

        Args:
            initial: sequence number 0 of path 0.
            generate: makes a fresh connection ID.
            reset_token: stateless reset token of a connection ID (RFC 9000 s10.3.2).
        """
        self._generate = generate
        self._reset_token = reset_token
        self._by_bytes: dict[bytes, LocalConnectionId] = {}
        self._next_sequence: dict[PathId, int] = {}
        # What nobody has been told of yet; a client has nobody to tell, so nothing may pile up.
        self._added: dict[bytes, None] = {}
        self._removed: list[bytes] = []
        self._register(PathId(0), initial)

    def lookup(self, connection_id: bytes) -> LocalConnectionId | None:
        """Find what a packet's destination connection ID stands for."""
        return self._by_bytes.get(connection_id)

    def active(self, path_id: PathId) -> list[LocalConnectionId]:
        """Connection IDs of a path that the peer has not retired."""
        return [cid for cid in self._by_bytes.values() if cid.path_id == path_id]

    def issue(
        self, path_id: PathId, peer_limit: int, wanted: int = ISSUED_CONNECTION_IDS
    ) -> list[NewConnectionId]:
        """Top up a path's connection IDs and return what to tell the peer.

        Args:
            path_id: the path.
            peer_limit: the peer's active_connection_id_limit, which counts per path.
            wanted: how many the peer should have.
        """
        frames = []
        missing = min(wanted, peer_limit) - len(self.active(path_id))
        for _ in range(missing):
            cid = self._register(path_id, self._generate())
            frames.append(
                NewConnectionId(
                    sequence_number=cid.sequence_number,
                    retire_prior_to=0,
                    connection_id=cid.connection_id,
                    stateless_reset_token=self._reset_token(cid.connection_id),
                )
            )
        return frames

    def retire(self, path_id: PathId, sequence_number: int) -> None:
        """The peer will not use a connection ID any more; repeated frames are no error.

        Raises:
            RemoteProtocolError: the sequence number was never issued.
        """
        if sequence_number >= self._next_sequence.get(path_id, 0):
            # RFC 9000 s19.16: "Receipt of a RETIRE_CONNECTION_ID frame containing a sequence number
            # greater than any previously sent to the peer MUST be treated as a connection error"
            raise RemoteProtocolError(
                TransportErrorCode.PROTOCOL_VIOLATION, "retired a connection ID never issued"
            )
        for cid in self.active(path_id):
            if cid.sequence_number == sequence_number:
                self._remove(cid)

    def next_sequence_number(self, path_id: PathId) -> int:
        """Sequence number that the next connection ID of a path will have."""
        return self._next_sequence.get(path_id, 0)

    def forget(self, path_id: PathId) -> None:
        """The path is discarded: its connection IDs lead nowhere any more."""
        for cid in self.active(path_id):
            self._remove(cid)
        self._next_sequence.pop(path_id, None)

    def take_route_changes(self) -> tuple[list[bytes], list[bytes]]:
        """Connection IDs added and removed since the last call, for the endpoint's table."""
        if not self._added and not self._removed:
            return [], []
        changes = (list(self._added), self._removed)
        self._added, self._removed = {}, []
        return changes

    @property
    def all_connection_ids(self) -> list[bytes]:
        """Every connection ID the peer may use now."""
        return list(self._by_bytes)

    def _register(self, path_id: PathId, connection_id: bytes) -> LocalConnectionId:
        sequence_number = self._next_sequence.get(path_id, 0)
        self._next_sequence[path_id] = sequence_number + 1
        cid = LocalConnectionId(
            connection_id=connection_id, path_id=path_id, sequence_number=sequence_number
        )
        assert connection_id not in self._by_bytes
        self._by_bytes[connection_id] = cid
        self._added[connection_id] = None
        return cid

    def _remove(self, cid: LocalConnectionId) -> None:
        del self._by_bytes[cid.connection_id]
        if cid.connection_id in self._added:
            del self._added[cid.connection_id]
        else:
            self._removed.append(cid.connection_id)


class PeerConnectionIds:
    """What the peer issued for one path ID.

    A: current, reset_token; B: on_new_connection_id; C: rotate. Both return the sequence numbers
    for which RETIRE_CONNECTION_ID must be sent.
    """

    def __init__(self, *, initial: bytes | None = None, reset_token: bytes = b"") -> None:
        """Start empty, or with sequence number 0 of path 0, which the handshake gave."""
        self._known: dict[int, tuple[bytes, bytes]] = {}
        if initial is not None:
            self._known[0] = (initial, reset_token)
        self._active: dict[int, tuple[bytes, bytes]] = dict(self._known)
        self._current: int | None = None if initial is None else 0
        self.is_usable = initial is not None
        """There is a connection ID to send with."""
        self._retire_prior_to = 0
        self._forgotten_below = 0

    @property
    def current(self) -> bytes:
        """Destination connection ID to send with."""
        assert self._current is not None
        return self._active[self._current][0]

    @property
    def reset_token(self) -> bytes:
        """Token that would end the connection; empty when there is none.

        RFC 9000 s10.3.1: only tokens of connection IDs in use are compared.
        """
        return b"" if self._current is None else self._active[self._current][1]

    @property
    def has_spare(self) -> bool:
        """There is an unused connection ID to rotate to."""
        return len(self._active) > 1

    @property
    def next_expected(self) -> int:
        """Sequence number of the first connection ID we have not seen."""
        return max(self._known, default=self._forgotten_below - 1) + 1

    def knows(self, connection_id: bytes) -> bool:
        """The peer has issued these bytes for this path."""
        return any(known[0] == connection_id for known in self._known.values())

    def on_new_connection_id(self, frame: NewConnectionId) -> list[int]:
        """Take a connection ID the peer offers.

        Raises:
            RemoteProtocolError: it contradicts an earlier one or exceeds our limit.
        """
        offered = (frame.connection_id, frame.stateless_reset_token)
        sequence_number = frame.sequence_number
        self._check_consistency(sequence_number, offered)
        if sequence_number in self._known or sequence_number < self._forgotten_below:
            # RFC 9000 s19.15: repeated, perhaps with a Retire Prior To that has grown
            return self._retire_below(frame.retire_prior_to)
        self._known[sequence_number] = offered
        if len(self._known) > _MAX_REMEMBERED:
            oldest = min(self._known)
            del self._known[oldest]
            self._forgotten_below = oldest + 1
        if sequence_number < self._retire_prior_to:
            # RFC 9000 s19.15: below an earlier Retire Prior To: retired unless already done
            return [sequence_number]
        self._active[sequence_number] = offered
        if self._current is None:
            self._choose(sequence_number)
        retired = self._retire_below(frame.retire_prior_to)
        if len(self._active) > ACTIVE_CONNECTION_ID_LIMIT:
            # RFC 9000 s5.1.1
            raise RemoteProtocolError(
                TransportErrorCode.CONNECTION_ID_LIMIT_ERROR, "too many connection IDs"
            )
        return retired

    def rotate(self) -> list[int]:
        """Go over to a fresh connection ID, if there is one (RFC 9000 s9.5)."""
        spare = [number for number in self._active if number != self._current]
        if not spare or self._current is None:
            return []
        retired = self._current
        del self._active[retired]
        self._choose(min(spare))
        return [retired]

    def _choose(self, sequence_number: int | None) -> None:
        self._current = sequence_number
        self.is_usable = sequence_number is not None

    def _retire_below(self, retire_prior_to: int) -> list[int]:
        if retire_prior_to <= self._retire_prior_to:
            return []
        self._retire_prior_to = retire_prior_to
        retired = [number for number in self._active if number < retire_prior_to]
        for number in retired:
            del self._active[number]
        if self._current in retired:
            # None when the frame that raised Retire Prior To only repeats what was retired already.
            self._choose(min(self._active, default=None))
        return retired

    def _check_consistency(self, sequence_number: int, offered: tuple[bytes, bytes]) -> None:
        for known_number, known in self._known.items():
            same_number = known_number == sequence_number
            if (same_number and known != offered) or (not same_number and known[0] == offered[0]):
                # RFC 9000 s19.15: same sequence number with another ID, or the same ID with another
                # number "MAY" be a PROTOCOL_VIOLATION; we insist.
                raise RemoteProtocolError(
                    TransportErrorCode.PROTOCOL_VIOLATION, "contradictory NEW_CONNECTION_ID"
                )
