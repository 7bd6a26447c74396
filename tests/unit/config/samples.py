"""Settings in the small form that tests write them."""

from pathlib import Path

from mqvpn_core.config import ClientConfig, HostPort, ServerConfig
from mqvpn_core.config.build import RawSetting, build_client, build_server
from mqvpn_core.config.table import BY_NAME

SALT = bytes(range(16))
KEY = "0123456789abcdefghij"
PIN = "sha256/" + "A" * 43 + "="

MINIMAL_CLIENT = {"server": "vpn.example.org"}
MINIMAL_SERVER = {"cert_file": "c.pem", "key_file": "k.pem", "auth_key": KEY}


def raw(**texts: str | tuple[str, ...]) -> list[RawSetting]:
    """Return raw settings as a file would give them."""
    return [
        RawSetting(
            setting=BY_NAME[name],
            texts=(value,) if isinstance(value, str) else value,
            origin="test.toml:1",
        )
        for name, value in texts.items()
    ]


def client(**texts: str | tuple[str, ...]) -> tuple[ClientConfig, tuple[str, ...]]:
    """Build a client from the least and ``texts``."""
    return build_client(raw(**(MINIMAL_CLIENT | texts)))


def server(**texts: str | tuple[str, ...]) -> tuple[ServerConfig, tuple[str, ...]]:
    """Build a server from the least and ``texts``."""
    return build_server(raw(**(MINIMAL_SERVER | texts)), salt=SALT)


PLAIN_CLIENT = ClientConfig(server=HostPort(host="vpn.example.org"))
PLAIN_SERVER = ServerConfig(cert_file=Path("c.pem"), key_file=Path("k.pem"))
