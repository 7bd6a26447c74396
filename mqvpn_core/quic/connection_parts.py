"""The rooms of one connection, made and wired to one another."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mqvpn_core.dataplane import kernel
from mqvpn_core.quic.ack_processing import AckProcessor
from mqvpn_core.quic.aioquic_bridge.engine import EngineConnection
from mqvpn_core.quic.aioquic_bridge.frame_table import FrameTable
from mqvpn_core.quic.closing import Closing
from mqvpn_core.quic.connection_id_exchange import ConnectionIdExchange
from mqvpn_core.quic.connection_ids import LocalConnectionIds
from mqvpn_core.quic.control_frames import ControlFrames
from mqvpn_core.quic.events import Event
from mqvpn_core.quic.handshake import Handshake
from mqvpn_core.quic.key_updates import KeyUpdates
from mqvpn_core.quic.network_paths import NetworkPathFactory
from mqvpn_core.quic.own_frames import OwnFrames
from mqvpn_core.quic.packet_receiver import PacketReceiver
from mqvpn_core.quic.packet_sources import PacketSources
from mqvpn_core.quic.packetizer import Packetizer
from mqvpn_core.quic.path_ids import PathIds
from mqvpn_core.quic.path_manager import PathManager
from mqvpn_core.quic.path_upkeep import PathUpkeep
from mqvpn_core.quic.protection import PacketProtection
from mqvpn_core.quic.schedulers import DatagramScheduler
from mqvpn_core.quic.trace import TracedEvents, Tracer
from mqvpn_core.quic.traffic_moves import TrafficMoves
from mqvpn_core.quic.transport_config import CONNECTION_ID_LENGTH, TransportConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionParts:
    """Every room of a connection; shared by the few that call many of them."""

    config: TransportConfig
    """Settings."""
    events: deque[Event]
    """What the owner has not been told yet."""
    sources: PacketSources
    """The engine, keys, paths, and whatever waits to be sent."""
    local_cids: LocalConnectionIds
    """Connection IDs that lead here."""
    exchange: ConnectionIdExchange
    """Connection IDs of all paths, both ways."""
    manager: PathManager
    """Opens and abandons paths."""
    frame_table: FrameTable
    """Handles the frames of 1-RTT packets."""
    packetizer: Packetizer
    """Builds packets."""
    receiver: PacketReceiver
    """Opens packets."""
    closing: Closing
    """The end of the connection."""
    upkeep: PathUpkeep
    """Timers and validation of single paths."""
    own_frames: OwnFrames
    """Acts on frames that are not the engine's."""
    handshake: Handshake
    """Keys and path 0."""
    key_updates: KeyUpdates
    """When keys change."""
    traffic_moves: TrafficMoves
    """Tells when traffic has left a failed path."""


def assemble_parts(
    *,
    engine: EngineConnection,
    config: TransportConfig,
    entropy: Callable[[int], bytes],
    reset_token: Callable[[bytes], bytes],
    new_connection_id: Callable[[], bytes] | None,
    pins: frozenset[bytes],
) -> ConnectionParts:
    """Make all rooms of a connection; the arguments are those of `MultipathConnection`."""
    tracer = Tracer() if config.is_traced else None
    events: deque[Event] = deque() if tracer is None else TracedEvents(tracer)
    local_cids = LocalConnectionIds(
        initial=engine.host_cid,
        generate=new_connection_id or partial(entropy, CONNECTION_ID_LENGTH),
        reset_token=reset_token,
    )
    sources = _make_sources(engine, config, entropy, tracer)
    exchange = ConnectionIdExchange(local_cids, sources.path_ids, sources.control_frames)
    network_paths = NetworkPathFactory(config)
    manager = PathManager(
        sources=sources, exchange=exchange, network_paths=network_paths, events=events
    )
    frame_table = FrameTable(engine, offers_multipath=config.initial_max_path_id is not None)
    packetizer = Packetizer(sources)
    upkeep = PathUpkeep(
        acks=AckProcessor(sources), manager=manager, network_paths=network_paths, events=events
    )
    return ConnectionParts(
        config=config,
        events=events,
        sources=sources,
        local_cids=local_cids,
        exchange=exchange,
        manager=manager,
        frame_table=frame_table,
        packetizer=packetizer,
        receiver=PacketReceiver(
            protection=sources.protection,
            frame_table=frame_table,
            local_cids=local_cids,
            paths=sources.paths,
            accept=None if engine.is_client else manager.accept,
            tracer=tracer,
        ),
        closing=Closing(engine, packetizer),
        upkeep=upkeep,
        own_frames=OwnFrames(sources=sources, exchange=exchange, manager=manager, upkeep=upkeep),
        handshake=Handshake(
            sources=sources,
            network_paths=network_paths,
            exchange=exchange,
            pins=pins,
            events=events,
        ),
        key_updates=KeyUpdates(sources.protection, config.key_update_interval, events),
        traffic_moves=TrafficMoves(events),
    )


def _make_sources(
    engine: EngineConnection,
    config: TransportConfig,
    entropy: Callable[[int], bytes],
    tracer: Tracer | None,
) -> PacketSources:
    return PacketSources(
        engine=engine,
        protection=PacketProtection(is_client=engine.is_client),
        control_frames=ControlFrames(),
        datagrams=DatagramScheduler(
            max_bytes=config.datagram_queue_bytes,
            max_age=config.datagram_max_age,
            strategy=config.scheduler,
            classify=config.classify_datagram,
            mark=config.mark_datagram,
            manages_queues=config.manages_datagram_queues,
        ),
        entropy=entropy,
        paths={},
        path_ids=PathIds(config.initial_max_path_id),
        tracer=tracer,
        seals_late=config.seals_late and kernel.plan_flight is not None and tracer is None,
    )
