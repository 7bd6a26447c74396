"""Keys about links: patterns, and values by link."""

import pytest

from mqvpn_core.config import AUTO_PATHS, LinkRole
from mqvpn_core.errors import ConfigError
from tests.unit.config.samples import client


def test_paths_are_auto_unless_named() -> None:
    assert client()[0].paths == (AUTO_PATHS,)
    assert client(paths=("AUTO", "wg0"))[0].paths == (AUTO_PATHS, "wg0")
    assert client(paths=("wlan?", "wwan*", "eth[01]"))[0].paths == ("wlan?", "wwan*", "eth[01]")


def test_roles_by_link_keep_their_order() -> None:
    config, _ = client(roles=("wwan*=BACKUP", "wlan0 = primary", "eth0=never"))
    assert config.roles == (
        ("wwan*", LinkRole.BACKUP),
        ("wlan0", LinkRole.PRIMARY),
        ("eth0", LinkRole.NEVER),
    )


def test_the_last_value_for_a_link_counts() -> None:
    assert client(roles=("eth0=backup", "eth0=never"))[0].roles == (("eth0", LinkRole.NEVER),)


def test_the_usage_file_goes_with_the_device() -> None:
    assert str(client(tun_name="tun7")[0].usage_file) == "/var/lib/mqvpn/usage-tun7.json"
    assert client(usage_file="off")[0].usage_file is None
    assert str(client(usage_file="u.json")[0].usage_file) == "u.json"


@pytest.mark.parametrize(
    ("key", "text", "problem"),
    [
        ("roles", "wlan0", "is not INTERFACE=VALUE"),
        ("roles", "wlan0=first", "not one of: primary, secondary, backup, never"),
        ("roles", "=primary", "not an interface name"),
        ("roles", "a/b=primary", "not an interface name"),
        ("caps", "wwan0=5", "not an amount of data"),
        ("rate_limits", "wwan0=5 GB", "not a rate"),
        ("paths", "wlan0/", "not an interface name"),
        ("cap_warning", "0", "from 1 to 100"),
    ],
)
def test_wrong_values_are_explained(key: str, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        client(**{key: text})
