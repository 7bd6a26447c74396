"""Guesses what a link is made of: from its kind, from sysfs where that shows it, from its name.

A wrong guess is cheap: it only decides the default role, and the user's own word overrides it.
"""

from fnmatch import fnmatchcase
from pathlib import Path

from mqvpn_core.ids import IfIndex
from mqvpn_core.tunnel.link_table import LinkMedium

SYSFS = Path("/sys/class/net")
"""Where the kernel describes the links of the namespace that mounted it."""

_ARPHRD_LOOPBACK = 772  # linux/if_arp.h
_TUNNEL_KINDS = frozenset(
    {
        *("tun", "wireguard", "dummy", "ifb", "nlmon", "vrf", "vxlan", "geneve", "netkit"),
        *("gre", "gretap", "erspan", "ip6gre", "ip6gretap", "ip6erspan", "ipip", "sit", "ip6tnl"),
        *("vti", "vti6", "xfrm", "amt", "bareudp", "gtp", "ovpn"),
    }
)
_CELLULAR_KINDS = frozenset({"wwan", "rmnet"})
# Drivers of telephones that share their mobile network over USB.
_TETHERING_DRIVERS = frozenset({"rndis_host", "ipheth"})
_CELLULAR_NAMES = ("wwan*", "wwp*", "rmnet*", "ppp*", "usb*")
_WIRELESS_NAMES = ("wlan*", "wlp*", "wlx*", "wls*", "wifi*", "ath*")


def guess_medium(
    ifindex: IfIndex, name: str, kind: str, hardware_type: int, *, sysfs: Path = SYSFS
) -> LinkMedium:
    """Return what a link probably is.

    Args:
        ifindex: its index.
        name: its name.
        kind: what rtnetlink calls its kind; empty for hardware.
        hardware_type: its ARPHRD number.
        sysfs: directory with one entry a link.
    """
    if hardware_type == _ARPHRD_LOOPBACK:
        return LinkMedium.LOOPBACK
    if kind in _TUNNEL_KINDS:
        return LinkMedium.TUNNEL
    if kind in _CELLULAR_KINDS:
        return LinkMedium.CELLULAR
    return _from_sysfs(sysfs / name, ifindex) or _from_name(name)


def _from_sysfs(entry: Path, ifindex: IfIndex) -> LinkMedium | None:
    try:
        if int((entry / "ifindex").read_text(encoding="ascii")) != ifindex:
            return None  # sysfs shows another namespace, which happens to have such a name
        described = (entry / "uevent").read_text(encoding="ascii").split()
        driver = (entry / "device" / "driver").resolve().name
        is_wireless = (entry / "wireless").exists() or (entry / "phy80211").exists()
    except (OSError, ValueError):
        return None
    if "DEVTYPE=wwan" in described or driver in _TETHERING_DRIVERS:
        return LinkMedium.CELLULAR
    if "DEVTYPE=wlan" in described or is_wireless:
        return LinkMedium.WIRELESS
    return None


def _from_name(name: str) -> LinkMedium:
    if any(fnmatchcase(name, pattern) for pattern in _CELLULAR_NAMES):
        return LinkMedium.CELLULAR
    if any(fnmatchcase(name, pattern) for pattern in _WIRELESS_NAMES):
        return LinkMedium.WIRELESS
    return LinkMedium.WIRED
