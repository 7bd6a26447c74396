"""The helper as a whole: its parts, its tasks, and when it ends.

It ends when nobody needs it: no tunnel, no kill switch, no subscriber, no call for a while. Whoever
calls next starts it anew. It also ends when it is told to, or when the bus is gone; the tunnel ends
before, and the next helper brings it up again.
"""

import logging
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import trio
from jeepney.bus_messages import message_bus
from jeepney.low_level import MessageType

from mqvpn_helper.interface import bus_interface as table
from mqvpn_helper.interface.bus_names import API_LEVEL, BUS_NAME, TunnelState
from mqvpn_helper.service.announcer import Announcer
from mqvpn_helper.service.authority import PolkitAuthority
from mqvpn_helper.service.bus_link import BusLink, BusLostError
from mqvpn_helper.service.dispatch import Dispatcher, Guards
from mqvpn_helper.service.event_store import EventStore
from mqvpn_helper.service.leftovers import Heritage, Leftovers
from mqvpn_helper.service.machine_care import MachineCare
from mqvpn_helper.service.message_stream import Incoming, Unreadable
from mqvpn_helper.service.metered_links import MeteredLinks
from mqvpn_helper.service.name_watch import NameWatch
from mqvpn_helper.service.news_desk import NewsDesk
from mqvpn_helper.service.ownership import Ownership
from mqvpn_helper.service.property_board import PropertyBoard
from mqvpn_helper.service.reading_methods import ReadingMethods, ReadingParts
from mqvpn_helper.service.sleep_watch import SleepWatch
from mqvpn_helper.service.subscriptions import Subscriptions
from mqvpn_helper.service.tunnel_keeper import SessionMaker, Surroundings, TunnelKeeper
from mqvpn_helper.service.tunnel_methods import TunnelMethods

_log = logging.getLogger(__name__)

_DO_NOT_QUEUE = 4
_PRIMARY_OWNER = 1
_LOOKS = 4  # in the time after which it ends
_NANOSECONDS_IN_ONE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperParts:
    """What a helper is made from."""

    make_session: SessionMaker
    """Makes tunnels."""
    machine: MachineCare
    """Looks after the machine between tunnels."""
    idle_seconds: float
    """How long nobody has to want anything before it ends."""


class AlreadyRunningError(Exception):
    """Another helper has the name on the bus."""


class Helper:
    """All parts, connected. Tasks: `run`."""

    def __init__(self, bus: BusLink, nursery: trio.Nursery, parts: HelperParts) -> None:
        """Connect the parts.

        Args:
            bus: a bus that is open.
            nursery: for calls and sessions.
            parts: what is not made here.
        """
        self._bus = bus
        self._idle_seconds = parts.idle_seconds
        self._board, self._ownership = PropertyBoard(), Ownership()
        self._subscriptions, events = Subscriptions(), EventStore()
        self._announcer = Announcer(bus, self._board, self._subscriptions, self._ownership)
        self._metered = MeteredLinks(bus)
        desk = NewsDesk(self._board, events, self._announcer, self._metered, wall_clock_us)
        self._desk = desk
        self._leftovers = Leftovers(parts.machine, self._ownership, self._board, desk)
        self._names = NameWatch(bus, self._connection_gone)
        self._sleep = SleepWatch(bus, falls_asleep=self._fall_asleep, wakes_up=self._wake_up)
        self._keeper = TunnelKeeper(
            parts.make_session,
            Surroundings(
                nursery=nursery,
                ownership=self._ownership,
                board=self._board,
                desk=desk,
                wall_clock_us=wall_clock_us,
                names=self._names,
                watch_machine=self._watch_machine,
                before_start=self._leftovers.begin,
                after_end=self._leftovers.show,
            ),
        )
        self._reading = ReadingMethods(
            ReadingParts(
                board=self._board,
                ownership=self._ownership,
                events=events,
                subscriptions=self._subscriptions,
                names=self._names,
                machine=parts.machine,
                greet=self._announcer.greet,
                stats_wanted=self._tell_stats_interval,
            )
        )
        changing = TunnelMethods(self._keeper, self._leftovers, self._tell_stats_interval)
        guards = Guards(
            authority=PolkitAuthority(bus), required_action=self._ownership.required_action
        )
        handlers = {**self._reading.handlers(), **changing.handlers()}
        self._dispatcher = Dispatcher(bus, nursery, guards, handlers)

    def receive(self, arrival: Incoming | Unreadable) -> None:
        """Take what comes over the bus."""
        header = arrival.header
        if header is None or header.message_type is not MessageType.signal:
            self._dispatcher.receive(arrival)
        elif isinstance(arrival, Incoming):
            self._names.receive_signal(arrival)
            self._sleep.receive_signal(arrival)
            arrival.close()

    async def run(self) -> None:
        """Serve until nobody needs the helper.

        Raises:
            AlreadyRunningError: another one does that already.
        """
        self._board.put(table.VERSION, _version())
        self._board.put(table.API, API_LEVEL)
        self._board.put(table.STATE, TunnelState.OFF.value)
        self._board.put(table.SINCE, wall_clock_us())
        self._board.put(table.OWNER, table.NO_OWNER)
        # Nothing is touched while another one is there; calls wait until all is in order.
        (answer,) = await self._bus.call(message_bus.RequestName(BUS_NAME, _DO_NOT_QUEUE))
        if answer != _PRIMARY_OWNER:
            raise AlreadyRunningError(f"another process is {BUS_NAME}")
        heritage = await self._leftovers.reconcile()
        self._tell_start(heritage)
        if heritage.wanted is not None:
            self._keeper.resume(heritage.wanted)
        self._board.take_changes()  # nobody has read anything yet
        self._dispatcher.open()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._announcer.run)
            nursery.start_soon(self._leftovers.follow_firewall)
            await self._wait_idle()
            nursery.cancel_scope.cancel()
        self._keeper.close("the helper is about to end; try again")
        _log.info("ending because nobody needs the helper; the next call starts another one")
        # The bus answers after everything it had delivered before: no call is lost.
        await self._bus.call(message_bus.ReleaseName(BUS_NAME))
        await self._dispatcher.wait_quiet()
        await self._bus.drain()

    def _tell_start(self, heritage: Heritage) -> None:
        """Log that the helper is there, and what it has found, also when that is nothing."""
        _log.info(
            "mqvpn-helper %s is ready; taken back: %s; kill switch in force: %s; "
            "tunnel to bring up: %s",
            self._board.value(table.VERSION),
            heritage.undone or "nothing",
            self._board.value(table.KILL_SWITCH),
            "none" if heritage.wanted is None else "that of an earlier helper",
        )

    async def stop_tunnel(self) -> None:
        """End the tunnel in order, and start no other; its user still wants its kill switch."""
        self._keeper.close("the helper is about to end; try again")
        await self._keeper.stop(keep_kill_switch=True)
        self._announcer.tell_changes()
        await self._bus.drain()

    async def _wait_idle(self) -> None:
        idle_since = trio.current_time()
        while trio.current_time() < idle_since + self._idle_seconds:
            await trio.sleep(self._idle_seconds / _LOOKS)
            dispatcher = self._dispatcher
            # A kill switch without a tunnel needs somebody who puts it back.
            is_needed = self._keeper.is_up or self._ownership.is_blocking
            if is_needed or self._subscriptions.count or dispatcher.busy_calls:
                idle_since = trio.current_time()
            idle_since = max(idle_since, dispatcher.last_call_at)

    async def _watch_machine(self) -> None:
        """Follow what matters to a tunnel and only others know, as long as there is one."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sleep.run)
            nursery.start_soon(self._metered.run, self._desk.show_paths)

    def _connection_gone(self, name: str) -> None:
        self._reading.subscriber_gone(name)
        self._keeper.caller_gone(name)

    def _tell_stats_interval(self) -> None:
        if self._keeper.is_up:
            interval = self._subscriptions.shortest_interval(self._ownership.may_see)
            self._keeper.session.request_stats(interval)

    def _fall_asleep(self) -> None:
        self._keeper.fall_asleep()

    def _wake_up(self) -> None:
        self._keeper.wake_up()


def wall_clock_us() -> int:
    """Return microseconds since 1970."""
    return time.time_ns() // _NANOSECONDS_IN_ONE


async def serve(address: str, make_parts: Callable[[], HelperParts]) -> None:
    """Run a helper on a bus until it is not needed any more, or told to end.

    Args:
        address: of the bus, or ``SYSTEM``.
        make_parts: called once the bus is there.

    Raises:
        BusLostError: there is no bus, or not any more.
        AlreadyRunningError: another helper is running.
    """
    try:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with BusLink(address) as bus, trio.open_nursery() as nursery:
                helper = Helper(bus, nursery, make_parts())
                await nursery.start(bus.run, helper.receive)
                nursery.start_soon(_end_on_signal, signals, helper, nursery.cancel_scope)
                await helper.run()
                nursery.cancel_scope.cancel()
    except* BusLostError as errors:
        raise BusLostError("the message bus is gone, or was never there") from errors
    except* AlreadyRunningError as errors:
        raise AlreadyRunningError("another helper is running") from errors


async def _end_on_signal(
    signals: AsyncIterator[int], helper: Helper, scope: trio.CancelScope
) -> None:
    async for number in signals:
        _log.info("ending because of %s", signal.Signals(number).name)
        await helper.stop_tunnel()
        scope.cancel()
        return


def _version() -> str:
    try:
        return version("mqvpn")
    except PackageNotFoundError:
        return "0+uninstalled"
