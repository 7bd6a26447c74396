"""Network namespaces for tests that change the machine: a fresh one around each test.

The test itself runs inside, in the main thread; whatever it starts is inside as well. The
namespace has no name and vanishes with its last user.
"""

import ctypes
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextmanager
def fresh_namespace() -> Iterator[None]:
    """Be in a new network namespace, loopback up, until the end of the block."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_LIBC.unshare(_CLONE_NEWNET))
        try:
            run("ip link set lo up")
            yield
        finally:
            _check(_LIBC.setns(before, _CLONE_NEWNET))
    finally:
        os.close(before)


def in_mount_namespace(work: Callable[[], None]) -> None:
    """Do something in a thread whose mounts nobody else sees; they vanish with the thread."""

    def apart() -> None:
        _check(_LIBC.unshare(_CLONE_NEWNS))
        run("mount --make-rprivate /")
        work()

    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(apart).result()


def run(command: str) -> str:
    """Run a command line in the present namespace and return what it prints."""
    done = subprocess.run(  # noqa: S603 - the tests' own commands
        command.split(), capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def add_uplink(name: str = "eth0", network: int = 2) -> None:
    """Add a link with a default route in both families, as behind a home router.

    The gateway is 192.0.NETWORK.1 and fe80::1; nobody is there.
    """
    run(f"ip link add {name} type veth peer name {name}-far")
    for end in (name, f"{name}-far"):
        run(f"ip link set {end} addrgenmode none")
        run(f"ip link set {end} up")
    for end in (name, f"{name}-far"):
        _wait_for("state UP", f"ip link show {end}")
        _wait_for("ff00::/8", f"ip -6 route show table local dev {end}")
    run(f"ip addr add 192.0.{network}.2/24 dev {name}")
    add_ipv6_address(f"2001:db8:{network}::2/64", name)
    run(f"ip route add default via 192.0.{network}.1 dev {name} metric {network}00")
    run(f"ip route add default via fe80::1 dev {name} metric {network}00")


def add_ipv6_address(address: str, device: str) -> None:
    """Add an address, and wait until packets to it arrive here instead of taking a route."""
    run(f"ip -6 address add {address} dev {device} nodad")
    host, _, _ = address.partition("/")
    _wait_for(f"local {host}", f"ip -6 route show table local dev {device}")


def _wait_for(text: str, command: str) -> None:
    """Wait for what the kernel does in its own time after a link or an address was set up."""
    for _ in range(500):
        if text in run(command):
            return
        time.sleep(0.01)
    raise AssertionError(f"{command}: {text} does not appear")


@dataclass(frozen=True)
class MachineState:
    """Everything a host plan could have changed."""

    addresses: str
    routes: str
    routes6: str
    rules: str
    firewall: str
    settings: dict[str, str]


def machine_state() -> MachineState:
    """Return the state of the present namespace."""
    return MachineState(
        addresses=run("ip address show"),
        routes=run("ip -4 route show table all"),
        routes6=run("ip -6 route show table all"),
        rules=run("ip -4 rule show") + run("ip -6 rule show"),
        firewall=run("nft list ruleset"),
        settings=settings(),
    )


def settings() -> dict[str, str]:
    """Return the kernel settings that concern forwarding and links."""
    root = Path("/proc/sys/net")
    paths = [root / "ipv4/ip_forward", *root.glob("ipv[46]/conf/*/*")]
    values = {}
    for path in paths:
        try:
            values[str(path.relative_to(root))] = path.read_text().strip()
        except OSError:
            # Write-only ones, and stable_secret while it is unset.
            continue
    return values


def way_to(address: object) -> str:
    """Return what the kernel says of the way to an address."""
    return run(f"ip route get {address}")
