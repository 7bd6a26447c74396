"""What is left to a process behind the confinement, asked of the kernel itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mqvpn_helper.session.confinement import EXIT_NOT_CONFINED
from mqvpn_helper.session.landlock import landlock_version

pytestmark = [pytest.mark.netns, pytest.mark.slow]

_ROOT = Path(__file__).resolve().parents[2]
_UID = 61002

_PROBE = """
import ctypes, json, os, resource, socket
def outcome(action):
    try:
        action()
    except OSError as error:
        return os.strerror(error.errno)
    return "done"
def write(directory):
    open(directory + "/mqvpn-probe", "w")
def option(number, value):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).setsockopt(socket.SOL_SOCKET, number, value)
def connect(port):
    with socket.socket() as s:
        s.settimeout(1)
        s.connect(("127.0.0.1", port))
status = dict(
    line.split(":", 1) for line in open("/proc/self/status").read().splitlines() if ":" in line
)
print(json.dumps({
    "caps": [status[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "no_new_privs": status["NoNewPrivs"].strip(),
    "groups": status["Groups"].strip(),
    "secure bits": ctypes.CDLL(None).prctl(27, 0, 0, 0, 0),
    "uids": os.getresuid(),
    "cwd": os.getcwd(),
    "environment": sorted(os.environ),
    "descriptors": sorted(os.listdir("/proc/self/fd"))[:8],
    "core_limit": resource.getrlimit(resource.RLIMIT_CORE),
    "write": [outcome(lambda: write(d)) for d in ("/tmp", "/var/tmp", "/dev/shm", "/run")],
    "read shadow": outcome(lambda: open("/etc/shadow").read()),
    "read hosts": outcome(lambda: open("/etc/hosts").read()),
    "list run": outcome(lambda: os.listdir("/run")),
    "shell": outcome(lambda: os.execv("/bin/sh", ["sh", "-c", "exit"])),
    "raw": outcome(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)),
    "packet": outcome(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
    "nftables": outcome(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)),
    "links": outcome(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)),
    "udp": outcome(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
    "bind to device": outcome(lambda: option(socket.SO_BINDTODEVICE, b"lo")),
    "mark": outcome(lambda: option(36, 0x6d71)),
    "tcp": outcome(lambda: connect(80)),
    "user namespace": ctypes.CDLL(None).unshare(0x10000000),
    "become root": outcome(lambda: os.setuid(0)),
}))
"""


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        *(sys.executable, str(_ROOT / "tests/helper/reachable.py"), sys.executable, "-I"),
        *("-m", "mqvpn_helper.session.confinement", *arguments),
    ]
    return subprocess.run(  # noqa: S603 - our own
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={"LANG": "C.UTF-8"},
        extra_groups=[4, 27],
    )


def test_nothing_is_left() -> None:
    done = _run(str(_UID), str(_UID), sys.executable, "-I", "-c", _PROBE)
    assert done.returncode == 0, done.stderr
    left = json.loads(done.stdout)
    assert left["caps"] == ["0" * 16] * 5
    assert left["no_new_privs"] == "1"
    assert left["groups"] == ""
    assert left["secure bits"] == 0b1110_0011  # NOROOT and NO_SETUID_FIXUP, locked; KEEP_CAPS off
    assert left["uids"] == [_UID] * 3
    assert left["cwd"] == "/"
    assert left["descriptors"] == ["0", "1", "2", "3"]  # the last is the listing's own
    assert left["core_limit"] == [0, 0]
    assert set(left["write"]) == {"Permission denied"}
    assert left["read shadow"] == "Permission denied"
    assert left["read hosts"] == left["links"] == left["udp"] == left["bind to device"] == "done"
    for refused in ("raw", "packet", "nftables", "mark", "become root"):
        assert left[refused] in {"Operation not permitted", "Permission denied"}, refused
    assert left["user namespace"] == -1
    if landlock_version() >= 4:
        assert left["shell"] == left["list run"] == left["tcp"] == "Permission denied"


@pytest.mark.parametrize(("uid", "gid"), [("0", "61002"), ("61002", "0")])
def test_nobody_runs_as_root(uid: str, gid: str) -> None:
    done = _run(uid, gid, sys.executable, "-I", "-c", "print('ran')")
    assert done.returncode == EXIT_NOT_CONFINED
    assert done.stdout == ""
    assert "root" in done.stderr


def test_without_the_right_to_change_nothing_is_started() -> None:
    """As started by somebody who is not root: the user cannot be changed, and it stops."""
    program = (sys.executable, "-I", "-m", "mqvpn_helper.session.confinement", "61003", "61003")
    done = _run(str(_UID), str(_UID), *program, sys.executable, "-I", "-c", "print('ran')")
    assert done.returncode == EXIT_NOT_CONFINED
    assert done.stdout == ""
