"""TUN devices: made, used, gone with their descriptor, and refused for reasons one can read."""

import errno
import fcntl
import os
import socket
import sys
from pathlib import Path

import pytest

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.tun import QUEUE_PACKETS, check_tun_name, open_tun
from tests.helper.namespaces import run

TUNGETIFF = 0x800454D2


@pytest.mark.parametrize("name", ["mqvpn0", "a", "0", "tun-1.x_y", "A23456789012345"])
def test_usable_names(name: str) -> None:
    check_tun_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "-x",
        ".x",
        "a/b",
        "a b",
        "a\n",
        "a\0",
        "a%d",
        'a"',
        "a*",
        "a;b",
        "é",
        "a@b",
        "1234567890123456",
        "all",
        "default",
        "lo",
    ],
)
def test_unusable_names(name: str) -> None:
    with pytest.raises(HostChangeError, match="cannot name a TUN device"):
        check_tun_name(name)


@pytest.mark.netns
@pytest.mark.usefixtures("namespace")
def test_device_lives_as_long_as_its_descriptor() -> None:
    tun = open_tun("mqvpn7")
    assert "mqvpn7" in run("ip -details link show type tun")
    assert f"qlen {QUEUE_PACKETS}" in run("ip link show mqvpn7")
    assert tun.ifindex == socket.if_nametoindex("mqvpn7")
    assert not os.get_blocking(tun.fd)
    assert not os.get_inheritable(tun.fd)
    os.close(tun.fd)
    assert run("ip link show type tun") == ""


@pytest.mark.netns
@pytest.mark.usefixtures("namespace")
def test_existing_link_of_any_kind_is_refused_and_kept() -> None:
    before = run("ip -details link show eth0")
    with pytest.raises(HostChangeError, match="eth0: an interface of that name exists already"):
        open_tun("eth0")
    run("ip tuntap add mqvpn5 mode tun")
    with pytest.raises(HostChangeError, match="exists already"):
        open_tun("mqvpn5")
    assert run("ip -details link show eth0") == before


@pytest.mark.netns
@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize(("multi_queue", "vnet_header"), [(True, False), (False, True)])
def test_options(multi_queue: bool, vnet_header: bool) -> None:
    tun = open_tun("mqvpn0", queue_count=2 if multi_queue else 1, vnet_header=vnet_header)
    try:
        reply = fcntl.ioctl(tun.fd, TUNGETIFF, bytes(40))
        flags = int.from_bytes(reply[16:18], sys.byteorder)
        assert bool(flags & 0x0100) == multi_queue
        assert bool(flags & 0x4000) == vnet_header
    finally:
        os.close(tun.fd)


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOENT, "modprobe tun"),
        (errno.ENODEV, "modprobe tun"),
        (errno.EACCES, "permission denied"),
        (errno.EMFILE, "Too many open files"),
    ],
)
def test_device_that_cannot_be_opened(
    monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    def refuse(path: str, flags: int) -> int:
        assert path == "/dev/net/tun"
        del flags
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(HostChangeError, match=advice):
        open_tun(None)


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.EPERM, "CAP_NET_ADMIN"), (errno.EBUSY, "exists already"), (errno.ENOMEM, "memory")],
)
def test_device_that_cannot_be_made_leaves_no_descriptor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int, advice: str
) -> None:
    opened = os.open(tmp_path, os.O_RDONLY)

    def refuse(fd: int, request: int, argument: bytes) -> bytes:
        assert fd == opened
        del request, argument
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", lambda *_: opened)
    monkeypatch.setattr(fcntl, "ioctl", refuse)
    with pytest.raises(HostChangeError, match=advice):
        open_tun("mqvpn0")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened)
