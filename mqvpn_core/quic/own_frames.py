"""Acts on the frames that are not the engine's: acknowledgements, connection IDs, paths.

RFC 10069 s4: multipath frames are unknown frames where the extension was not negotiated; a path ID
above our limit is a PROTOCOL_VIOLATION; frames about discarded paths are ignored.
"""

from typing import TypeAlias

from mqvpn_core.ids import FourTuple, Instant, PathId
from mqvpn_core.quic.aioquic_bridge.frame_table import OwnFrame
from mqvpn_core.quic.connection_id_exchange import ConnectionIdExchange
from mqvpn_core.quic.handshake import PATH_ZERO
from mqvpn_core.quic.packet_sources import PacketSources
from mqvpn_core.quic.path_manager import PathManager
from mqvpn_core.quic.path_upkeep import PathUpkeep
from mqvpn_core.quic.paths import Path
from mqvpn_core.wire.ack_frames import Ack
from mqvpn_core.wire.path_frames import (
    MaxPathId,
    NewConnectionId,
    PathAbandon,
    PathAck,
    PathChallenge,
    PathCidsBlocked,
    PathNewConnectionId,
    PathResponse,
    PathRetireConnectionId,
    PathsBlocked,
    PathStatusAvailable,
    PathStatusBackup,
    RetireConnectionId,
)

_PathFrame: TypeAlias = (
    PathAck
    | PathAbandon
    | PathStatusAvailable
    | PathStatusBackup
    | PathNewConnectionId
    | PathRetireConnectionId
    | PathCidsBlocked
)


class OwnFrames:
    """Dispatches decoded frames to the rooms that know what to do."""

    def __init__(
        self,
        *,
        sources: PacketSources,
        exchange: ConnectionIdExchange,
        manager: PathManager,
        upkeep: PathUpkeep,
    ) -> None:
        self._engine = sources.engine
        self._paths = sources.paths
        self._path_ids = sources.path_ids
        self._exchange = exchange
        self._manager = manager
        self._upkeep = upkeep

    def handle(self, path: Path, four_tuple: FourTuple, frame: OwnFrame, now: Instant) -> None:
        """Act on a frame that came on a path over a four-tuple.

        Raises:
            RemoteProtocolError: the frame breaks a rule.
        """
        match frame:
            case Ack():
                # RFC 10069 s2.3: ACK frames acknowledge packets of path 0.
                self._on_ack(PATH_ZERO, frame, now, path.path_id)
            case NewConnectionId():
                self._on_new_connection_id(PATH_ZERO, frame)
            case RetireConnectionId():
                self._on_retire(PATH_ZERO, frame.sequence_number)
            case PathChallenge():
                self._upkeep.on_challenge(path, four_tuple, frame.data)
            case PathResponse():
                self._on_response(frame.data, now)
            case MaxPathId():
                self._manager.on_max_path_id(frame)
            case PathsBlocked():
                self._manager.on_paths_blocked(frame)
            case _:
                self._on_path_frame(frame, now, path.path_id)

    def _on_path_frame(self, frame: _PathFrame, now: Instant, carrier: PathId) -> None:
        path_id = frame.path_id
        self._path_ids.check_announced(path_id)
        match frame:
            case PathAck():
                self._on_ack(path_id, frame.ack, now, carrier)
            case PathNewConnectionId():
                self._on_new_connection_id(path_id, frame)
            case PathRetireConnectionId():
                self._on_retire(path_id, frame.sequence_number)
            case PathCidsBlocked():
                if not self._is_given_up(path_id):
                    self._exchange.on_cids_blocked(frame)
            case PathAbandon():
                self._manager.on_abandon(frame, self._engine.largest_probe_timeout, now)
            case PathStatusAvailable() | PathStatusBackup():
                if not self._is_given_up(path_id):
                    self._manager.on_status(frame)

    def _on_ack(self, path_id: PathId, ack: Ack, now: Instant, carrier: PathId) -> None:
        path = self._paths.get(path_id)
        if path is not None:  # a path never opened has nothing to acknowledge: ignored
            self._upkeep.on_ack(path, ack, now, carrier=carrier)

    def _on_new_connection_id(
        self, path_id: PathId, frame: NewConnectionId | PathNewConnectionId
    ) -> None:
        if self._is_given_up(path_id):
            return
        if self._exchange.on_new_connection_id(path_id, frame):
            self._manager.note_ids_arrived()

    def _on_retire(self, path_id: PathId, sequence_number: int) -> None:
        if self._is_given_up(path_id):
            return  # RFC 10069 s3.2.2: replacements only while the path is open
        is_open = path_id in self._paths
        self._exchange.on_retire_connection_id(path_id, sequence_number, is_open=is_open)

    def _is_given_up(self, path_id: PathId) -> bool:
        """Most frames about the path mean nothing any more: "MUST silently ignore" (RFC 10069 s4).

        Also NEW_CONNECTION_ID and RETIRE_CONNECTION_ID, which are about path 0.
        """
        path = self._paths.get(path_id)
        return self._path_ids.is_discarded(path_id) or (path is not None and path.is_abandoned)

    def _on_response(self, data: bytes, now: Instant) -> None:
        """Any path may bring the answer (RFC 9000 s8.2.3); it validates where it was asked."""
        for path in self._paths.values():
            if self._upkeep.on_response(path, data, now):
                self._manager.on_validated(path)
