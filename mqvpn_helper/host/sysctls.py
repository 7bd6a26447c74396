"""Kernel settings under /proc/sys: forwarding switched on without side effects that stay.

Switching forwarding changes other settings too: the kernel copies it to every interface, turns
ICMP redirects off or on, and with IPv6 forwarding stops accepting router advertisements and drops
the default route they brought. So a whole group of settings is saved and put back, and links that
live by router advertisements are told to go on accepting them (``accept_ra=2``) first.
"""

import errno
import logging
import os
import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from mqvpn_helper.host.failures import HostChangeError

_LOGGER = logging.getLogger(__name__)
_DEFAULT_ROOT = Path("/proc/sys")

_IPV4_REDIRECTS = "net/ipv4/conf/all/accept_redirects"
_KEY_PATTERN = re.compile(
    r"net/ipv4/ip_forward"
    r"|net/ipv4/conf/all/accept_redirects"
    r"|net/ipv4/conf/[^/\s]{1,15}/forwarding"
    r"|net/ipv6/conf/[^/\s]{1,15}/(?:forwarding|accept_ra)"
)
_LINK_KEY_PATTERN = re.compile(r"net/ipv4/conf/[^/\s]{1,15}/rp_filter")
_STRICT = 1
_LOOSE = "2"
_VALUE_PATTERN = re.compile(r"-?[0-9]{1,10}")


class ForwardingGroup(Enum):
    """The settings that change together when forwarding of one IP version is switched."""

    IPV4 = "ipv4_forwarding"
    IPV6 = "ipv6_forwarding"

    @property
    def switch(self) -> str:
        """The setting whose change moves the others."""
        return _SWITCHES[self]


_SWITCHES = {
    ForwardingGroup.IPV4: "net/ipv4/ip_forward",
    ForwardingGroup.IPV6: "net/ipv6/conf/all/forwarding",
}


def is_restorable(key: str, value: str) -> bool:
    """Return whether a saved setting is one this module saves (a journal may be damaged)."""
    return _is_safe(_KEY_PATTERN, key, value)


def is_link_setting(key: str, value: str) -> bool:
    """Return whether a saved setting is one of a single link that this module saves."""
    return _is_safe(_LINK_KEY_PATTERN, key, value)


def _is_safe(pattern: re.Pattern[str], key: str, value: str) -> bool:
    parts = key.split("/")
    return (
        pattern.fullmatch(key) is not None
        and ".." not in parts
        and "." not in parts
        and _VALUE_PATTERN.fullmatch(value) is not None
    )


class Sysctls:
    """Reads and writes settings of the calling thread's network namespace."""

    def __init__(self, root: Path = _DEFAULT_ROOT) -> None:
        """Name the directory.

        Args:
            root: where the settings are.
        """
        self._root = root

    def read(self, key: str) -> str | None:
        """Return a setting; None when it does not exist (an interface has gone)."""
        try:
            return (self._root / key).read_text(encoding="ascii").strip()
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENODEV, errno.ENOTDIR}:
                return None
            raise HostChangeError(f"cannot read {_dotted(key)}: {_reason(error)}") from error

    def write(self, key: str, value: str) -> None:
        """Change a setting unless it has that value already; one that is gone is no error.

        Args:
            key: path below the root, such as ``net/ipv4/ip_forward``.
            value: new value.

        Raises:
            HostChangeError: the kernel refused.
        """
        present = self.read(key)
        if present is None or present == value:
            return
        _LOGGER.debug("set %s to %s", key, value)
        try:
            (self._root / key).write_text(value, encoding="ascii")
        except OSError as error:
            raise HostChangeError(
                f"cannot set {_dotted(key)} to {value}: {_reason(error)}; "
                f"set it by hand (sysctl -w {_dotted(key)}={value}) and start again"
            ) from error

    def is_forwarding(self, group: ForwardingGroup) -> bool:
        """Return whether the machine forwards packets of that IP version."""
        return self.read(group.switch) not in {None, "0"}

    def snapshot(self, group: ForwardingGroup) -> dict[str, str]:
        """Return the settings that switching would change, to be put back later.

        Those that the switch itself puts back when it is restored are left out.

        Args:
            group: IP version.
        """
        version = "ipv4" if group is ForwardingGroup.IPV4 else "ipv6"
        switch = self.read(group.switch) or "0"
        saved = {group.switch: switch}
        for path in sorted((self._root / f"net/{version}/conf").iterdir()):
            forwarding = f"net/{version}/conf/{path.name}/forwarding"
            value = self.read(forwarding)
            if value is not None and value != switch:
                saved[forwarding] = value
            if group is ForwardingGroup.IPV6 and self._lives_by_advertisements(path.name):
                saved[_accept_ra(path.name)] = "1"
        if group is ForwardingGroup.IPV4:
            redirects = self.read(_IPV4_REDIRECTS)
            if redirects is not None:
                saved[_IPV4_REDIRECTS] = redirects
        return saved

    def enable(self, group: ForwardingGroup) -> None:
        """Switch forwarding on.

        Args:
            group: IP version.
        """
        if group is ForwardingGroup.IPV6:
            for path in sorted((self._root / "net/ipv6/conf").iterdir()):
                # 1 means "unless forwarding", 2 means "even when forwarding". It must be set
                # first: the switch itself throws the advertised default route away.
                if self._lives_by_advertisements(path.name):
                    self.write(_accept_ra(path.name), "2")
        self.write(group.switch, "1")

    def restore(self, group: ForwardingGroup, saved: Mapping[str, str]) -> None:
        """Put a snapshot back.

        Args:
            group: IP version.
            saved: what ``snapshot`` returned.
        """
        if group.switch in saved:
            self.write(group.switch, saved[group.switch])
        # The switch has just been copied to every interface, so theirs come after it, and
        # accept_ra last: with forwarding still on, 1 would throw the default route away.
        for key in sorted(saved, key=lambda key: key.endswith("/accept_ra")):
            if key != group.switch:
                self.write(key, saved[key])

    def strict_link_setting(self, link_name: str) -> tuple[str, str] | None:
        """Return key and value of a link's source validation when it is strict; None otherwise.

        Strict means: a packet is dropped unless its link is the one an answer would leave by. With
        several links to one server all but one would be deaf (RFC 3704 s2.2 to s2.4).

        Args:
            link_name: the link.
        """
        key = f"net/ipv4/conf/{link_name}/rp_filter"
        value = self.read(key)
        everywhere = self.read("net/ipv4/conf/all/rp_filter")
        # The kernel takes the larger of the two; 2 is loose.
        if value is None or max(int(value), int(everywhere or "0")) != _STRICT:
            return None
        return key, value

    def loosen(self, key: str) -> None:
        """Let packets in by any link that has a way back to their source.

        Args:
            key: what `strict_link_setting` returned.
        """
        self.write(key, _LOOSE)

    def _lives_by_advertisements(self, interface: str) -> bool:
        return interface not in {"all", "lo"} and self.read(_accept_ra(interface)) == "1"


def _accept_ra(interface: str) -> str:
    return f"net/ipv6/conf/{interface}/accept_ra"


def _dotted(key: str) -> str:
    # sysctl(8) reads "/" as well, and an interface name may hold dots itself.
    return key if "/conf/" in key else key.replace("/", ".")


def _reason(error: OSError) -> str:
    if error.errno == errno.EROFS:
        return "/proc/sys is read-only here (a container?)"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return "permission denied"
    return os.strerror(error.errno or 0)
