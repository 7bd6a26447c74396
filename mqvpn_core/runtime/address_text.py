"""Socket addresses as people write them."""

from mqvpn_core.ids import SocketAddress


def address_text(address: SocketAddress) -> str:
    """Return ``HOST:PORT``, with brackets round an IPv6 address."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"
