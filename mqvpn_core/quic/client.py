"""Makes client connections."""

from collections.abc import Callable

from mqvpn_core.quic.aioquic_bridge.configuration import client_engine
from mqvpn_core.quic.aioquic_bridge.credentials import SessionTicket
from mqvpn_core.quic.connection import MultipathConnection
from mqvpn_core.quic.transport_config import ClientTls, TransportConfig


def client_connection(
    config: TransportConfig,
    trust: ClientTls,
    *,
    entropy: Callable[[int], bytes],
    tickets: dict[bytes, SessionTicket] | None = None,
) -> MultipathConnection:
    """Make a connection that `connect` will start.

    Args:
        config: transport settings.
        trust: which server to believe.
        entropy: returns that many random bytes.
        tickets: where new session tickets are put, for `ClientTls.session_ticket` of a later
            connection.
    """
    return MultipathConnection(
        engine=client_engine(config, trust, tickets if tickets is not None else {}),
        config=config,
        entropy=entropy,
        # Never compared by the peer for the handshake ID; later IDs get unpredictable tokens.
        reset_token=lambda _: entropy(16),
        pins=trust.pins,
    )
