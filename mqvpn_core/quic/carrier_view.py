"""What a scheduler knows of a path, and which paths may carry datagrams at all."""

from collections.abc import Sequence
from dataclasses import dataclass

from mqvpn_core.ids import PathId
from mqvpn_core.quic.path_use import PathUse

_USE_ORDER = {PathUse.PRIMARY: 0, PathUse.SECONDARY: 1, PathUse.BACKUP: 2}
_BACKUP = _USE_ORDER[PathUse.BACKUP]
_UNKNOWN_RATE_PACKETS = 10
_SHORTEST_RTT = 0.001
_TARGET_SHARE = 1.0
_SHORTEST_TARGET = 0.03
_LONGEST_TARGET = 0.08
_STARTING_FACTOR = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierView:
    """One path that may carry DATAGRAMs, as it is now; also when its window is full."""

    path_id: PathId
    """Its ID."""
    use: PathUse
    """Our own wish."""
    peer_is_backup: bool
    """The peer asked for it to be a backup (PATH_STATUS_BACKUP)."""
    is_suspect: bool
    """Nothing has come back for too long."""
    smoothed_rtt: float
    """Seconds."""
    rate: float
    """Bytes per second that it is believed to carry, 0 when unknown."""
    send_budget: int
    """Bytes of UDP payload that window and pacing allow now."""
    max_packet_bytes: int
    """UDP payload of a full packet."""
    packet_overhead: int
    """Bytes of every packet that are no frames."""
    is_starting: bool = False
    """How fast it is has still to be found out."""
    shortest_rtt: float = 0.0
    """Seconds, without what its own queue adds; 0 when unknown."""
    acked_bytes: int = 0
    """Bytes of UDP payload of which the peer said that they arrived, since the path was new."""

    @property
    def frame_capacity(self) -> int:
        """Bytes of frames in a full packet."""
        return self.max_packet_bytes - self.packet_overhead

    @property
    def use_order(self) -> int:
        """0 for paths that are filled first; the peer's wish for a backup counts like our own."""
        return _BACKUP if self.peer_is_backup else _USE_ORDER[self.use]

    @property
    def expected_rate(self) -> float:
        """Bytes per second: the estimate, or what an initial window makes of the RTT."""
        return self.rate if self.rate > 0 else self.initial_rate

    @property
    def initial_rate(self) -> float:
        """Bytes per second that every path is trusted with: an initial window each round trip."""
        return _UNKNOWN_RATE_PACKETS * self.max_packet_bytes / max(self.smoothed_rtt, _SHORTEST_RTT)


def usable_paths(views: Sequence[CarrierView]) -> list[CarrierView]:
    """Paths that may carry datagrams now, those to fill first in front.

    Backups stand in only when no other healthy path is there, suspects when nothing else is.
    """
    if len(views) <= 1:
        return list(views)
    chosen = [view for view in views if not view.is_suspect] or views
    chosen = [view for view in chosen if view.use_order < _BACKUP] or chosen
    return sorted(chosen, key=lambda view: (view.use_order, view.smoothed_rtt, view.path_id))


def queue_target(usable: Sequence[CarrierView]) -> float:
    """Seconds for which a flow's queue may stand.

    Long enough for a flow that halves its window to keep the path busy. While it is not known how
    fast a path is, what waits is the fault of the path and not of the flow.
    """
    longest = max(view.smoothed_rtt for view in usable)
    target = min(max(_TARGET_SHARE * longest, _SHORTEST_TARGET), _LONGEST_TARGET)
    return target * (_STARTING_FACTOR if any(view.is_starting for view in usable) else 1)
