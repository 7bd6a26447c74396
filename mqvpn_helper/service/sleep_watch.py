"""Suspend and resume, as logind tells them; without logind there is nothing to watch.

While a tunnel is up a delay lock is held, so that the last words before sleep get out.
"""

import logging
import os
from collections.abc import Callable

import trio
from jeepney import DBusAddress, new_method_call
from jeepney.bus_messages import MatchRule, message_bus
from jeepney.low_level import HeaderFields

from mqvpn_helper.service.bus_link import BusLink, BusReplyError
from mqvpn_helper.service.message_stream import Incoming

_log = logging.getLogger(__name__)

_NAME = "org.freedesktop.login1"
_MANAGER = DBusAddress(
    "/org/freedesktop/login1", bus_name=_NAME, interface="org.freedesktop.login1.Manager"
)
_MEMBER = "PrepareForSleep"
_RULE = MatchRule(
    type="signal", sender=_NAME, interface="org.freedesktop.login1.Manager", member=_MEMBER
)


class SleepWatch:
    """Watches while it runs. B: `receive_signal`. Tasks: `run`, which lasts as long as a tunnel."""

    def __init__(
        self, bus: BusLink, *, falls_asleep: Callable[[], None], wakes_up: Callable[[], None]
    ) -> None:
        """Take the bus and whom to tell."""
        self._bus = bus
        self._falls_asleep = falls_asleep
        self._wakes_up = wakes_up
        self._logind = ""
        self._lock: int | None = None
        self._send, self._receive = trio.open_memory_channel[bool](4)

    async def run(self) -> None:
        """Hold the lock, let go of it before sleep, take it again afterwards."""
        try:
            await self._bus.add_match(_RULE)
            (owner,) = await self._bus.call(message_bus.GetNameOwner(_NAME))
            assert isinstance(owner, str)
            self._logind = owner
            await self._take_lock()
            async for is_going_to_sleep in self._receive:
                if is_going_to_sleep:
                    self._falls_asleep()
                    self._release_lock()
                else:
                    self._wakes_up()
                    await self._take_lock()
        except BusReplyError as error:
            _log.debug("no logind to tell of suspend and resume: %s", error)
        finally:
            self._logind = ""
            self._release_lock()
            self._bus.post(message_bus.RemoveMatch(_RULE))

    def receive_signal(self, incoming: Incoming) -> None:
        """Look whether logind tells that the machine falls asleep or is awake again."""
        fields = incoming.header.fields
        # Anybody may send a signal of this name straight to us: only logind's own counts.
        if not self._logind or fields.get(HeaderFields.sender) != self._logind:
            return
        if fields.get(HeaderFields.member) != _MEMBER:
            return
        try:
            self._send.send_nowait(incoming.decode() == (True,))
        except trio.WouldBlock:
            _log.warning("suspend and resume come too fast; one is left out")

    async def _take_lock(self) -> None:
        if self._lock is not None:
            return
        what = ("sleep", "mqvpn", "tell the tunnel that paths will be silent", "delay")
        try:
            reply = await self._bus.call_for_fds(new_method_call(_MANAGER, "Inhibit", "ssss", what))
        except BusReplyError as error:
            _log.debug("logind gives no delay lock: %s", error)
            return
        (fd,) = reply.decode()
        assert isinstance(fd, int)
        self._lock = reply.take_fd(fd)

    def _release_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
