"""What keeps paths alive: acknowledgements, timers, validation, migration, MTU.

Acts on one path at a time and tells the connection's owner by events.
"""

from collections import deque

from mqvpn_core.errors import RemoteProtocolError
from mqvpn_core.ids import FourTuple, Instant
from mqvpn_core.quic.ack_processing import AckProcessor
from mqvpn_core.quic.aioquic_bridge.engine import EngineConnection
from mqvpn_core.quic.events import Event, PathMigrated, PathMtuChanged, PathValidated
from mqvpn_core.quic.paths import Path
from mqvpn_core.quic.timers import is_due
from mqvpn_core.wire.ack_frames import Ack
from mqvpn_core.wire.code_points import TransportErrorCode


class PathUpkeep:
    """B: on_ack, on_challenge, on_response, on_new_address, on_timeout."""

    def __init__(self, acks: AckProcessor, engine: EngineConnection, events: deque[Event]) -> None:
        self._acks = acks
        self._engine = engine
        self._events = events

    def on_ack(self, path: Path, ack: Ack, now: Instant) -> None:
        """Process an acknowledgement of packets sent on a path."""
        if self._acks.on_ack(path, ack, now):
            self._tell_mtu(path)

    def on_challenge(self, path: Path, four_tuple: FourTuple, data: bytes) -> None:
        """Answer on the network path the challenge came from (RFC 9000 s8.2.2)."""
        path.network_path(four_tuple).on_challenge(data)

    def on_response(self, path: Path, data: bytes, now: Instant) -> None:
        """Validate the network path whose challenge is answered, if any (RFC 9000 s8.2.3)."""
        for network_path in path.network_paths.values():
            if network_path.on_response(data):
                network_path.pmtu.start(now)
                self._events.append(
                    PathValidated(path_id=path.path_id, four_tuple=network_path.four_tuple)
                )

    def on_new_address(self, path: Path, four_tuple: FourTuple, now: Instant) -> None:
        """The peer is at another address: send there from now on (RFC 9000 s9.3)."""
        old = path.migrate(path.network_path(four_tuple), now)
        self._events.append(PathMigrated(path_id=path.path_id, old=old, new=four_tuple))

    def on_timeout(self, path: Path, now: Instant, *, handshake_confirmed: bool) -> None:
        """Run the timers of a path that are due.

        Raises:
            RemoteProtocolError: no network path of this path works any more.
        """
        current = path.current
        due = current.recovery.next_timeout(path.sent, handshake_confirmed=handshake_confirmed)
        changed = is_due(due, now) and self._acks.on_timeout(
            path, now, handshake_confirmed=handshake_confirmed
        )
        if is_due(current.pmtu.next_timeout(), now):
            changed = current.pmtu.handle_timeout(now) or changed
        for network_path in list(path.network_paths.values()):
            if network_path.has_failed(now) and network_path is path.current:
                self._leave_unreachable(path)
        if changed:
            self._tell_mtu(path)

    def _leave_unreachable(self, path: Path) -> None:
        """The peer did not answer at its new address (RFC 9000 s9.3.2)."""
        failed = path.current.four_tuple
        if not path.return_to_validated():
            raise RemoteProtocolError(
                TransportErrorCode.NO_VIABLE_PATH, "no network path works any more"
            )
        self._events.append(
            PathMigrated(path_id=path.path_id, old=failed, new=path.current.four_tuple)
        )

    def _tell_mtu(self, path: Path) -> None:
        size = path.current.pmtu.current
        path.current.recovery.set_max_datagram_size(size)
        self._events.append(PathMtuChanged(path_id=path.path_id, max_datagram_size=size))
