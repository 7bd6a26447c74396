"""Makes engines: our settings in, aioquic connections out."""

import ipaddress
import ssl

from aioquic import tls
from aioquic.quic.configuration import QuicConfiguration

from mqvpn_core.quic.aioquic_bridge.credentials import SessionTicket
from mqvpn_core.quic.aioquic_bridge.engine import EngineConnection
from mqvpn_core.quic.aioquic_bridge.quiet_engine import FirstContact
from mqvpn_core.quic.transport_config import (
    BASE_DATAGRAM_SIZE,
    CONNECTION_ID_LENGTH,
    MAX_DATAGRAM_FRAME_SIZE,
    ClientTls,
    ServerTls,
    TransportConfig,
)

_DEFAULT_SUITES = (
    tls.CipherSuite.AES_128_GCM_SHA256,
    tls.CipherSuite.CHACHA20_POLY1305_SHA256,
    tls.CipherSuite.AES_256_GCM_SHA384,
)

_SNI_FOR_ADDRESSES = "localhost"
"""A DNS name is required in the extension (RFC 6066 s3); servers known by address ignore it."""


def _configuration(config: TransportConfig, *, is_client: bool) -> QuicConfiguration:
    return QuicConfiguration(
        alpn_protocols=list(config.alpn),
        cipher_suites=[tls.CipherSuite(suite) for suite in config.cipher_suites or _DEFAULT_SUITES],
        connection_id_length=CONNECTION_ID_LENGTH,
        idle_timeout=config.idle_timeout,
        initial_rtt=config.initial_rtt,
        is_client=is_client,
        max_data=config.max_connection_bytes,
        max_stream_data=config.max_stream_bytes,
        max_datagram_frame_size=MAX_DATAGRAM_FRAME_SIZE,
        max_datagram_size=BASE_DATAGRAM_SIZE,
    )


def client_engine(
    config: TransportConfig, trust: ClientTls, tickets: dict[bytes, SessionTicket]
) -> EngineConnection:
    """Make the engine of a client; new session tickets are put into `tickets`."""
    configuration = _configuration(config, is_client=True)
    # A pin replaces the chain: `quic.connection` compares it when TLS has proved the key.
    verifies = trust.verify and not trust.pins
    configuration.verify_mode = ssl.CERT_REQUIRED if verifies else ssl.CERT_NONE
    configuration.cafile = trust.ca_file
    configuration.cadata = trust.ca_data
    if configuration.verify_mode != ssl.CERT_NONE and not (trust.ca_file or trust.ca_data):
        system = ssl.get_default_verify_paths()
        configuration.cafile, configuration.capath = system.cafile, system.capath
    configuration.server_name = trust.sni or (
        _SNI_FOR_ADDRESSES if _is_address(trust.server_name) else trust.server_name
    )
    configuration.session_ticket = trust.session_ticket
    return EngineConnection(
        configuration=configuration,
        tickets=tickets,
        verification_name=trust.server_name,
        initial_max_path_id=config.initial_max_path_id,
    )


def server_engine(
    config: TransportConfig, identity: ServerTls, first_contact: FirstContact
) -> EngineConnection:
    """Make the engine of a server connection.

    Args:
        config: settings.
        identity: certificate and session tickets.
        first_contact: how the client got in touch.
    """
    configuration = _configuration(config, is_client=False)
    configuration.certificate = identity.certificate.chain[0]
    configuration.certificate_chain = list(identity.certificate.chain[1:])
    configuration.private_key = identity.certificate.private_key
    while len(identity.tickets) > identity.max_tickets:
        identity.tickets.pop(next(iter(identity.tickets)))
    return EngineConnection(
        configuration=configuration,
        tickets=identity.tickets,
        first_contact=first_contact,
        initial_max_path_id=config.initial_max_path_id,
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
