"""A flood of changes becomes one picture."""

from collections import deque
from ipaddress import IPv4Address, IPv4Interface

import trio

from mqvpn_core.ids import Instant
from mqvpn_core.masque.session_events import (
    AddressesChanged,
    EndCause,
    MtuChanged,
    RoutesChanged,
    SessionEnded,
    SessionEvent,
    TunnelEstablished,
)
from mqvpn_core.runtime.session_watch import SessionPicture, SessionWatch
from mqvpn_core.wire.address_capsules import IpAddressRange
from tests.runtime.virtual_time import run_virtual

ONE = IPv4Interface("10.0.0.2/32")
TWO = IPv4Interface("10.0.0.3/32")
ROUTE = IpAddressRange(start=IPv4Address("10.1.0.0"), end=IPv4Address("10.1.255.255"), protocol=0)
UP = TunnelEstablished(addresses=(ONE,), routes=(), mtu=1400)
END = SessionEnded(cause=EndCause.CLOSED_BY_PEER, status=None, message="over", may_retry=True)
NOW = Instant(0.0)


class Events:
    """A session that only has events."""

    def __init__(self, *events: SessionEvent) -> None:
        self.waiting = deque(events)

    def next_event(self) -> SessionEvent | None:
        return self.waiting.popleft() if self.waiting else None


def test_every_change_is_in_the_picture() -> None:
    events = Events(UP)
    watch = SessionWatch(events)
    watch.look(NOW)
    assert watch.picture == SessionPicture(addresses=(ONE,), routes=(), mtu=1400)
    changes: list[SessionEvent] = [
        AddressesChanged(addresses=(TWO,)),
        RoutesChanged(routes=(ROUTE,)),
        MtuChanged(mtu=1300),
    ]
    events.waiting.extend(changes)
    watch.look(NOW)
    assert watch.picture == SessionPicture(addresses=(TWO,), routes=(ROUTE,), mtu=1300)
    events.waiting.append(AddressesChanged(addresses=()))
    watch.look(NOW)
    assert watch.picture == SessionPicture(addresses=(), routes=(ROUTE,), mtu=1300)
    assert watch.ended is None


def test_changes_before_the_tunnel_is_up_are_no_picture() -> None:
    watch = SessionWatch(Events(MtuChanged(mtu=1300), END))
    watch.look(NOW)
    assert watch.picture is None
    assert watch.ended == END


def test_waiting_wakes_once_for_many_changes() -> None:
    async def main() -> None:
        events = Events()
        watch = SessionWatch(events)
        wakes = 0

        async def count() -> None:
            nonlocal wakes
            while watch.ended is None:
                await watch.wait_change()
                wakes += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count)
            await trio.testing.wait_all_tasks_blocked()
            watch.look(NOW)
            for mtu in range(1280, 1400):
                events.waiting.append(MtuChanged(mtu=mtu))
                watch.look(NOW)
            await trio.testing.wait_all_tasks_blocked()
            assert wakes == 1
            events.waiting.append(END)
            watch.look(NOW)
        assert wakes == 2

    run_virtual(main)
