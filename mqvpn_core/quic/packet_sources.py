"""Where packets come from: what waits to be sent, and what sealing needs."""

from collections.abc import Callable
from dataclasses import dataclass

from mqvpn_core.ids import PathId
from mqvpn_core.quic.aioquic_bridge.engine import EngineConnection
from mqvpn_core.quic.control_frames import ControlFrames
from mqvpn_core.quic.path_ids import PathIds
from mqvpn_core.quic.paths import Path
from mqvpn_core.quic.protection import PacketProtection
from mqvpn_core.quic.schedulers import DatagramScheduler
from mqvpn_core.quic.trace import Tracer
from mqvpn_core.quic.transport_config import CONNECTION_ID_LENGTH

_PACKET_NUMBER_BYTES = 4
_TAG_BYTES = 16
PACKET_OVERHEAD = 1 + CONNECTION_ID_LENGTH + _PACKET_NUMBER_BYTES + _TAG_BYTES
"""Bytes around the frames of a 1-RTT packet, with the longest packet number and 8-byte IDs."""


@dataclass(slots=True, kw_only=True)
class PacketSources:
    """Where packets come from; shared by all paths of a connection."""

    engine: EngineConnection
    """Streams, flow control, TLS."""
    protection: PacketProtection
    """Keys."""
    control_frames: ControlFrames
    """Our own frames that must arrive."""
    datagrams: DatagramScheduler
    """Bulk payloads and the choice of their path."""
    entropy: Callable[[int], bytes]
    """Random bytes for PATH_CHALLENGE."""
    paths: dict[PathId, Path]
    """All paths; those that cannot send have their acknowledgements sent on another."""
    path_ids: PathIds
    """Tells whether PATH_ACK or ACK is to be used."""
    tracer: Tracer | None = None
    """Records what is done, if anybody wants to know."""
    seals_late: bool = False
    """Bulk packets may leave as flights."""
    engine_has_frames: bool = True
    """The engine may have something to write; set by whoever touches it."""
