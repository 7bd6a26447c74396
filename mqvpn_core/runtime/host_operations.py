"""HostOperations: all that the core may ask of the machine, whoever carries it out.

Implemented in process (``local_host``), by the privileged helper over a socket, and in memory for
tests. The core behaves alike on all of them.
"""

from dataclasses import dataclass
from typing import Protocol

from mqvpn_core.ids import IfIndex
from mqvpn_helper.interface.host_plan import HostPlan, HostReport, IPAddress
from mqvpn_helper.interface.network_rules import MachineNetworks


@dataclass(frozen=True, slots=True, kw_only=True)
class TunHandle:
    """A TUN device handed to us; it exists until its descriptor is closed."""

    fd: int
    """Non-blocking descriptor, one IP packet per read and write; the receiver closes it."""
    name: str
    """Name of the device."""
    ifindex: IfIndex
    """Index of the device."""
    instance: str
    """Random name of whoever has this device; after a crash the next one has it again."""
    further_queues: tuple[int, ...] = ()
    """More descriptors of the same device, where several processes serve it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkInfo:
    """The link by which an address is reached beside the tunnel."""

    ifindex: IfIndex
    """Index of the link."""
    name: str
    """Name of the link."""
    source: IPAddress
    """Local address to send from."""
    mtu: int
    """MTU of the link in bytes."""


class HostOperations(Protocol):
    """The machine; every method raises HostError when the machine refuses.

    Order: ``open_tun``, ``recover``, ``apply`` as often as wanted, ``undo``, close the descriptor.
    """

    async def open_tun(self, name: str | None, *, keep_leftovers: bool = False) -> TunHandle:
        """Create the TUN device; None lets the machine choose the name.

        What a process that is gone had changed for a device of this name is undone, or with
        ``keep_leftovers`` stays in force until ``apply`` replaces it.
        """
        ...

    async def prepare(self, plan: HostPlan) -> HostReport:
        """Bring into force what must be there before the first connection.

        Here nothing: whoever does more, such as installing a kill switch, says so by overriding it.
        """
        del plan
        return HostReport()

    async def name_servers(self) -> tuple[IPAddress, ...]:
        """Say whom this machine asks for names; here nobody knows."""
        return ()

    async def networks(self) -> MachineNetworks:
        """Say where this machine is beside the tunnel; nothing where somebody else looks at that.

        Like ``prepare`` for whoever changes the machine itself to override.
        """
        return MachineNetworks()

    async def apply(self, plan: HostPlan) -> HostReport:
        """Bring the machine to the plan; doing so again changes nothing."""
        ...

    async def undo(self) -> None:
        """Take back every change; harmless when there is none."""
        ...

    async def undo_but_block(self) -> None:
        """Take back every change except a kill switch: the user has not asked for an end."""
        await self.undo()

    async def recover(self) -> tuple[str, ...]:
        """Undo what processes that are gone left behind for other devices; say what was found."""
        ...

    async def link_towards(self, address: IPAddress) -> LinkInfo | None:
        """Say by which link an address is reached beside the tunnel; None when it is not."""
        ...
