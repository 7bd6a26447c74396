"""The clock of a connection: when something is due, and doing it."""

import math

from mqvpn_core.errors import RemoteProtocolError
from mqvpn_core.ids import Instant
from mqvpn_core.quic.connection_parts import ConnectionParts
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.quic.paths import Path
from mqvpn_core.quic.timers import earliest, is_due
from mqvpn_core.quic.traffic_moves import RECENT_USE
from mqvpn_core.wire.code_points import FrameType, TransportErrorCode

SUSPECT_PING_INTERVAL = 0.5
"""Seconds between PINGs on a suspected path; probe time-outs alone become ever rarer."""

STANDBY_INTERVAL = 1.0
"""Seconds of silence after which a path is asked whether it works that carries nothing while
another one is in use: traffic that has to move there must not find it dead."""

BACKUP_STANDBY_INTERVAL = 5.0
"""The same for a backup, which may be metered and whose radio should sleep."""

_STRANDED = "the peer gave up the only path"


class ConnectionTimers:
    """B: run; C: set_pacing; D: next_timeout."""

    def __init__(self, parts: ConnectionParts) -> None:
        self._parts = parts
        self._sources = parts.sources
        self._engine = parts.sources.engine
        self._pacing_at: Instant | None = None

    def run(self, now: Instant) -> None:
        """Do what is due."""
        handshake = self._parts.handshake
        protection = self._sources.protection
        if is_due(self._engine.engine_timeout(), now):
            self._engine.handle_engine_timeout(now)
            if self._engine.is_client and handshake.is_complete and not handshake.is_confirmed:
                # The server has dropped the Handshake keys if only HANDSHAKE_DONE was lost. A 1-RTT
                # packet beside the Handshake probe shows it where we are now (RFC 9002 s6.2.4).
                for path in self._parts.manager.sending_paths():
                    path.ping_is_due = True
        if not self._engine.is_ending and protection.can_send:
            self._run_path_timers(now)
            slowest = self._engine.largest_probe_timeout
            if is_due(protection.next_timeout(slowest), now):
                protection.handle_timeout(now, slowest)

    def next_timeout(self) -> Instant | None:
        """When the next timer is due."""
        engine, manager = self._engine, self._parts.manager
        protection = self._sources.protection
        candidates = [engine.engine_timeout()]
        if not engine.is_ending and protection.can_send:
            candidates += [
                protection.next_timeout(engine.largest_probe_timeout),
                manager.next_timeout(),
                self._pacing_at,
            ]
            is_confirmed = self._parts.handshake.is_confirmed
            sending = manager.sending_paths()
            used_until = self._used_until()
            for path in sending:
                candidates.append(self._keep_alive_at(path, used_until))
                candidates.append(path.next_timeout(handshake_confirmed=is_confirmed))
            paths = self._sources.paths
            if len(sending) < len(paths) and any(not path.current.is_blocked for path in sending):
                # RFC 10069 s3.4.3: late packets of an abandoned path are acknowledged on another
                candidates += [
                    path.received.ack_due_at for path in paths.values() if not path.may_send
                ]
        return earliest(candidates)

    def set_pacing(self, now: Instant) -> None:
        """Remember when pacing lets the next packet leave, if something waits."""
        self._pacing_at = None
        datagrams = self._sources.datagrams
        has_padding = datagrams.tried_path is not None
        if len(datagrams) or has_padding or self._sources.engine_has_frames:
            self._pacing_at = earliest(
                path.current.recovery.next_pacing_time(now)
                for path in self._parts.manager.sending_paths()
            )

    def _run_path_timers(self, now: Instant) -> None:
        try:
            self._parts.manager.handle_timeout(now)
            for path in self._parts.manager.sending_paths():
                self._parts.upkeep.on_timeout(
                    path, now, handshake_confirmed=self._parts.handshake.is_confirmed
                )
        except RemoteProtocolError as error:
            self._engine.enter_draining(error.error_code, error.reason, now)
        if self._parts.manager.is_stranded:
            self._engine.close(
                error_code=TransportErrorCode.NO_VIABLE_PATH,
                frame_type=int(FrameType.PADDING),
                reason_phrase=_STRANDED,
            )
        used_until = self._used_until()
        for path in self._parts.manager.sending_paths():
            if is_due(self._keep_alive_at(path, used_until), now):
                path.kept_alive_at = now
                path.ping_is_due = True

    def _used_until(self) -> float:
        """Until when the connection counts as in use, if nothing more is sent or received."""
        last = -math.inf
        for path in self._sources.paths.values():
            last = max(last, path.data_sent_at, path.data_received_at)
        return last + RECENT_USE

    def _keep_alive_at(self, path: Path, used_until: float) -> Instant | None:
        if path.is_suspect:
            # RFC 10069 s3.3: PINGs tell quickly that there is connectivity again.
            return Instant(path.kept_alive_at + SUSPECT_PING_INTERVAL)
        keep_alive = self._parts.config.keep_alive
        if keep_alive is None or not self._parts.handshake.is_complete:
            return None
        heard_at = max(path.last_received_at, path.kept_alive_at)
        standby = BACKUP_STANDBY_INTERVAL if path.use is PathUse.BACKUP else STANDBY_INTERVAL
        asked_at = heard_at + min(standby, keep_alive)
        if len(self._sources.paths) > 1 and path.may_carry_data and asked_at <= used_until:
            return Instant(asked_at)
        return Instant(heard_at + keep_alive)
