"""A kill switch that lets one server through, and packets that try to leave."""

import errno
import logging
import os
import signal
import socket
from dataclasses import replace
from pathlib import Path

from mqvpn_helper.host.operations import HostChanger
from mqvpn_helper.interface.host_plan import (
    HostPlan,
    KillSwitch,
    KillSwitchMode,
    ServerEndpoint,
)
from tests.helper.plans import SERVER4, SERVER6, client_plan

SWITCH = KillSwitch(
    mode=KillSwitchMode.STANDARD,
    servers=(
        ServerEndpoint(address=SERVER4, port=443),
        ServerEndpoint(address=SERVER6, port=443),
    ),
)
ELSEWHERE = "198.51.100.7"
LAN = "192.0.2.9"  # on eth0's own network, though no private one
SO_MARK = 36


def changer_in(directory: Path) -> HostChanger:
    return HostChanger(directory / "state", boot_directory=directory / "boot")


def waiting(switch: KillSwitch = SWITCH) -> HostPlan:
    """The plan before the first connection."""
    return HostPlan(tun_name="mqvpn0", mtu=1400, kill_switch=switch)


def carrying(switch: KillSwitch = SWITCH) -> HostPlan:
    return replace(client_plan("mqvpn0"), kill_switch=switch)


def sent(
    address: str, port: int = 4000, *, mark: int = 0, link: str = "eth0", source_port: int = 0
) -> bool:
    """Send a datagram over a link; whether the kernel let it leave."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as made:
        if link:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
        if mark:
            made.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
        if source_port:
            made.bind(("", source_port))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        try:
            made.sendto(b"x", (address, port))
        except OSError as error:
            # Refused on the spot, or by the rejection of an earlier datagram.
            if error.errno not in {errno.EPERM, errno.EACCES, errno.EHOSTUNREACH}:
                raise
            return False
        return True


def die_with(tmp_path: Path, plan: HostPlan) -> None:
    """Be a process that applies a plan and is killed."""
    child = os.fork()
    if child == 0:
        try:
            changer = changer_in(tmp_path)
            changer.open_tun("mqvpn0")
            changer.apply(plan)
        except BaseException:
            logging.getLogger(__name__).exception("the child failed")
            os._exit(1)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
