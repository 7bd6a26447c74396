"""Methods that change the tunnel or the machine.

Each checks its arguments first and returns what to do then; permission is asked for in between, by
`mqvpn_helper.service.dispatch`.
"""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from mqvpn_helper.interface import bus_interface as table
from mqvpn_helper.interface.bus_interface import Method
from mqvpn_helper.interface.bus_names import MAX_PORTAL_SECONDS, OBJECT_PATH, BusError
from mqvpn_helper.interface.host_plan import KillSwitchMode
from mqvpn_helper.interface.members import MemberError
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.interface.tunnel_settings import DnsSettings, PathPolicy, SplitSettings
from mqvpn_helper.service.calls import Action, Call, CallError, Handler, Results
from mqvpn_helper.service.leftovers import Leftovers
from mqvpn_helper.service.tunnel_keeper import TunnelKeeper
from mqvpn_helper.service.variants import VariantError, plain_members

_T = TypeVar("_T")
_LINK_NAME = re.compile(r"[!-$&-.0-9;-~]{1,15}", re.ASCII)  # visible, no slash, colon or percent


class TunnelMethods:
    """The methods that change something. A: `handlers`."""

    def __init__(
        self,
        keeper: TunnelKeeper,
        leftovers: Leftovers,
        tunnel_started: Callable[[], None],
    ) -> None:
        """Take what there is to change.

        Args:
            keeper: the tunnel.
            leftovers: what earlier ones left behind.
            tunnel_started: told when another tunnel has begun.
        """
        self._keeper = keeper
        self._leftovers = leftovers
        self._tunnel_started = tunnel_started

    def handlers(self) -> Mapping[Method, Handler]:
        """Return what each method of the table does."""
        return {
            table.CONNECT: self._connect,
            table.DISCONNECT: self._disconnect,
            table.PROVIDE_SECRETS: self._provide_secrets,
            table.SET_PATH_POLICY: self._set_path_policy,
            table.SET_KILL_SWITCH: self._set_kill_switch,
            table.ALLOW_PORTAL: self._allow_portal,
            table.SET_SPLIT: self._set_split,
            table.SET_DNS: self._set_dns,
            table.RECOVER: self._recover,
        }

    def _connect(self, call: Call) -> Action:
        profile = _read(Profile.from_mapping, call.arguments[0], BusError.BAD_PROFILE)
        secrets = call.number(1)

        async def act() -> Results:
            await self._keeper.make_room(call.caller)
            self._keeper.start(profile, call.incoming.take_fd(secrets), call.caller)
            self._tunnel_started()
            return (OBJECT_PATH,)

        return act

    def _disconnect(self, _call: Call) -> Action:
        async def act() -> Results:
            if self._keeper.is_up:
                await self._keeper.stop()
            elif not await self._leftovers.release_standard():
                raise CallError(BusError.NOT_CONNECTED, "there is no tunnel")
            return ()

        return act

    def _provide_secrets(self, call: Call) -> Action:
        secrets = call.number(0)

        async def act() -> Results:
            session = self._keeper.session
            session.provide_secrets(call.incoming.take_fd(secrets))
            return ()

        return act

    def _set_path_policy(self, call: Call) -> Action:
        interface = _link_name(call.text(0))
        policy = _read(PathPolicy.from_mapping, call.arguments[1], BusError.BAD_ARGUMENTS)

        async def act() -> Results:
            self._keeper.session.set_path_policy(interface, policy)
            return ()

        return act

    def _set_kill_switch(self, call: Call) -> Action:
        try:
            mode = KillSwitchMode(call.text(0))
        except ValueError:
            allowed = ", ".join(each.value for each in KillSwitchMode)
            raise CallError(BusError.BAD_ARGUMENTS, f"the mode is not one of {allowed}") from None

        async def act() -> Results:
            if self._keeper.is_up:
                self._keeper.session.set_kill_switch(mode)
            elif mode is KillSwitchMode.OFF:
                await self._leftovers.remove_all()
            else:
                raise CallError(BusError.NOT_CONNECTED, "there is no tunnel to protect: connect")
            return ()

        return act

    def _allow_portal(self, call: Call) -> Action:
        interface, seconds = _link_name(call.text(0)), call.number(1)
        if seconds > MAX_PORTAL_SECONDS:
            text = f"at most {MAX_PORTAL_SECONDS} seconds"
            raise CallError(BusError.BAD_ARGUMENTS, text)

        async def act() -> Results:
            self._keeper.allow_portal(interface, seconds)
            return ()

        return act

    def _set_split(self, call: Call) -> Action:
        settings = _read(SplitSettings.from_mapping, call.arguments[0], BusError.BAD_ARGUMENTS)

        async def act() -> Results:
            self._keeper.set_split(settings)
            return ()

        return act

    def _set_dns(self, call: Call) -> Action:
        settings = _read(DnsSettings.from_mapping, call.arguments[0], BusError.BAD_ARGUMENTS)

        async def act() -> Results:
            self._keeper.session.set_dns(settings)
            return ()

        return act

    def _recover(self, _call: Call) -> Action:
        async def act() -> Results:
            self._keeper.close("the machine is being restored")
            try:
                await self._keeper.stop()
                await self._leftovers.remove_all()
            finally:
                self._keeper.close("")
            return ()

        return act


def _read(make: Callable[[Mapping[str, object]], _T], given: object, kind: BusError) -> _T:
    try:
        return make(plain_members(given))
    except (MemberError, VariantError) as error:
        raise CallError(kind, str(error)) from error


def _link_name(text: str) -> str:
    if _LINK_NAME.fullmatch(text) is None:
        raise CallError(BusError.BAD_ARGUMENTS, "that is no name of a network interface")
    return text
