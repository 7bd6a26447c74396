"""From the operator's settings to those of the server's rooms."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from pathlib import Path

import pytest

from mqvpn_core.app.server_settings import (
    listen_addresses,
    load_materials,
    make_pools,
    needs_restart,
    server_host_settings,
    server_policy,
)
from mqvpn_core.config import HostPort, RetryMode, ServerConfig
from mqvpn_core.errors import ConfigError
from mqvpn_core.masque.authentication import Authenticator
from mqvpn_core.masque.server_policy import PolicyParts, TunnelQuota
from mqvpn_core.masque.site import NOT_FOUND_PAGE
from mqvpn_core.quic.endpoint import RetryPolicy
from mqvpn_core.runtime.mtu_follower import FIRST_MTU
from mqvpn_core.testing.certificates import make_certificate

CERTIFICATE = make_certificate(1)


@pytest.fixture
def config(tmp_path: Path) -> ServerConfig:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(CERTIFICATE.certificate_pem)
    key.write_bytes(CERTIFICATE.private_key_pem)
    return ServerConfig(
        cert_file=cert, key_file=key, subnet6=IPv6Network("fd00::/64"), lease_file=None
    )


def test_the_wildcard_is_both_families() -> None:
    assert listen_addresses((HostPort(host="::"),)) == (
        ("::", 443),
        ("0.0.0.0", 443),  # noqa: S104 - compared, not bound
    )
    both = (HostPort(host="0.0.0.0", port=1), HostPort(host="::", port=1))  # noqa: S104 - as above
    assert len(listen_addresses(both)) == 2
    single = (HostPort(host="192.0.2.1", port=4433),)
    assert listen_addresses(single) == (("192.0.2.1", 4433),)


def test_the_reset_key_is_the_same_after_a_restart_and_secret(config: ServerConfig) -> None:
    first, second = load_materials(config), load_materials(config)
    assert first.endpoint.reset_key == second.endpoint.reset_key
    other = make_certificate(2)
    config.key_file.write_bytes(other.private_key_pem)
    config.cert_file.write_bytes(other.certificate_pem)
    assert load_materials(config).endpoint.reset_key != first.endpoint.reset_key


@pytest.mark.parametrize(
    ("mode", "policy"),
    [
        (RetryMode.AUTO, RetryPolicy.UNDER_LOAD),
        (RetryMode.ALWAYS, RetryPolicy.ALWAYS),
        (RetryMode.NEVER, RetryPolicy.NEVER),
    ],
)
def test_when_addresses_are_validated(
    config: ServerConfig, mode: RetryMode, policy: RetryPolicy
) -> None:
    materials = load_materials(replace(config, retry=mode, max_handshakes=7))
    assert materials.endpoint.retry is policy
    assert materials.endpoint.max_half_open == 7
    assert materials.endpoint.max_connections > config.max_clients


Damage = Callable[[ServerConfig], ServerConfig]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda c: replace(c, cert_file=c.cert_file.with_name("none")),
            "^/.*none: No such file",
        ),
        (
            lambda c: replace(c, key_file=c.cert_file.with_name("none")),
            "^/.*none: No such file",
        ),
        (lambda c: replace(c, key_file=c.cert_file), "key"),
        (lambda c: replace(c, site=c.cert_file), "Not a directory"),
    ],
)
def test_unusable_materials_are_config_errors(
    config: ServerConfig, damage: Damage, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        load_materials(damage(config))


def test_host_settings(config: ServerConfig) -> None:
    pools = make_pools(config)
    settings = server_host_settings(config, pools, "mqvpn7")
    assert settings.tun_name == "mqvpn7"
    assert settings.gateways == (IPv4Interface("10.0.0.1/24"), IPv6Interface("fd00::1/64"))
    assert settings.mtu == FIRST_MTU
    assert settings.nat
    fixed = server_host_settings(replace(config, mtu=1300, nat=False), pools, "mqvpn7")
    assert (fixed.mtu, fixed.nat) == (1300, False)


def test_policy(config: ServerConfig) -> None:
    parts = PolicyParts(
        authenticator=Authenticator({}, None), pools=make_pools(config), quota=TunnelQuota()
    )
    policy = server_policy(config, parts, NOT_FOUND_PAGE)
    assert {entry.start.version for entry in policy.routes} == {4, 6}
    narrow = replace(config, advertise=(IPv4Network("10.1.0.0/16"),), mtu=1300)
    policy = server_policy(narrow, parts, NOT_FOUND_PAGE)
    assert [str(entry.start) for entry in policy.routes] == ["10.1.0.0"]
    assert policy.link.max_mtu == 1300


def test_what_needs_a_restart_is_named(config: ServerConfig) -> None:
    assert needs_restart(config, replace(config, max_clients=3, auth_challenge=True)) == ()
    changed = replace(config, nat=False, tun_name="other0", listen=(HostPort(host="::", port=1),))
    assert set(needs_restart(config, changed)) == {"nat", "tun_name", "listen"}
