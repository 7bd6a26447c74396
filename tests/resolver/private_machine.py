"""A machine of its own for one process: private /etc, /run, network, and further packages in /usr.

The process must have been started by ``COMMAND``, in namespaces of its own: nothing of what it does
here is seen outside, and everything ends with it.
"""

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

COMMAND = (
    *("unshare", "--mount", "--propagation", "private", "--net"),
    *("--pid", "--fork", "--kill-child", "--mount-proc"),
)
"""Starts a process that may make a machine of its own."""

RESOLV_CONF = Path("/etc/resolv.conf")
_BUS_SOCKET = Path("/run/dbus/system_bus_socket")


def make_machine(packages: Sequence[Path]) -> None:
    """Make the machine, with these packages on it.

    Args:
        packages: unpacked packages.
    """
    # Seen by nobody else, and gone with us.
    scratch = Path("/run")
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(scratch))
    etc, usr = scratch / "etc", scratch / "usr"
    shutil.copytree("/etc", etc, symlinks=True, ignore=shutil.ignore_patterns("ssl"))
    (etc / "ssl").symlink_to("/usr/share/ssl-not-here")
    (etc / "resolv.conf").unlink(missing_ok=True)
    usr.mkdir()
    for package in packages:
        for folder in ("bin", "sbin", "lib"):
            _copy(package / folder, usr / folder)
        _copy(package / "usr", usr)
        _copy(package / "etc", etc)
    run("mount", "--bind", str(etc), "/etc")
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={usr}:/usr", "/usr")
    run("ip", "link", "set", "lo", "up")
    _add_uplink()


def start_bus() -> None:
    """Start the system bus."""
    _BUS_SOCKET.parent.mkdir()
    run("dbus-uuidgen", "--ensure=/etc/machine-id")
    start("dbus-daemon", "--system", "--nofork", "--nopidfile")
    wait_for(_BUS_SOCKET.exists, "system bus")


def start(*command: str) -> None:
    """Start a program that ends with us."""
    log = Path(f"/run/{Path(command[0]).name}.log").open("wb")  # noqa: SIM115 - as long as we live
    subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - the test's own


def run(*command: str) -> str:
    """Run a command and return what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - own
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until something is so."""
    deadline = time.perf_counter() + 15
    while not condition():
        assert time.perf_counter() < deadline, f"no {what}"
        time.sleep(0.02)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


def _add_uplink() -> None:
    """A link to nowhere with a default route; what would leave is seen at ``far0``."""
    run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far0")
    for end in ("eth0", "far0"):
        run("ip", "link", "set", end, "up")
    run("ip", "addr", "add", "192.0.2.2/24", "dev", "eth0")
    run("ip", "neigh", "add", "192.0.2.1", "lladdr", "02:00:00:00:00:01", "dev", "eth0")
    run("ip", "route", "add", "default", "via", "192.0.2.1")
