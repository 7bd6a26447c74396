"""From the user's settings to those of the QUIC rooms."""

from mqvpn_core.config import ClientConfig, ServerConfig
from mqvpn_core.quic.transport_config import ClientTls, TransportConfig
from mqvpn_core.wire.ip_packets import flow_key, with_congestion_mark

INITIAL_MAX_PATH_ID = 7
"""Eight paths at a time: more than a machine has links, with room for those being given up."""


def transport_config(config: ClientConfig | ServerConfig) -> TransportConfig:
    """Return the transport settings of one role; only clients keep idle connections alive."""
    quic = config.quic
    is_client = isinstance(config, ClientConfig)
    keep_alive = quic.keep_alive if is_client and quic.keep_alive > 0 else None
    return TransportConfig(
        initial_max_path_id=INITIAL_MAX_PATH_ID,
        scheduler=quic.scheduler.value,
        classify_datagram=flow_key,
        mark_datagram=with_congestion_mark,
        manages_datagram_queues=True,
        idle_timeout=quic.idle_timeout,
        keep_alive=keep_alive,
        congestion_control=quic.congestion_control.value,
        key_update_interval=quic.key_update_interval or None,
        seals_late=True,
        is_traced=config.qlog is not None,
    )


def client_trust(config: ClientConfig) -> ClientTls:
    """Return which servers the client believes."""
    return ClientTls(
        server_name=config.tls_name,
        ca_file=None if config.ca_file is None else str(config.ca_file),
        pins=frozenset(pin.sha256 for pin in config.pins),
        verify=not config.insecure,
    )
