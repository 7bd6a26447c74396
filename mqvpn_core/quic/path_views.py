"""What the scheduler is told of a path: from its recovery state, as it is when something leaves."""

from mqvpn_core.ids import Instant
from mqvpn_core.quic.carrier_view import CarrierView
from mqvpn_core.quic.packet_sources import PACKET_OVERHEAD
from mqvpn_core.quic.paths import Path


def view_of(path: Path, now: Instant) -> CarrierView:
    """What the scheduler has to know of a path."""
    current = path.current
    recovery = current.recovery
    budget = recovery.send_budget(now)
    room = current.amplification_room()
    smoothed_rtt = recovery.rtt.smoothed
    return CarrierView(
        path_id=path.path_id,
        use=path.use,
        peer_is_backup=path.peer_is_backup,
        is_suspect=path.is_suspect,
        smoothed_rtt=smoothed_rtt,
        rate=_rate(path, smoothed_rtt),
        send_budget=budget if room is None else min(budget, room),
        max_packet_bytes=current.pmtu.current,
        packet_overhead=PACKET_OVERHEAD,
        is_starting=recovery.congestion.is_in_slow_start,
        shortest_rtt=recovery.rtt.minimum,
        acked_bytes=recovery.acked_bytes,
    )


def _rate(path: Path, smoothed_rtt: float) -> float:
    """Bytes a second that a path may carry; 0 while nobody knows."""
    if not smoothed_rtt:
        return 0.0
    congestion = path.current.recovery.congestion
    rate = congestion.congestion_window / smoothed_rtt
    if congestion.bandwidth is not None:
        # The window may be larger than the path; as long as it starts up the path may be larger.
        in_start = congestion.is_in_slow_start
        rate = max(rate, congestion.bandwidth) if in_start else congestion.bandwidth
    return rate if path.rate_limit is None else min(rate, path.rate_limit)
