"""From the operator's settings to those of the server's rooms; reads certificate, key and site."""

import hashlib
import hmac
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface

from mqvpn_core.app.given_files import read_given_file
from mqvpn_core.app.quic_settings import transport_config
from mqvpn_core.config import HostPort, IPNetwork, RetryMode, ServerConfig
from mqvpn_core.ids import SocketAddress
from mqvpn_core.masque.address_pool import AddressPool
from mqvpn_core.masque.route_ranges import ALL_DESTINATIONS, ranges_of_networks
from mqvpn_core.masque.server_policy import PolicyParts, ServerPolicy
from mqvpn_core.masque.site import SitePage
from mqvpn_core.masque.tunnel_link import LinkConfig
from mqvpn_core.quic.aioquic_bridge.credentials import load_server_certificate
from mqvpn_core.quic.endpoint import EndpointConfig, RetryPolicy
from mqvpn_core.quic.transport_config import ServerTls
from mqvpn_core.runtime.mtu_follower import FIRST_MTU
from mqvpn_core.runtime.site_files import SiteFiles
from mqvpn_core.tunnel.host_plan import ServerHostSettings
from mqvpn_core.wire.uri_templates import compile_template_matcher, parse_uri_template

_RESET_LABEL = b"mqvpn stateless reset"
_SPARE_CONNECTIONS = 256
_RETRY = {
    RetryMode.AUTO: RetryPolicy.UNDER_LOAD,
    RetryMode.ALWAYS: RetryPolicy.ALWAYS,
    RetryMode.NEVER: RetryPolicy.NEVER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerMaterials:
    """What a configuration names and the disk holds."""

    endpoint: EndpointConfig
    """Settings of new connections, the certificate among them."""
    files: SiteFiles
    """The web site; to be closed."""


def load_materials(config: ServerConfig) -> ServerMaterials:
    """Read what the configuration names.

    Raises:
        ConfigError: the certificate, its key or the site cannot be used.
    """
    return ServerMaterials(endpoint=_endpoint_config(config), files=SiteFiles(config.site))


def _endpoint_config(config: ServerConfig) -> EndpointConfig:
    chain = read_given_file(config.cert_file, "a file of certificates")
    key = read_given_file(config.key_file, "a private key")
    return EndpointConfig(
        transport=transport_config(config),
        identity=ServerTls(certificate=load_server_certificate(chain, key)),
        # The same after a restart, and secret: made of what is both already.
        reset_key=hmac.digest(key, _RESET_LABEL, hashlib.sha256),
        retry=_RETRY[config.retry],
        max_half_open=config.max_handshakes,
        max_connections=config.max_clients + config.max_handshakes + _SPARE_CONNECTIONS,
    )


def make_pools(config: ServerConfig) -> tuple[AddressPool, ...]:
    """Return empty pools."""
    networks: list[IPNetwork] = [config.subnet]
    if config.subnet6 is not None:
        networks.append(config.subnet6)
    return tuple(AddressPool(network) for network in networks)


def server_policy(config: ServerConfig, parts: PolicyParts, not_found: SitePage) -> ServerPolicy:
    """Return what sessions decide by.

    Raises:
        ConfigError: the template cannot be used.
    """
    template = parse_uri_template(f"https://any.invalid{config.template}")
    return ServerPolicy(
        matchers=(compile_template_matcher(template),),
        authenticator=parts.authenticator,
        pools=parts.pools,
        quota=parts.quota,
        routes=ranges_of_networks(config.advertise or ALL_DESTINATIONS),
        client_to_client=config.client_to_client,
        auth_challenge=config.auth_challenge,
        not_found=not_found,
        link=LinkConfig() if config.mtu is None else LinkConfig(max_mtu=config.mtu),
    )


def server_host_settings(
    config: ServerConfig, pools: tuple[AddressPool, ...], tun_name: str
) -> ServerHostSettings:
    """Return what the machine must have."""
    return ServerHostSettings(
        tun_name=tun_name,
        mtu=FIRST_MTU if config.mtu is None else config.mtu,
        gateways=tuple(_gateway(pool) for pool in pools),
        nat=config.nat,
        client_to_client=config.client_to_client,
    )


def listen_addresses(listen: tuple[HostPort, ...]) -> tuple[SocketAddress, ...]:
    """Return the sockets to open: one for each family where ``::`` stands for both."""
    addresses: dict[SocketAddress, None] = {}
    for entry in listen:
        addresses[SocketAddress(entry.host, entry.port)] = None
    for entry in listen:
        if entry.host == "::":
            addresses[SocketAddress("0.0.0.0", entry.port)] = None  # noqa: S104 - what "::" means
    return tuple(addresses)


def needs_restart(old: ServerConfig, new: ServerConfig) -> tuple[str, ...]:
    """Return the settings that differ and cannot be changed while running."""
    fixed = (
        "listen",
        "subnet",
        "subnet6",
        "lease_file",
        "client_to_client",
        "nat",
        "tun_name",
        "mtu",
        "max_auth_failures",
        "workers",
        "control_socket",
        "qlog",
    )
    return tuple(name for name in fixed if getattr(old, name) != getattr(new, name))


def _gateway(pool: AddressPool) -> IPv4Interface | IPv6Interface:
    return ip_interface(f"{pool.server_address}/{pool.network.prefixlen}")
