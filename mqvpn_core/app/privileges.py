"""Whether this process may change the network at all; asked before anything is touched."""

from pathlib import Path

_CAP_NET_ADMIN = 12  # capabilities(7)
_TUN = Path("/dev/net/tun")


def missing_privilege(status: Path = Path("/proc/self/status"), tun: Path = _TUN) -> str | None:
    """Return what is missing for a tunnel and how to get it; ``None`` when nothing is.

    Args:
        status: what proc(5) tells of this process.
        tun: the device that makes TUN devices.
    """
    if not _has_capability(status, _CAP_NET_ADMIN):
        return (
            "a tunnel needs root or the capability CAP_NET_ADMIN: use sudo, or a service with"
            " AmbientCapabilities=CAP_NET_ADMIN CAP_NET_BIND_SERVICE"
        )
    if not tun.exists():
        return f"{tun} is missing: 'modprobe tun' as root makes it (in a container: its host)"
    return None


def _has_capability(status: Path, number: int) -> bool:
    try:
        lines = status.read_text("ascii", "replace").splitlines()
        effective = next(line for line in lines if line.startswith("CapEff:"))
        return bool(int(effective.split()[1], 16) >> number & 1)
    except (OSError, StopIteration, ValueError, IndexError):
        return True  # no proc here: let the first attempt tell
