"""FakeHost: host operations that touch nothing and remember everything."""

import contextlib
import os
import socket
from collections.abc import Sequence
from ipaddress import IPv6Interface

import trio
from typing_extensions import override

from mqvpn_core.errors import HostError
from mqvpn_core.ids import IfIndex
from mqvpn_core.runtime.host_operations import HostOperations, LinkInfo, TunHandle
from mqvpn_helper.interface.host_plan import HostPlan, HostReport, IPAddress
from mqvpn_helper.interface.network_rules import MachineNetworks

_FIRST_IFINDEX = 100
_MIN_MTU = 68
_MIN_IPV6_MTU = 1280  # RFC 8200 s5


class FakeHost(HostOperations):
    """A machine in memory.

    The TUN device is one end of a socket pair that keeps packet borders; the other end is used by
    ``send_into_tun`` and ``packets_from_tun``.
    """

    def __init__(self) -> None:
        """Begin with a machine that knows no links and has nothing to recover."""
        self.plans: list[HostPlan] = []
        """Every plan applied, in order."""
        self.plan: HostPlan | None = None
        """The plan in force; None before the first and after ``undo``."""
        self.links: dict[IPAddress, LinkInfo] = {}
        """Answers of ``link_towards``."""
        self.here = MachineNetworks()
        """Where the machine is beside the tunnel."""
        self.leftovers: tuple[str, ...] = ()
        """What ``recover`` finds, once."""
        self.warnings: tuple[str, ...] = ()
        """What every ``apply`` warns of."""
        self.refusal: str | None = None
        """When set, the next operation fails with this message, and only that one."""
        self.undo_count = 0
        """How often ``undo`` was called."""
        self.keeps_leftovers = False
        """What ``open_tun`` was asked to do with leftovers."""
        self.taken_names: set[str] = set()
        """Interfaces that exist already."""
        self._tun: TunHandle | None = None
        self._far_end: socket.socket | None = None

    @override
    async def open_tun(self, name: str | None, *, keep_leftovers: bool = False) -> TunHandle:
        await self._begin()
        self.keeps_leftovers = keep_leftovers
        given = name or next(
            free
            for n in range(len(self.taken_names) + 1)
            if not self._is_taken(free := f"mqvpn{n}")
        )
        if self._is_taken(given):
            raise HostError(f"cannot create {given}: an interface of that name exists already")
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        far.setblocking(False)
        self.close()
        self.taken_names.add(given)
        self._far_end = far
        ifindex = IfIndex(_FIRST_IFINDEX + len(self.taken_names))
        self._tun = TunHandle(
            fd=near.detach(), name=given, ifindex=ifindex, instance=f"instance-{given}"
        )
        os.set_blocking(self._tun.fd, False)
        return self._tun

    @override
    async def apply(self, plan: HostPlan) -> HostReport:
        await self._begin()
        if self._tun is None or plan.tun_name != self._tun.name:
            raise HostError(f"the plan is for {plan.tun_name}, which is not our TUN device")
        has_ipv6 = any(isinstance(address, IPv6Interface) for address in plan.addresses)
        if plan.mtu < (_MIN_IPV6_MTU if has_ipv6 else _MIN_MTU):
            raise HostError(f"{plan.mtu} cannot be the MTU of {plan.tun_name}")
        self.plans.append(plan)
        self.plan = plan
        return HostReport(warnings=self.warnings)

    @override
    async def networks(self) -> MachineNetworks:
        await self._begin()
        return self.here

    @override
    async def undo(self) -> None:
        await self._begin()
        self.plan = None
        self.undo_count += 1

    @override
    async def recover(self) -> tuple[str, ...]:
        await self._begin()
        found, self.leftovers = self.leftovers, ()
        return found

    @override
    async def link_towards(self, address: IPAddress) -> LinkInfo | None:
        await self._begin()
        return self.links.get(address)

    def send_into_tun(self, packets: Sequence[bytes]) -> None:
        """Let the machine route packets into the device.

        Args:
            packets: IP packets.
        """
        if self._far_end is not None:
            for packet in packets:
                self._far_end.send(packet)

    def packets_from_tun(self) -> list[bytes]:
        """Return the packets that were written to the device since the last call."""
        packets: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while self._far_end is not None:
                packet = self._far_end.recv(65535)
                if not packet:
                    break
                packets.append(packet)
        return packets

    def close(self) -> None:
        """Close the tests' end of the TUN device; harmless when done twice."""
        if self._far_end is not None:
            self._far_end.close()
            self._far_end = None

    def _is_taken(self, name: str) -> bool:
        return name in self.taken_names

    async def _begin(self) -> None:
        # A real host works in another thread: the caller may be cancelled before, not in between.
        await trio.lowlevel.checkpoint()
        if self.refusal is not None:
            message, self.refusal = self.refusal, None
            raise HostError(message)
