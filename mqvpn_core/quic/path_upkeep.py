"""What keeps paths alive: acknowledgements, timers, validation, migration, suspicion, MTU.

Acts on one path at a time and tells the connection's owner by events.
"""

from collections import deque
from collections.abc import Iterable

from mqvpn_core.errors import RemoteProtocolError
from mqvpn_core.ids import FourTuple, Instant, PathId
from mqvpn_core.quic.ack_processing import AckProcessor
from mqvpn_core.quic.events import (
    Event,
    PathMigrated,
    PathMtuChanged,
    PathRecovered,
    PathSuspected,
    PathValidated,
)
from mqvpn_core.quic.network_paths import NetworkPathFactory
from mqvpn_core.quic.path_manager import PathManager
from mqvpn_core.quic.paths import Path, PathState
from mqvpn_core.quic.timers import is_due
from mqvpn_core.quic.udp_datagrams import RefusedDatagram
from mqvpn_core.wire.ack_frames import Ack
from mqvpn_core.wire.code_points import TransportErrorCode

MAX_SUSPICION_SECONDS = 10.0
"""How long a suspected path is probed before it is abandoned, if another one works."""


class PathUpkeep:
    """B: on_ack, on_challenge, on_response, on_new_address, on_timeout, on_send_refused."""

    def __init__(
        self,
        *,
        acks: AckProcessor,
        manager: PathManager,
        network_paths: NetworkPathFactory,
        events: deque[Event],
    ) -> None:
        self._acks = acks
        self._manager = manager
        self._network_paths = network_paths
        self._events = events

    def on_ack(self, path: Path, ack: Ack, now: Instant, *, carrier: PathId) -> None:
        """Process an acknowledgement of packets sent on a path; `carrier` is where it came."""
        if self._acks.on_ack(path, ack, now):
            self._tell_mtu(path)
        if path.last_acknowledged_at == now and carrier != path.ack_path_id:
            # RFC 10069 s5.4: the way back is another one, and may be longer
            path.ack_path_id = carrier
            path.current.recovery.rtt.restart_minimum()
        if path.is_suspect and path.last_acknowledged_at == now and not path.is_abandoned:
            self._recover(path, now)

    def on_challenge(self, path: Path, four_tuple: FourTuple, data: bytes) -> None:
        """Answer on the network path the challenge came from (RFC 9000 s8.2.2)."""
        path.network_path(four_tuple).on_challenge(data)

    def on_response(self, path: Path, data: bytes, now: Instant) -> bool:
        """Validate the network path whose challenge is answered, if any (RFC 9000 s8.2.3).

        Returns:
            True when it was one of this path.
        """
        for network_path in path.network_paths.values():
            was_validated = network_path.is_validated
            if network_path.on_response(data):
                if not was_validated:
                    network_path.pmtu.start(now)
                    self._events.append(
                        PathValidated(path_id=path.path_id, four_tuple=network_path.four_tuple)
                    )
                return True
        return False

    def on_new_address(self, path: Path, four_tuple: FourTuple, now: Instant) -> None:
        """The peer is at another address: send there from now on (RFC 9000 s9.3)."""
        old = path.migrate(path.network_path(four_tuple), now)
        self._events.append(PathMigrated(path_id=path.path_id, old=old, new=four_tuple))

    def on_timeout(self, path: Path, now: Instant, *, handshake_confirmed: bool) -> None:
        """Run the timers of a path that are due.

        Raises:
            RemoteProtocolError: no network path of the only path works any more.
        """
        current = path.current
        recovery = current.recovery
        due = recovery.next_timeout(path.sent, handshake_confirmed=handshake_confirmed)
        has_probed = False
        if is_due(due, now) and not current.is_blocked:
            before = recovery.pto_count
            if self._acks.on_timeout(path, now, handshake_confirmed=handshake_confirmed):
                self._tell_mtu(path)
            has_probed = recovery.pto_count > before
        if handshake_confirmed and not current.is_blocked:
            self._judge_silence(path, now, has_probed=has_probed)
        if is_due(current.pmtu.next_timeout(), now) and current.pmtu.handle_timeout(now):
            self._tell_mtu(path)
        if path.suspected_at is not None and now - path.suspected_at >= MAX_SUSPICION_SECONDS:
            self._give_up(path, now)
        for network_path in list(path.network_paths.values()):
            if network_path.has_failed(now) and network_path is path.current:
                self._leave_unreachable(path, now)

    def on_send_refused(
        self, paths: Iterable[Path], refused: RefusedDatagram, now: Instant
    ) -> bool:
        """The host did not send a datagram that is larger than the link takes.

        Returns:
            True when it was one of these paths.
        """
        is_ours = False
        for path in paths:
            carrier = path.network_paths.get(refused.four_tuple)
            if carrier is None or path.is_abandoned:
                continue
            is_ours = True
            # A probe that never left is not waited for.
            carrier.recovery.forget(path.sent.forget_probes(refused.size))
            if carrier.pmtu.on_send_refused(refused.size, now) and carrier is path.current:
                self._tell_mtu(path)
        return is_ours

    def _judge_silence(self, path: Path, now: Instant, *, has_probed: bool) -> None:
        if path.state is PathState.ACTIVE and not path.is_suspect:
            is_silent = path.is_silent(now)
        else:
            is_silent = has_probed
        is_doubtful = path.takes_to_doubt(now)
        if is_silent:
            self._on_silence(path, now)
        elif is_doubtful and self._has_healthy_other(path):
            self._acks.copy_elsewhere(path, now)

    def _on_silence(self, path: Path, now: Instant) -> None:
        """Nothing is acknowledged: suspect the path and go on without it, if another one works."""
        if path.state is PathState.ACTIVE and not path.is_suspect:
            path.suspected_at = path.kept_alive_at = now
            path.silent_since = path.last_received_at
            self._events.append(
                PathSuspected(path_id=path.path_id, silent_for=now - path.last_received_at)
            )
        if self._has_healthy_other(path):
            self._acks.send_elsewhere(path, now)
            # RFC 10069 s3.3: "such that the peer avoids using the broken path"
            self._manager.announce_status(path)

    def _give_up(self, path: Path, now: Instant) -> None:
        if self._has_healthy_other(path):
            self._abandon(path, "it acknowledges nothing", now)

    def _has_healthy_other(self, path: Path) -> bool:
        return any(
            other is not path and other.may_carry_data and not other.is_suspect
            for other in self._manager.sending_paths()
        )

    def _recover(self, path: Path, now: Instant) -> None:
        path.suspected_at = None
        self._network_paths.restart_window(path.current)
        silent_for = now - path.silent_since
        self._events.append(PathRecovered(path_id=path.path_id, silent_for=silent_for))
        self._manager.announce_status(path)

    def _leave_unreachable(self, path: Path, now: Instant) -> None:
        """The peer did not answer at its address (RFC 9000 s9.3.2, RFC 10069 s3.1)."""
        failed = path.current.four_tuple
        if path.is_abandoned:
            return
        if path.return_to_validated():
            self._events.append(
                PathMigrated(path_id=path.path_id, old=failed, new=path.current.four_tuple)
            )
        elif path.state is PathState.VALIDATING and not self._has_healthy_other(path):
            # Nobody could be told that it is given up, and path IDs are too few to use one up for
            # every attempt while nothing works: ask again.
            path.current.start_validation(now, path.current.recovery.probe_timeout())
        elif len(self._manager.sending_paths()) > 1:
            self._abandon(path, "its validation failed", now)
        else:
            raise RemoteProtocolError(
                TransportErrorCode.NO_VIABLE_PATH, "no network path works any more"
            )

    def _abandon(self, path: Path, reason: str, now: Instant) -> None:
        code = TransportErrorCode.PATH_UNSTABLE_OR_POOR
        self._manager.abandon(path.path_id, code, reason, by_peer=False, now=now)

    def _tell_mtu(self, path: Path) -> None:
        size = path.current.pmtu.current
        path.current.recovery.set_max_datagram_size(size)
        self._events.append(PathMtuChanged(path_id=path.path_id, max_datagram_size=size))
