"""A profile is what it says, within bounds, or it is refused with a reason."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_helper.interface.members import MemberError
from mqvpn_helper.interface.profile import MEMBER_TYPES, Profile
from mqvpn_helper.interface.tunnel_settings import (
    DnsSettings,
    PathPolicy,
    PathRole,
    SplitSettings,
)
from tests.session.samples import FULL_PROFILE, PIN

_SERVER = {"server": "vpn.example.org"}


def test_every_member_survives_the_way_out_and_in() -> None:
    profile = Profile.from_mapping(FULL_PROFILE)
    assert profile.to_mapping() == FULL_PROFILE
    assert Profile.from_mapping(profile.to_mapping()) == profile


def test_the_table_of_types_has_exactly_the_members() -> None:
    assert set(MEMBER_TYPES) == set(FULL_PROFILE)


@pytest.mark.parametrize("values", [FULL_PROFILE, Profile.from_mapping(_SERVER).to_mapping()])
def test_members_have_the_types_of_the_table(values: dict[str, object]) -> None:
    kinds = {"s": str, "b": bool, "u": int, "d": float, "as": list, "a{ss}": dict, "a{st}": dict}
    assert {name: type(values[name]) for name in MEMBER_TYPES} == {
        name: kinds[kind] for name, kind in MEMBER_TYPES.items()
    }


@pytest.mark.parametrize(
    ("server", "host", "port"),
    [
        ("vpn.example.org", "vpn.example.org", 443),
        ("vpn.example.org:4433", "vpn.example.org", 4433),
        ("192.0.2.1", "192.0.2.1", 443),
        ("[2001:DB8::1]:443", "2001:db8::1", 443),
    ],
)
def test_servers(server: str, host: str, port: int) -> None:
    profile = Profile.from_mapping({"server": server})
    assert (profile.host, profile.port) == (host, port)
    assert Profile.from_mapping({"server": profile.server}) == profile


def test_a_literal_address_is_the_only_one_the_server_may_have() -> None:
    assert [
        str(each) for each in Profile.from_mapping({"server": "192.0.2.1"}).known_addresses
    ] == ["192.0.2.1"]
    assert Profile.from_mapping(_SERVER).known_addresses == ()


def test_networks_and_names_share_a_list() -> None:
    members = {"split_exclude": ["2001:db8::/32", "bank.example.org", "192.0.2.7", "a_b.x1"]}
    split = SplitSettings.from_mapping(members)
    assert [str(each) for each in split.exclude] == ["2001:db8::/32", "192.0.2.7/32"]
    assert split.exclude_names == ("bank.example.org", "a_b.x1")
    assert not split.has_include
    assert SplitSettings.from_mapping({"split_include": ["x.org"]}).has_include


@pytest.mark.parametrize("wrong", ["a/b", "10.0.0.1/8", "1.2.3", "-x.org", "a..b", "*.org", "a b"])
def test_what_is_neither_network_nor_name(wrong: str) -> None:
    with pytest.raises(MemberError):
        SplitSettings.from_mapping({"split_exclude": [wrong]})


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"server": ""},
        {"server": "vpn.example.org:0"},
        {"server": "vpn.example.org:65536"},
        {"server": "999.1.1.1"},
        {"server": "[2001:db8::1%eth0]"},
        {"server": "a b"},
        {"server": "x" * 254},
        {"server": "-rf"},
        {"server": 5},
        _SERVER | {"unheard_of": 1},
        _SERVER | {"ca_file": "/etc/shadow"},
        _SERVER | {"pins": "sha256/x"},
        _SERVER | {"pins": [PIN[:-2]]},
        _SERVER | {"pins": [PIN.replace("A", chr(65 + n), 1) for n in range(17)]},
        _SERVER | {"tun_name": "../x"},
        _SERVER | {"tun_name": "eth0; reboot"},
        _SERVER | {"tun_name": "x" * 16},
        _SERVER | {"name": "a\nb"},
        _SERVER | {"name": "\ud800"},
        _SERVER | {"mtu": 1279},
        _SERVER | {"mtu": True},
        _SERVER | {"mtu": 65536},
        _SERVER | {"keep_alive": float("nan")},
        _SERVER | {"keep_alive": 30.0, "idle_timeout": 30.0},
        _SERVER | {"ipv4": False, "ipv6": False},
        _SERVER | {"dns": ["8.8.8.8%eth0"]},
        _SERVER | {"dns": ["10.0.0.1"] * 3 + [f"10.0.1.{n}" for n in range(9)]},
        _SERVER | {"split_exclude": ["10.0.0.1/8"]},
        _SERVER | {"split_cgroups": ["../../etc"]},
        _SERVER | {"split_cgroups": ['a" accept']},
        _SERVER | {"paths": ["a/b"]},
        _SERVER | {"roles": {"wlan0": "king"}},
        _SERVER | {"roles": ["wlan0"]},
        _SERVER | {"caps": {"wlan0": 0}},
        _SERVER | {"caps": {"a" * 16: 1}},
        _SERVER | {"caps": {f"wlan{n}": 1 for n in range(65)}},
        _SERVER | {"template": "relative"},
        _SERVER | {"ca_certificates": "x" * 16385},
        _SERVER | {"kill_switch": "sometimes"},
        {f"x{n}": 1 for n in range(65)},
    ],
)
def test_what_is_wrong_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(MemberError):
        Profile.from_mapping(wrong)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(sorted(MEMBER_TYPES)) | st.text(max_size=5), _ANY))
def test_whatever_comes_is_a_profile_or_a_refusal(members: dict[str, object]) -> None:
    try:
        profile = Profile.from_mapping({**_SERVER, **members})
    except MemberError as error:
        assert "\n" not in str(error)  # noqa: PT017 - both outcomes are right
    else:
        assert json.dumps(profile.to_mapping()).isascii()


def test_a_policy_that_disables_wins_over_its_role() -> None:
    assert PathPolicy.from_mapping({"enabled": False, "role": "primary"}).role is PathRole.NEVER
    assert PathPolicy.from_mapping({"enabled": True}).role is PathRole.DEFAULT
    assert PathPolicy.from_mapping({"enabled": True, "role": "backup"}).role is PathRole.BACKUP
    assert PathPolicy.from_mapping({"cap_bytes": 0}) == PathPolicy(cap_bytes=0)


@pytest.mark.parametrize("wrong", [{}, {"role": 1}, {"cap_bytes": -1}, {"colour": "red"}])
def test_policies_that_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(MemberError):
        PathPolicy.from_mapping(wrong)


def test_settings_that_change_later_are_read_alike() -> None:
    profile = Profile.from_mapping(FULL_PROFILE)
    assert DnsSettings.from_mapping({"dns": ["10.0.0.53"]}) == profile.dns
    names = ("split_exclude", "split_include", "split_cgroups", "allow_lan")
    members = {name: FULL_PROFILE[name] for name in names}
    assert SplitSettings.from_mapping(members) == profile.split
    with pytest.raises(MemberError):
        DnsSettings.from_mapping({"split_exclude": []})
