"""What tunnels that are over have left on the machine: shown as properties, removed on request."""

import logging
from dataclasses import dataclass

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.interface import bus_interface as table
from mqvpn_helper.interface.bus_names import BusError, BusEventKind, TunnelState
from mqvpn_helper.interface.host_plan import FIREWALL_IS_BACK, KillSwitchMode
from mqvpn_helper.service.calls import CallError
from mqvpn_helper.service.machine_care import MachineCare
from mqvpn_helper.service.news_desk import NewsDesk
from mqvpn_helper.service.ownership import Ownership
from mqvpn_helper.service.property_board import PropertyBoard
from mqvpn_helper.session.tunnel_memory import WantedTunnel

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heritage:
    """What an earlier helper has left to this one."""

    undone: int
    """How many changes of the machine had to be taken back."""
    wanted: WantedTunnel | None
    """The tunnel that it had, if it can be had again."""


class Leftovers:
    """Looks after the machine while there is no tunnel.

    C: `reconcile`, `show`, `begin`, `release_standard`, `remove_all`. Tasks: `follow_firewall`.
    """

    def __init__(
        self, machine: MachineCare, ownership: Ownership, board: PropertyBoard, desk: NewsDesk
    ) -> None:
        """Take the machine, whose tunnel it was, and where to show how it is."""
        self._machine = machine
        self._ownership = ownership
        self._board = board
        self._desk = desk

    async def reconcile(self) -> Heritage:
        """Clear up after a helper that died, before anything else is done; return what it left."""
        undone: tuple[str, ...] = ()
        try:
            undone = await self._machine.reconcile()
            for each in undone:
                _log.warning("%s", each)
        except HostChangeError:
            _log.exception("not everything that a helper left behind could be undone")
        self._ownership.inherit(await self._machine.last_owner())
        await self.show()
        return Heritage(undone=len(undone), wanted=await self._machine.recall())

    async def follow_firewall(self) -> None:
        """Keep kill switches in force while there is no tunnel that does, until cancelled."""
        try:
            await self._machine.follow_firewall(self._tell_put_back)
        except HostChangeError as error:
            _log.warning("%s", error)

    def _tell_put_back(self, tun_name: str) -> None:
        _log.warning("the kill switch of %s: %s", tun_name, FIREWALL_IS_BACK)
        owner = self._ownership.last_owner
        if owner is not None:
            detail = {"text": FIREWALL_IS_BACK}
            self._desk.tell(BusEventKind.OTHER, owner=owner, detail=detail)

    async def show(self) -> None:
        """Show the kill switch that is in force although there is no tunnel."""
        try:
            mode = await self._machine.kill_switch()
            await self._machine.hold_kill_switches()
        except HostChangeError:
            _log.exception("cannot tell whether a kill switch is in force")
            return
        self._board.put(table.KILL_SWITCH, mode.value)
        self._ownership.is_blocking = mode is not KillSwitchMode.OFF
        state = self._board.value(table.STATE)
        if mode is not KillSwitchMode.OFF:
            self._desk.show_state(TunnelState.BLOCKED, None)
        elif state != TunnelState.ERROR.value:
            self._desk.show_state(TunnelState.OFF, None)

    async def begin(self, owner: int) -> None:
        """Note whose tunnel begins, in case that this process does not see its end."""
        self._machine.let_go()
        try:
            await self._machine.remember_owner(owner)
        except HostChangeError:
            _log.exception("the next helper will not know whose tunnel this was")

    async def release_standard(self) -> bool:
        """Release a kill switch that a crash has left, unless it is to last; tell whether."""
        if self._board.value(table.KILL_SWITCH) != KillSwitchMode.STANDARD.value:
            return False
        await self.remove_all()
        return True

    async def remove_all(self) -> None:
        """Remove every trace.

        Raises:
            CallError: something could not be removed.
        """
        self._machine.let_go()
        try:
            for found in await self._machine.recover():
                _log.info("%s", found)
        except HostChangeError as error:
            raise CallError(BusError.HOST, str(error)) from error
        finally:
            await self.show()
