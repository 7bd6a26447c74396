"""Guesses about links, from kinds, a made-up sysfs, and names."""

from pathlib import Path

import pytest

from mqvpn_core.ids import IfIndex
from mqvpn_core.runtime.link_medium import guess_medium
from mqvpn_core.tunnel.link_table import LinkMedium

ETHER = 1
SEVEN = IfIndex(7)


def describe(
    sysfs: Path, name: str, *, index: str = "7", uevent: str = "", driver: str = ""
) -> Path:
    entry = sysfs / name
    entry.mkdir()
    (entry / "ifindex").write_text(index + "\n")
    (entry / "uevent").write_text(uevent + "\n")
    if driver:
        (sysfs / driver).mkdir()
        (entry / "device").mkdir()
        (entry / "device" / "driver").symlink_to(sysfs / driver)
    return entry


@pytest.mark.parametrize(
    ("name", "kind", "hardware", "medium"),
    [
        ("lo", "", 772, LinkMedium.LOOPBACK),
        ("eth0", "", ETHER, LinkMedium.WIRED),
        ("wlan0", "veth", ETHER, LinkMedium.WIRELESS),
        ("lte0", "veth", ETHER, LinkMedium.WIRED),
        ("wwan0", "", 65534, LinkMedium.CELLULAR),
        ("qmimux0", "rmnet", 65534, LinkMedium.CELLULAR),
        ("usb0", "", ETHER, LinkMedium.CELLULAR),
        ("ppp0", "ppp", 512, LinkMedium.CELLULAR),
        ("br0", "bridge", ETHER, LinkMedium.WIRED),
        ("wlan-vpn", "wireguard", 65534, LinkMedium.TUNNEL),
        ("mqvpn0", "tun", 65534, LinkMedium.TUNNEL),
    ],
)
def test_kinds_and_names(
    name: str, kind: str, hardware: int, medium: LinkMedium, tmp_path: Path
) -> None:
    assert guess_medium(SEVEN, name, kind, hardware, sysfs=tmp_path) is medium


@pytest.mark.parametrize(
    ("uevent", "driver", "medium"),
    [
        ("DEVTYPE=wwan\nINTERFACE=x", "qmi_wwan", LinkMedium.CELLULAR),
        ("DEVTYPE=wlan\nINTERFACE=x", "iwlwifi", LinkMedium.WIRELESS),
        ("INTERFACE=x", "rndis_host", LinkMedium.CELLULAR),
        ("INTERFACE=x", "e1000e", LinkMedium.WIRED),
        ("INTERFACE=x", "", LinkMedium.WIRED),
    ],
)
def test_sysfs_knows_better_than_the_name(
    uevent: str, driver: str, medium: LinkMedium, tmp_path: Path
) -> None:
    describe(tmp_path, "x", uevent=uevent, driver=driver)
    assert guess_medium(SEVEN, "x", "", ETHER, sysfs=tmp_path) is medium


def test_an_old_wireless_driver_shows_a_directory(tmp_path: Path) -> None:
    (describe(tmp_path, "x") / "wireless").mkdir()
    assert guess_medium(SEVEN, "x", "", ETHER, sysfs=tmp_path) is LinkMedium.WIRELESS


@pytest.mark.parametrize("index", ["8", "", "x"])
def test_sysfs_of_another_namespace_says_nothing(index: str, tmp_path: Path) -> None:
    describe(tmp_path, "eth0", index=index, uevent="DEVTYPE=wwan")
    assert guess_medium(SEVEN, "eth0", "", ETHER, sysfs=tmp_path) is LinkMedium.WIRED
