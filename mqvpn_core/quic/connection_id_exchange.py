"""Exchanges connection IDs with the peer for every path ID (RFC 10069 s3.2, RFC 9000 s5.1.1).

PATH_NEW_CONNECTION_ID and PATH_RETIRE_CONNECTION_ID for all paths where multipath was negotiated,
the plain frames of RFC 9000 for path 0 where it was not; both are always accepted for path 0.
"""

from collections.abc import Iterable

from mqvpn_core.errors import RemoteProtocolError
from mqvpn_core.ids import PathId
from mqvpn_core.quic.connection_ids import (
    ISSUED_CONNECTION_IDS,
    LocalConnectionIds,
    PeerConnectionIds,
)
from mqvpn_core.quic.control_frames import ControlFrames
from mqvpn_core.quic.path_ids import PathIds
from mqvpn_core.wire.code_points import TransportErrorCode
from mqvpn_core.wire.path_frame_coding import encode_path_frame
from mqvpn_core.wire.path_frames import (
    NewConnectionId,
    PathCidsBlocked,
    PathNewConnectionId,
    PathRetireConnectionId,
    RetireConnectionId,
)

ISSUED_FOR_UNUSED_PATH = 1
"""RFC 10069 s3.2.1: at least one for each unused path ID; more would only cost memory."""


class ConnectionIdExchange:
    """Issues, retires and collects connection IDs.

    A: peer_ids, may_open
    B: on_new_connection_id, on_retire_connection_id, on_cids_blocked
    C: set_path_zero, issue, issue_for_unused, rotate, drop_peer_ids, forget
    """

    def __init__(
        self, local: LocalConnectionIds, path_ids: PathIds, control_frames: ControlFrames
    ) -> None:
        self.peer_limit = 2
        self._local = local
        self._path_ids = path_ids
        self._control_frames = control_frames
        self._peer: dict[PathId, PeerConnectionIds] = {}

    def peer_ids(self, path_id: PathId) -> PeerConnectionIds:
        """What the peer has issued for a path; possibly nothing yet."""
        return self._peer.setdefault(path_id, PeerConnectionIds())

    def may_open(self, path_id: PathId) -> bool:
        """Both sides have issued a connection ID for this unused path (RFC 10069 s3.1)."""
        known = self._peer.get(path_id)
        return known is not None and known.is_usable and bool(self._local.active(path_id))

    def set_path_zero(
        self, initial: bytes, reset_token: bytes, preferred: tuple[bytes, bytes] | None = None
    ) -> None:
        """Take over what the handshake gave.

        Args:
            initial: the peer's connection ID with sequence number 0.
            reset_token: its stateless reset token.
            preferred: connection ID and token of a preferred address; like any other it may be used
                on any network path and is retired when the server wants that.
        """
        known = self._peer[PathId(0)] = PeerConnectionIds(initial=initial, reset_token=reset_token)
        if preferred is not None:
            connection_id, token = preferred
            known.on_new_connection_id(
                NewConnectionId(
                    sequence_number=1,  # RFC 9000 s5.1.1
                    retire_prior_to=0,
                    connection_id=connection_id,
                    stateless_reset_token=token,
                )
            )

    def issue(self, path_id: PathId, wanted: int = ISSUED_CONNECTION_IDS) -> None:
        """Make sure that the peer has enough connection IDs for a path."""
        for frame in self._local.issue(path_id, self.peer_limit, wanted):
            self._control_frames.push(encode_path_frame(self._for_path(path_id, frame)))

    def issue_for_unused(self) -> None:
        """Let the peer open every path that the limits of both sides allow, in order."""
        first = self._path_ids.next_unused
        if first is None:
            return
        for number in range(first, self._path_ids.usable_maximum + 1):
            path_id = PathId(number)
            if not self._path_ids.is_discarded(path_id):
                self.issue(path_id, ISSUED_FOR_UNUSED_PATH)

    def rotate(self, path_id: PathId) -> None:
        """Send with a fresh connection ID of the same path from now on (RFC 9000 s9.5)."""
        self._retire(path_id, self.peer_ids(path_id).rotate())

    def on_new_connection_id(
        self, path_id: PathId, frame: NewConnectionId | PathNewConnectionId
    ) -> bool:
        """Take a connection ID that the peer offers.

        Returns:
            True when it is the first one of the path.

        Raises:
            RemoteProtocolError: it contradicts an earlier one or exceeds our limit.
        """
        for other, known in self._peer.items():
            if other != path_id and known.knows(frame.connection_id):
                # RFC 9000 s5.1.1: never issued more than once on the same connection
                raise RemoteProtocolError(
                    TransportErrorCode.PROTOCOL_VIOLATION, "connection ID issued for two paths"
                )
        peer = self.peer_ids(path_id)
        was_usable = peer.is_usable
        plain = NewConnectionId(
            sequence_number=frame.sequence_number,
            retire_prior_to=frame.retire_prior_to,
            connection_id=frame.connection_id,
            stateless_reset_token=frame.stateless_reset_token,
        )
        self._retire(path_id, peer.on_new_connection_id(plain))
        return not was_usable

    def on_retire_connection_id(
        self, path_id: PathId, sequence_number: int, *, is_open: bool
    ) -> None:
        """The peer will not use one of our connection IDs; replace it while the path is open.

        Raises:
            RemoteProtocolError: we never issued it.
        """
        self._local.retire(path_id, sequence_number)
        self.issue(path_id, ISSUED_CONNECTION_IDS if is_open else ISSUED_FOR_UNUSED_PATH)

    def on_cids_blocked(self, frame: PathCidsBlocked) -> None:
        """The peer lacks a connection ID: it has all we issue, or they are on their way.

        Raises:
            RemoteProtocolError: it expects a number beyond the next one (RFC 10069 s4.7).
        """
        if frame.next_sequence_number > self._local.next_sequence_number(frame.path_id):
            raise RemoteProtocolError(
                TransportErrorCode.PROTOCOL_VIOLATION,
                "PATH_CIDS_BLOCKED is ahead of what we issued",
            )

    def drop_peer_ids(self, path_id: PathId) -> None:
        """PATH_ABANDON retires all the peer's connection IDs of the path at once."""
        self._peer.pop(path_id, None)

    def forget(self, path_id: PathId) -> None:
        """The path is discarded: our connection IDs for it lead nowhere any more."""
        self._peer.pop(path_id, None)
        self._local.forget(path_id)

    def _retire(self, path_id: PathId, sequence_numbers: Iterable[int]) -> None:
        for number in sequence_numbers:
            frame = (
                PathRetireConnectionId(path_id=path_id, sequence_number=number)
                if self._path_ids.is_negotiated
                else RetireConnectionId(sequence_number=number)
            )
            self._control_frames.push(encode_path_frame(frame))

    def _for_path(
        self, path_id: PathId, frame: NewConnectionId
    ) -> NewConnectionId | PathNewConnectionId:
        if not self._path_ids.is_negotiated:
            return frame
        return PathNewConnectionId(
            path_id=path_id,
            sequence_number=frame.sequence_number,
            retire_prior_to=frame.retire_prior_to,
            connection_id=frame.connection_id,
            stateless_reset_token=frame.stateless_reset_token,
        )
