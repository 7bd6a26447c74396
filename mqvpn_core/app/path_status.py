"""One connection and its paths as the status shows them."""

from collections.abc import Callable

from mqvpn_core.ids import FourTuple, Instant
from mqvpn_core.quic.connection import MultipathConnection
from mqvpn_core.quic.statistics import PathStatistics
from mqvpn_core.runtime.address_text import address_text
from mqvpn_core.runtime.connection_watch import ConnectionWatch
from mqvpn_core.runtime.outbox import SendLosses
from mqvpn_core.runtime.path_meter import PathMeasures
from mqvpn_core.runtime.status_values import PathStatus

MILLISECONDS = 1000.0
"""In a second."""


def path_statuses(
    connection: MultipathConnection,
    watch: ConnectionWatch,
    interface_of: Callable[[FourTuple], str],
    now: Instant,
) -> tuple[PathStatus, ...]:
    """Return the paths of a connection.

    Args:
        connection: whose paths.
        watch: what measures them.
        interface_of: name of the network interface that a four-tuple leaves by.
        now: the time.
    """
    paths = connection.statistics().paths
    measures = watch.measure(paths, now)
    return tuple(
        _path_status(path, measures[path.path_id], interface_of(path.four_tuple), now)
        for path in paths
    )


def connection_counts(connection: MultipathConnection) -> dict[str, int]:
    """Return counters of a connection by name: why packets never left, or were of no use."""
    statistics = connection.statistics()
    return {
        "dropped: queue too long": statistics.datagrams_dropped,
        "marked: queue too long": statistics.datagrams_marked,
        "undecryptable": statistics.undecryptable_packets,
    }


def send_loss_counts(losses: SendLosses) -> dict[str, int]:
    """Return by name how often no socket took what was to be sent."""
    return {
        "dropped: no room in a socket": losses.no_room_count,
        "dropped: no socket": losses.no_socket_count,
    }


def _path_status(
    path: PathStatistics, measures: PathMeasures, interface: str, now: Instant
) -> PathStatus:
    return PathStatus(
        id=path.path_id,
        interface=interface,
        local=address_text(path.four_tuple.local),
        remote=address_text(path.four_tuple.remote),
        state=path.state,
        use=path.use,
        peer_is_backup=path.peer_is_backup,
        srtt_ms=path.smoothed_rtt * MILLISECONDS,
        min_rtt_ms=path.min_rtt * MILLISECONDS,
        jitter_ms=path.rtt_variance * MILLISECONDS,
        loss=measures.recent_loss,
        loss_total=path.lost_packets / path.sent_packets if path.sent_packets else 0.0,
        congestion_window=path.congestion_window,
        bytes_in_flight=path.bytes_in_flight,
        cc=path.congestion_control,
        cc_state=path.congestion_state,
        capacity=path.bandwidth,
        pacing_rate=path.pacing_rate,
        tx_rate=measures.tx_rate,
        rx_rate=measures.rx_rate,
        share=measures.share,
        tx_bytes=path.sent_bytes,
        rx_bytes=path.received_bytes,
        tx_packets=path.sent_packets,
        rx_packets=path.received_packets,
        lost_packets=path.lost_packets,
        seconds_silent=now - path.last_received_at if path.last_received_at else 0.0,
        mtu=path.max_datagram_size,
    )
