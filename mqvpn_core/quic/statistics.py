"""Numbers about a connection for status displays: plain values, taken on request."""

from dataclasses import dataclass

from mqvpn_core.ids import FourTuple, PathId


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStatistics:
    """One path ID at one moment."""

    path_id: PathId
    """The path."""
    four_tuple: FourTuple
    """The network path it uses."""
    state: str
    """``validating``, ``active``, ``suspect`` or ``abandoning``."""
    use: str
    """``primary``, ``secondary`` or ``backup``: what we use it for."""
    peer_is_backup: bool
    """The peer would rather not be sent to on this path."""
    smoothed_rtt: float
    """Seconds; 0 before the first sample."""
    min_rtt: float
    """Seconds; 0 before the first sample."""
    rtt_variance: float
    """Seconds."""
    congestion_window: int
    """Bytes."""
    bytes_in_flight: int
    """Bytes sent and neither acknowledged nor lost."""
    sent_bytes: int
    """UDP payload bytes sent on the path since it exists."""
    sent_packets: int
    """Packets sent."""
    received_bytes: int
    """UDP payload bytes of authentic packets received."""
    received_packets: int
    """Authentic packets received, without duplicates."""
    lost_packets: int
    """Packets declared lost."""
    probe_timeouts: int
    """Consecutive probe time-outs: above 0 the peer is silent."""
    max_datagram_size: int
    """Largest UDP payload in use."""

    @property
    def is_in_use(self) -> bool:
        """Packets are sent on it: it has not been given up."""
        return self.state not in ("abandoning", "retained")

    last_received_at: float
    """Instant of the last authentic packet on it; 0 before the first."""
    congestion_control: str = ""
    """Name of its congestion controller."""
    congestion_state: str = ""
    """What the controller is doing, in a word or two for people."""
    bandwidth: float = 0.0
    """Bytes per second that it is believed to carry; 0 when that is not known."""
    pacing_rate: float = 0.0
    """Bytes per second at which packets leave when there are enough of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStatistics:
    """A connection at one moment."""

    paths: tuple[PathStatistics, ...]
    """Every path that exists."""
    key_phase: int
    """Key updates so far on our sending side."""
    datagrams_waiting: int
    """DATAGRAM payloads in the queue."""
    datagrams_dropped: int
    """DATAGRAM payloads dropped for size, age, overflow, or because a queue stood."""
    undecryptable_packets: int
    """Packets that did not authenticate."""
    last_received_at: float
    """Instant of the last authentic packet."""
    datagrams_marked: int = 0
    """DATAGRAM payloads that got a congestion mark instead of being dropped."""
