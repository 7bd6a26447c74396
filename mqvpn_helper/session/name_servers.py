"""Whom this machine asks for names outside the tunnel, as its own files say.

While a kill switch is in force and nobody knows the server's address yet, the core may ask these
and nobody else.
"""

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from mqvpn_helper.interface.host_plan import IPAddress

RESOLVER_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
"""The machine's own, and what is behind systemd-resolved when that answers on the loopback."""
_MAX_BYTES = 65536
_MAX_NAME_SERVERS = 8


def upstream_name_servers(files: Sequence[Path] = RESOLVER_FILES) -> tuple[IPAddress, ...]:
    """Return the name servers of the first file that names one elsewhere than on this machine.

    Args:
        files: in the form of resolv.conf(5); those that cannot be read are left out.
    """
    for file in files:
        try:
            with file.open("rb") as opened:
                text = opened.read(_MAX_BYTES).decode("ascii", "replace")
        except OSError:
            continue
        found = tuple(
            dict.fromkeys(
                address
                for line in text.splitlines()
                if (address := _name_server(line)) is not None and not address.is_loopback
            )
        )
        if found:
            return found[:_MAX_NAME_SERVERS]
    return ()


def _name_server(line: str) -> IPAddress | None:
    words = line.split()
    if len(words) < 2 or words[0] != "nameserver" or "%" in words[1]:  # noqa: PLR2004 - two words
        return None
    try:
        return ip_address(words[1])
    except ValueError:
        return None
