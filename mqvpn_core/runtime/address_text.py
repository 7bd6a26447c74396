"""Addresses as people write them."""

from ipaddress import ip_address

from mqvpn_core.ids import SocketAddress


def address_text(address: SocketAddress) -> str:
    """Return ``HOST:PORT``, with brackets round an IPv6 address."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"


def is_address(text: str) -> bool:
    """Tell whether a host is given by its address, not by a name."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
