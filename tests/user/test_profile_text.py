"""Profiles as text: what is written is read, and what is wrong is refused with the key's name."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_gui.user.errors import ProfileError
from mqvpn_gui.user.profile_text import StoredProfile, read_profile, write_profile
from mqvpn_gui.user.toml_text import write_toml
from mqvpn_helper.interface.host_plan import KillSwitchMode
from mqvpn_helper.interface.profile import MEMBER_TYPES, Profile
from mqvpn_helper.interface.tunnel_settings import PathRole

PIN = "sha256/" + "A" * 43 + "="


def test_a_profile_is_short_to_read() -> None:
    settings = Profile.from_mapping(
        {
            "name": "Büro",
            "server": "vpn.example.org:8443",
            "pins": [PIN],
            "kill_switch": "standard",
            "roles": {"wlan0": "primary", "wwan*": "backup"},
            "caps": {"wwan*": 5_000_000_000},
            "rate_limits": {"wwan*": 1_250_000},
        }
    )
    text = write_profile(StoredProfile(settings=settings, user="alice"))
    assert text.splitlines()[1:] == [
        'name = "Büro"',
        'server = "vpn.example.org:8443"',
        f'pins = ["{PIN}"]',
        'kill_switch = "standard"',
        'user = "alice"',
        "",
        "[roles]",
        'wlan0 = "primary"',
        '"wwan*" = "backup"',
        "",
        "[caps]",
        '"wwan*" = "5 GB"',
        "",
        "[rate_limits]",
        '"wwan*" = "10 Mbit/s"',
    ]
    assert read_profile(text) == StoredProfile(settings=settings, user="alice")


def test_amounts_may_be_numbers() -> None:
    stored = read_profile('server = "h"\n[caps]\nwwan0 = 1000\n[rate_limits]\nwwan0 = "8 kbit/s"\n')
    assert stored.settings.caps == (("wwan0", 1000),)
    assert stored.settings.rate_limits == (("wwan0", 1000),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "server is missing"),
        ("server = 1", "server is no text"),
        ('server = "h"\nsevrer = "x"', "unknown member 'sevrer'"),
        ('server = "h"\nauth_key = "SECRET"', "auth_key must not stand in a profile"),
        ('server = "h"\nuser = 1', "user is no text"),
        ('server = "h"\nuser = "a b"', "user name"),
        ('server = "h"\n[caps]\nwwan0 = "much"', "'much' is not an amount"),
        ('server = "h"\n[rate_limits]\nwwan0 = "5 GB"', "'5 GB' is not a rate"),
        ("server = ", "not valid TOML"),
        ("a = " + "[" * 5000, "not valid TOML"),
        ("a" * 70000, "at most 65536"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(ProfileError, match=reason) as caught:
        read_profile(text)
    assert "SECRET" not in str(caught.value)


@given(st.text(max_size=200))
def test_any_text_is_a_profile_or_is_refused(text: str) -> None:
    for document in (
        text,
        f'server = "h"\n{text}',
        f'server = "{text}"',
        f'server="h"\nname="{text}"',
    ):
        try:
            stored = read_profile(document)
        except ProfileError:
            continue
        assert read_profile(write_profile(stored)) == stored


@given(
    st.dictionaries(
        st.text(max_size=10),
        st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"]))
        | st.lists(st.text(st.characters(exclude_categories=["Cs"])))
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 9)),
    )
)
def test_toml_that_is_written_is_read(values: dict[str, object]) -> None:
    assert tomllib.loads(write_toml(values)) == values


def test_every_member_survives() -> None:
    """One value for each member that is not its default."""
    members: dict[str, object] = {
        "name": "n",
        "server": "h:1",
        "server_name": "s",
        "server_addresses": ["192.0.2.1"],
        "pins": [PIN],
        "ca_certificates": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "insecure": True,
        "template": "/x/",
        "ipv4": True,
        "ipv6": False,
        "inner_networks": ["10.0.0.0/8"],
        "tun_name": "mqvpn7",
        "mtu": 1400,
        "routes": "advertised",
        "dns": ["10.0.0.1"],
        "kill_switch": "always",
        "split_exclude": ["192.0.2.0/24"],
        "split_include": ["198.51.100.0/24"],
        "split_cgroups": ["user.slice/x.scope"],
        "allow_lan": True,
        "paths": ["eth0"],
        "ignore_interfaces": ["lo"],
        "roles": {"eth0": "never"},
        "caps": {"eth0": 1},
        "rate_limits": {"eth0": 1001},
        "scheduler": "minrtt",
        "keep_alive": 1.5,
        "idle_timeout": 100.0,
        "reconnect": False,
        "tied": True,
    }
    assert set(members) == set(MEMBER_TYPES)
    settings = Profile.from_mapping(members)
    assert settings.roles == (("eth0", PathRole.NEVER),)
    assert settings.kill_switch is KillSwitchMode.ALWAYS
    stored = StoredProfile(settings=settings)
    assert read_profile(write_profile(stored)) == stored
