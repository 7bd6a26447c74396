"""A path whose counters a test turns."""

from mqvpn_core.ids import FourTuple, PathId, SocketAddress
from mqvpn_core.quic.statistics import PathStatistics

SOMEWHERE = FourTuple(SocketAddress("192.0.2.1", 5), SocketAddress("203.0.113.1", 443))


class Counters:
    """One path whose counters a test turns."""

    def __init__(self, path_id: PathId) -> None:
        self.path_id = path_id
        self.sent = self.received = self.packets = self.lost = 0

    def statistics(self) -> PathStatistics:
        return PathStatistics(
            path_id=self.path_id,
            four_tuple=SOMEWHERE,
            state="active",
            use="primary",
            peer_is_backup=False,
            smoothed_rtt=0.02,
            min_rtt=0.02,
            rtt_variance=0.0,
            congestion_window=14_000,
            bytes_in_flight=0,
            sent_bytes=self.sent,
            sent_packets=self.packets,
            received_bytes=self.received,
            received_packets=0,
            lost_packets=self.lost,
            probe_timeouts=0,
            max_datagram_size=1200,
            last_received_at=0.0,
        )
