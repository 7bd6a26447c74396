"""Whatever a value's text is: a value, or a ConfigError; and values survive their own text."""

from ipaddress import ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mqvpn_core.config import HashedKey, HostPort, IPAddress, Pin, Secret
from mqvpn_core.config import parsing as p
from mqvpn_core.config.secret_values import parse_hashed_key
from mqvpn_core.config.setting import Setting
from mqvpn_core.config.table import TABLE
from mqvpn_core.errors import ConfigError

pytestmark = pytest.mark.slow

_ALPHABET = st.characters() | st.sampled_from("0123456789.:/[]{}%,-_ ")
_TEXT = st.text(_ALPHABET, max_size=60)
_NAMES = st.from_regex(r"[a-z]{1,20}(\.[a-z]{1,9}){0,3}", fullmatch=True)
_PORTS = st.integers(1, 65535)


@given(st.sampled_from(TABLE), st.lists(_TEXT, min_size=1, max_size=3))
@example(TABLE[0], ["\x00"])
@example(TABLE[0], ["xn--\u0660"])
@example(TABLE[0], ["\u3002"])
@example(TABLE[0], ["1" * 4301])
def test_any_text_of_any_key(setting: Setting[object], texts: list[str]) -> None:
    try:
        setting.parse(texts)
    except ConfigError as error:
        message = str(error)
        assert "\n" not in message


@given(st.ip_addresses().map(str) | _NAMES, _PORTS)
def test_server_address_survives_its_text(host: str, port: int) -> None:
    value = HostPort(host=host, port=port)
    assert p.server_address(str(value)) == value


@given(st.ip_addresses(), st.integers(0, 65535))
def test_listen_address_survives_its_text(host: object, port: int) -> None:
    value = HostPort(host=str(host), port=port)
    assert p.listen_address(str(value)) == value


@given(st.binary(min_size=32, max_size=32))
def test_pin_survives_its_text(digest: bytes) -> None:
    assert p.pin(str(Pin(sha256=digest))) == Pin(sha256=digest)


@given(st.ip_addresses(), st.integers(0, 128))
def test_network_survives_its_text(address: IPAddress, length: int) -> None:
    network = ip_network((str(address), min(length, address.max_prefixlen)), strict=False)
    assert p.network(str(network)) == network


@given(st.text(min_size=1, max_size=64), st.binary(min_size=16, max_size=16))
def test_hash_survives_its_text_and_shows_no_key(key: str, salt: bytes) -> None:
    hashed = HashedKey.from_key(Secret(key), salt)
    assert parse_hashed_key(hashed.to_text()) == hashed
    assert len(key) < 4 or key not in hashed.to_text()
