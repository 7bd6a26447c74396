"""Opens, abandons and discards paths; the multipath frames that are about whole paths.

RFC 10069 s3. States of a path ID (`paths.PathState`): validating -> active -> abandoning (our
PATH_ABANDON is out) -> retained (both have said it; late packets are acknowledged) -> discarded.
"""

from collections import deque

from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.ids import FourTuple, Instant, PathId
from mqvpn_core.quic.ack_processing import AckProcessor
from mqvpn_core.quic.connection_id_exchange import ConnectionIdExchange
from mqvpn_core.quic.events import (
    Event,
    PathAbandoned,
    PathIdsAvailable,
    PathOpened,
    PathStatusChanged,
    PathUseChanged,
)
from mqvpn_core.quic.network_paths import NetworkPathFactory
from mqvpn_core.quic.packet_sources import PacketSources
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.quic.paths import Path, PathState
from mqvpn_core.quic.timers import earliest, is_due
from mqvpn_core.wire.code_points import TransportErrorCode
from mqvpn_core.wire.path_frame_coding import encode_path_frame
from mqvpn_core.wire.path_frames import (
    MaxPathId,
    PathAbandon,
    PathCidsBlocked,
    PathsBlocked,
    PathStatusAvailable,
    PathStatusBackup,
)

RETENTION_PROBE_TIMEOUTS = 3
"""RFC 10069 s3.4: state is kept for 3 PTO after PATH_ABANDON has been received."""

UNANSWERED_ABANDON_SECONDS = 10.0
"""How long a peer that never answers PATH_ABANDON makes us keep a path's state."""

SERVER_GRACE_PROBE_TIMEOUTS = 2
"""RFC 10069 s3.4: for "a short, limited time such as one PTO" a server without a path waits for a
packet on a new one; the path may have been given up by both sides at once, each another one."""

CLIENT_GRACE_PROBE_TIMEOUTS = 6
"""A client may open and validate another path meanwhile, which takes 3 PTO at most."""

MAX_VALIDATING_PATHS = 4
"""Most paths that a server validates at a time (RFC 10069 s7.2)."""


class PathUnavailableError(LocalProtocolError):
    """No path ID or connection ID is free; PathIdsAvailable tells when to try again."""


class PathManager:
    """Lifecycle of all paths of one connection.

    A: sending_paths, closing_path, is_stranded
    B: accept, on_abandon, on_status, on_max_path_id, on_paths_blocked, on_validated, handle_timeout
    C: open, abandon, set_use, note_ids_arrived; D: next_timeout
    """

    def __init__(
        self,
        *,
        sources: PacketSources,
        exchange: ConnectionIdExchange,
        network_paths: NetworkPathFactory,
        events: deque[Event],
    ) -> None:
        """Begin with no path; the handshake adds path 0.

        Args:
            sources: paths, path IDs, keys and the queue of control frames.
            exchange: connection IDs of all paths.
            network_paths: makes the state of four-tuples.
            events: where events go.
        """
        self._sources = sources
        self._paths = sources.paths
        self._path_ids = sources.path_ids
        self._exchange = exchange
        self._network_paths = network_paths
        self._events = events
        self._acks = AckProcessor(sources)
        self._control_frames = sources.control_frames
        self._peer_status: dict[PathId, tuple[int, bool]] = {}
        # Path IDs that were given up before a path was there; late packets may still come.
        self._never_opened: dict[PathId, Instant] = {}
        self._is_waiting_for_ids = False
        self._last_blocked: dict[str, bytes] = {}
        self._stranded_until: Instant | None = None
        self.is_stranded = False
        """The peer has given up the only path and no other has come in time."""

    def sending_paths(self) -> list[Path]:
        """Paths that packets may be sent on."""
        return [path for path in self._paths.values() if path.may_send]

    def closing_path(self) -> Path | None:
        """The path on which CONNECTION_CLOSE is most likely to arrive.

        When there is none left, the one that was given up last: nothing else could tell the peer.
        """
        candidates = self.sending_paths()
        if not candidates:
            return next((p for p in reversed(self._paths.values()) if p.peer_cids.is_usable), None)
        return min(
            candidates,
            key=lambda path: (
                not path.may_carry_data,
                path.is_suspect,
                path.current.recovery.rtt.smoothed,
            ),
        )

    def open(self, four_tuple: FourTuple, now: Instant) -> PathId:
        """Client: open the next path over a network path; its validation starts at once.

        Raises:
            PathUnavailableError: no path ID or no connection ID is free.
        """
        path_id = self._path_ids.next_unused
        if path_id is None:
            self._tell_blocked()
            raise PathUnavailableError("every path ID that the server allows is in use")
        if not self._exchange.may_open(path_id):
            expected = self._exchange.peer_ids(path_id).next_expected
            frame = PathCidsBlocked(path_id=path_id, next_sequence_number=expected)
            self._tell_once("cids_blocked", encode_path_frame(frame))
            self._is_waiting_for_ids = True
            raise PathUnavailableError(f"no connection ID for path {path_id} has arrived yet")
        self._create(path_id, four_tuple, now)
        return path_id

    def accept(self, path_id: PathId, four_tuple: FourTuple, now: Instant) -> Path | None:
        """Server: an authentic packet came on an unused path ID (RFC 10069 s3.1).

        Returns:
            The new path, or None when there are too many of them already: then the client is told,
            or it would ask for as long as it waits for an answer.
        """
        if self._path_ids.is_discarded(path_id):
            return None
        validating = [p for p in self._paths.values() if p.state is PathState.VALIDATING]
        if len(validating) >= MAX_VALIDATING_PATHS:
            # RFC 10069, "Error Codes": "it cannot allocate sufficient resources to maintain it"
            code = TransportErrorCode.PATH_RESOURCE_LIMIT_REACHED
            reason = "too many paths are being validated"
            self.abandon(path_id, code, reason, by_peer=False, now=now)
            return None
        return self._create(path_id, four_tuple, now)

    def abandon(
        self, path_id: PathId, error_code: int, reason: str, *, by_peer: bool, now: Instant
    ) -> None:
        """Give a path up: PATH_ABANDON goes out on another path, nothing more on this one.

        Does nothing for a path that is given up already.
        """
        path = self._paths.get(path_id)
        if self._path_ids.is_discarded(path_id) or (path is not None and path.is_abandoned):
            return
        frame = PathAbandon(path_id=path_id, error_code=error_code)
        self._control_frames.push(encode_path_frame(frame), topic=("abandon", path_id))
        # RFC 10069 s3.4: the peer's connection IDs are retired from now on
        self._exchange.drop_peer_ids(path_id)
        if path is None:
            # Packets that opened it may be on their way: they must not provoke a stateless reset.
            self._path_ids.discard(path_id)
            self._never_opened[path_id] = Instant(now + UNANSWERED_ABANDON_SECONDS)
        else:
            path.state = PathState.ABANDONING
            self._acks.send_elsewhere(path, now)
            self._sources.datagrams.forget_path(path_id)
            path.abandon_reason = reason
            path.discard_at = Instant(now + UNANSWERED_ABANDON_SECONDS)
        self._events.append(
            PathAbandoned(path_id=path_id, error_code=error_code, by_peer=by_peer, reason=reason)
        )

    def set_use(self, path_id: PathId, use: PathUse) -> None:
        """Decide what a path is for and tell the peer when that changes its status.

        Raises:
            LocalProtocolError: there is no such path.
        """
        path = self._paths.get(path_id)
        if path is None or path.is_abandoned:
            raise LocalProtocolError(f"path {path_id} does not exist")
        if path.use is not use:
            path.use = use
            self._events.append(PathUseChanged(path_id=path_id, use=use))
        self.announce_status(path)

    def announce_status(self, path: Path) -> None:
        """Tell the peer whether to send on a path: not on a backup, nor on one that seems broken.

        Says nothing that the peer knows already.
        """
        is_backup = path.use is PathUse.BACKUP or path.is_suspect
        if is_backup == path.announced_backup or not self._path_ids.is_negotiated:
            return
        path.announced_backup = is_backup
        path.local_status_sequence += 1
        make = PathStatusBackup if is_backup else PathStatusAvailable
        frame = make(path_id=path.path_id, sequence_number=path.local_status_sequence)
        self._control_frames.push(encode_path_frame(frame), topic=("status", path.path_id))

    def on_abandon(self, frame: PathAbandon, probe_timeout: float, now: Instant) -> None:
        """The peer gave a path up: answer once, keep its state for a while."""
        path_id = frame.path_id
        self.abandon(path_id, frame.error_code, "the peer gave it up", by_peer=True, now=now)
        path = self._paths.get(path_id)
        end = Instant(now + RETENTION_PROBE_TIMEOUTS * probe_timeout)
        if path is not None and path.state is PathState.ABANDONING:
            path.state = PathState.RETAINED
            path.discard_at = end
        elif path_id in self._never_opened:
            # Nobody knows how slow that path is.
            probe_timeout = max(probe_timeout, self._network_paths.initial_probe_timeout)
            end = Instant(now + RETENTION_PROBE_TIMEOUTS * probe_timeout)
            self._never_opened[path_id] = min(end, self._never_opened[path_id])
        if self._stranded_until is None and not self.sending_paths():
            is_client = self._sources.engine.is_client
            grace = CLIENT_GRACE_PROBE_TIMEOUTS if is_client else SERVER_GRACE_PROBE_TIMEOUTS
            self._stranded_until = Instant(now + grace * probe_timeout)
            if path is not None:
                # Kept for CONNECTION_CLOSE, which has no other way to go.
                path.discard_at = Instant(max(end, self._stranded_until + probe_timeout))

    def on_status(self, frame: PathStatusAvailable | PathStatusBackup) -> None:
        """Note the peer's wish; frames that come late are ignored (RFC 10069 s4.3)."""
        path_id = frame.path_id
        path = self._paths.get(path_id)
        is_backup = isinstance(frame, PathStatusBackup)
        known = self._peer_status.get(path_id, (-1, False))
        if frame.sequence_number <= known[0]:
            return
        self._peer_status[path_id] = (frame.sequence_number, is_backup)
        if path is not None:
            path.peer_is_backup = is_backup
        if is_backup != known[1]:
            self._events.append(PathStatusChanged(path_id=path_id, is_backup=is_backup))

    def on_max_path_id(self, frame: MaxPathId) -> None:
        """The peer allows more paths (RFC 10069 s4.6)."""
        if self._path_ids.on_max_path_id(frame.maximum_path_id):
            self._exchange.issue_for_unused()
            self.note_ids_arrived()

    def on_paths_blocked(self, frame: PathsBlocked) -> None:
        """The peer would open more paths; our limit grows when one is discarded.

        Raises:
            RemoteProtocolError: it names a limit above ours.
        """
        self._path_ids.check_announced(frame.maximum_path_id)

    def note_ids_arrived(self) -> None:
        """Tell whoever waits that `open` may succeed now."""
        path_id = self._path_ids.next_unused
        if self._is_waiting_for_ids and path_id is not None and self._exchange.may_open(path_id):
            self._is_waiting_for_ids = False
            self._events.append(PathIdsAvailable())

    def on_validated(self, path: Path) -> None:
        """A path's network path has been validated: it may carry anything."""
        if path.state is PathState.VALIDATING:
            path.state = PathState.ACTIVE
            self._exchange.issue(path.path_id)

    def next_timeout(self) -> Instant | None:
        """When the next path is to be discarded or given up."""
        candidates = [self._stranded_until, *self._never_opened.values()]
        for path in self._paths.values():
            candidates.append(path.discard_at)
            if _is_unreachable(path):
                candidates.append(path.current.validation_deadline)
        return earliest(candidates)

    def handle_timeout(self, now: Instant) -> None:
        """Discard paths whose retention is over; give up those that cannot even be validated."""
        if is_due(self._stranded_until, now):
            self._stranded_until = None
            self.is_stranded = not self.sending_paths()
        for path in list(self._paths.values()):
            if _is_unreachable(path) and path.current.has_failed(now):
                code = TransportErrorCode.NO_CID_AVAILABLE_FOR_PATH
                reason = "the peer has issued no connection ID for it"
                self.abandon(path.path_id, code, reason, by_peer=False, now=now)
        for path in list(self._paths.values()):
            if not is_due(path.discard_at, now):
                continue
            if path.state is PathState.ABANDONING and self._is_unheard(path.path_id):
                # The peer may still use the path in good faith.
                path.discard_at = Instant(now + UNANSWERED_ABANDON_SECONDS)
                continue
            self._acks.on_path_discarded(path)
            self._path_ids.discard(path.path_id)
            self._forget(path.path_id)
        for path_id, end in list(self._never_opened.items()):
            if is_due(end, now):
                self._forget(path_id)

    def _create(self, path_id: PathId, four_tuple: FourTuple, now: Instant) -> Path:
        path = Path(
            path_id,
            peer_cids=self._exchange.peer_ids(path_id),
            make_network_path=self._network_paths.make,
            four_tuple=four_tuple,
        )
        path.state = PathState.VALIDATING
        path.peer_is_backup = self._peer_status.get(path_id, (-1, False))[1]
        # RFC 9000 s8.2.4: the PTO of a path without samples comes from the initial RTT
        path.current.start_validation(now, path.current.recovery.probe_timeout())
        # The client knows the server's address; only a server has to fear for a stranger.
        path.current.is_limited = not self._sources.engine.is_client
        path.last_received_at = path.kept_alive_at = now
        self._paths[path_id] = path
        self._path_ids.note_used(path_id)
        self._stranded_until = None
        self._events.append(PathOpened(path_id=path_id, four_tuple=four_tuple))
        return path

    def _is_unheard(self, path_id: PathId) -> bool:
        return self._control_frames.is_outstanding(("abandon", path_id))

    def _forget(self, path_id: PathId) -> None:
        """Drop all state of a discarded path and let the peer open another one."""
        self._paths.pop(path_id, None)
        self._never_opened.pop(path_id, None)
        self._peer_status.pop(path_id, None)
        self._exchange.forget(path_id)
        self._sources.protection.forget_path(path_id)
        if self._path_ids.grow():
            frame = MaxPathId(maximum_path_id=self._path_ids.local_maximum)
            self._control_frames.push(encode_path_frame(frame), topic=("max_path_id",))
            self._exchange.issue_for_unused()
            self.note_ids_arrived()

    def _tell_blocked(self) -> None:
        self._is_waiting_for_ids = True
        if self._path_ids.is_negotiated and self._path_ids.is_limited_by_peer:
            frame = PathsBlocked(maximum_path_id=self._path_ids.peer_maximum)
            self._tell_once("paths_blocked", encode_path_frame(frame))

    def _tell_once(self, what: str, frame: bytes) -> None:
        """Say what we wait for.

        RFC 10069 s4.7: a peer that has heard it and does nothing has decided so.
        """
        if self._last_blocked.get(what) != frame:
            self._last_blocked[what] = frame
            self._control_frames.push(frame, topic=(what,))


def _is_unreachable(path: Path) -> bool:
    """The peer has opened a path without having given us a connection ID to answer to."""
    return path.state is PathState.VALIDATING and not path.peer_cids.is_usable
