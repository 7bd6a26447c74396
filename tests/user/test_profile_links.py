"""Links from profiles and profiles from links."""

import re

import pytest

from mqvpn_gui.user.errors import ProfileError
from mqvpn_gui.user.profile_links import is_link, link_from_profile, profile_from_link
from mqvpn_gui.user.profile_text import StoredProfile
from mqvpn_gui.user.qr_codes import qr_lines
from mqvpn_gui.user.secret_text import SecretText
from mqvpn_helper.interface.profile import Profile

PIN = "sha256/" + "B" * 42 + "A="
KEY = SecretText("the-key#of/alice")


def test_there_and_back() -> None:
    settings = Profile.from_mapping(
        {"name": "Büro", "server": "vpn.example.org:8443", "server_name": "s", "pins": [PIN],
         "template": "/x/"}
    )  # fmt: skip
    stored = StoredProfile(settings=settings, user="alice")
    link = link_from_profile(stored, KEY)
    assert link.startswith("mqvpn://alice@vpn.example.org:8443/?name=B%C3%BCro&sni=s")
    assert profile_from_link(link) == (stored, KEY)
    assert profile_from_link(link_from_profile(stored, None)) == (stored, None)


def test_what_is_of_this_machine_stays_here() -> None:
    settings = Profile.from_mapping(
        {
            "server": "h",
            "roles": {"wlan0": "backup"},
            "tun_name": "mqvpn9",
            "split_exclude": ["10.0.0.0/8"],
        }
    )
    link = link_from_profile(StoredProfile(settings=settings), None)
    assert link == "mqvpn://h/"


def test_what_no_link_can_say_is_refused() -> None:
    for members, reason in (
        ({"server": "h", "insecure": True}, "does not check the server's certificate"),
        ({"server": "h", "ca_certificates": "x"}, "certificates of its own"),
        ({"server": "h", "template": "/" + "x" * 300}, "template"),
    ):
        stored = StoredProfile(settings=Profile.from_mapping(members))
        with pytest.raises(ProfileError, match=reason):
            link_from_profile(stored, KEY)


def test_a_link_that_is_none() -> None:
    assert is_link(" MQVPN://h")
    assert not is_link("/home.mqvpn")
    with pytest.raises(ProfileError, match=r"the link cannot be used: .*; copy it whole"):
        profile_from_link("mqvpn://")


def test_the_qr_code_is_drawn_module_by_module() -> None:
    lines = qr_lines("mqvpn://vpn.example.org/#key")
    width = len(lines[0])
    assert {len(line) for line in lines} == {width}
    assert set("".join(lines)) == set("\u2588\u2580\u2584 ")
    halves = {"\u2588": (0, 0), "\u2580": (0, 1), "\u2584": (1, 0), " ": (1, 1)}
    rows: list[list[int]] = []
    for line in lines:
        upper, lower = zip(*(halves[mark] for mark in line), strict=True)
        rows += [list(upper), list(lower)]
    assert width % 4 == 1
    assert all(row[:2] == [0, 0] for row in rows)  # the quiet zone
    # A finder pattern: seven dark modules round a light ring round three by three dark ones.
    corner = ["".join(map(str, row[2:9])) for row in rows[2:9]]
    assert corner == [
        "1111111", "1000001", "1011101", "1011101", "1011101", "1000001", "1111111",
    ]  # fmt: skip
    assert re.fullmatch(r"0+", "".join(map(str, rows[0])))
