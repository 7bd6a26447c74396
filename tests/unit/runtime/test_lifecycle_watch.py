"""What becomes of a tunnel as a whole, as the event log tells it."""

import logging
from ipaddress import ip_address

import pytest

from mqvpn_core.ids import Instant
from mqvpn_core.runtime.event_log import EventLog
from mqvpn_core.runtime.event_values import EventKind
from mqvpn_core.runtime.lifecycle_watch import LifecycleWatch
from mqvpn_core.tunnel.assignment import Assignment
from mqvpn_core.tunnel.lifecycle import (
    AttemptFailed,
    Blocked,
    Connected,
    Connecting,
    ConnectRequested,
    Disconnected,
    Disconnecting,
    DisconnectRequested,
    Event,
    Failure,
    FailureKind,
    HostRestored,
    Reconnecting,
    State,
    TunnelLost,
    TunnelUp,
)

GIVEN = Assignment(addresses=(), routes=(), mtu=1400, server=ip_address("192.0.2.1"))
CONNECTING = Connecting(attempt=1, reconnect=True)
CONNECTED = Connected(assignment=GIVEN, reconnect=True)
RECONNECTING = Reconnecting(assignment=GIVEN, attempt=1)
LOST = TunnelLost(failure=Failure(kind=FailureKind.LOST, message="the server is silent"))
UP = TunnelUp(assignment=GIVEN)


class Scene:
    """A watch and its log."""

    def __init__(self) -> None:
        self.log = EventLog(lambda: 0.0, log_level=logging.INFO)
        self.watch = LifecycleWatch(self.log, "vpn.example.org:443")

    def go(self, before: State, event: Event, state: State, at: float = 0.0) -> None:
        self.watch.note(before, event, state, Instant(at))

    @property
    def told(self) -> list[tuple[EventKind, str]]:
        return [(event.kind, event.text) for event in self.log.page_after(0, limit=100).events]


def test_a_tunnel_comes_up_is_lost_and_comes_back() -> None:
    scene = Scene()
    scene.go(Disconnected(), ConnectRequested(reconnect=True), CONNECTING)
    scene.go(CONNECTING, UP, CONNECTED, at=1.0)
    scene.go(CONNECTED, LOST, RECONNECTING, at=10.0)
    scene.go(RECONNECTING, UP, CONNECTED, at=12.34)
    assert scene.told == [
        (EventKind.CONNECTION_UP, "connected to vpn.example.org:443"),
        (
            EventKind.RECONNECTING,
            "reconnecting, addresses and routes stay: the server is silent",
        ),
        (EventKind.CONNECTION_UP, "connected to vpn.example.org:443 again after 2.3 s"),
    ]
    back = scene.log.page_after(2, limit=1).events[0]
    assert back.details["gap_ms"] == pytest.approx(2340)


def test_the_end_is_told_once() -> None:
    scene = Scene()
    scene.go(CONNECTED, DisconnectRequested(), Disconnecting())
    scene.go(Disconnecting(), HostRestored(), Disconnected())
    assert scene.told == [(EventKind.CONNECTION_DOWN, "disconnected")]


def test_what_only_the_user_can_cure_is_said() -> None:
    scene = Scene()
    cause = Failure(kind=FailureKind.CREDENTIALS, message="the key is wrong")
    scene.go(CONNECTING, TunnelLost(failure=cause), Blocked(cause=cause))
    assert scene.told == [
        (EventKind.CONNECTION_DOWN, "stopped, it takes the user: the key is wrong")
    ]


def test_a_change_within_a_state_is_no_event() -> None:
    scene = Scene()
    scene.go(CONNECTED, UP, CONNECTED)
    scene.go(RECONNECTING, LOST, Reconnecting(assignment=GIVEN, attempt=2))
    scene.go(CONNECTING, DisconnectRequested(), Disconnecting())
    assert scene.told == []


def test_the_log_has_lines_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        Scene().go(CONNECTING, UP, CONNECTED)
    assert caplog.messages == []


def test_a_key_that_is_accepted_no_more_is_told_once_an_outage() -> None:
    scene = Scene()
    cause = Failure(kind=FailureKind.CREDENTIALS, message="the key is wrong")
    silent = Failure(kind=FailureKind.UNREACHABLE, message="no answer")
    for _ in range(2):
        scene.go(CONNECTED, LOST, RECONNECTING)
        for failure in (silent, cause, cause):
            scene.go(RECONNECTING, AttemptFailed(failure=failure), RECONNECTING)
        scene.go(RECONNECTING, UP, CONNECTED)
    texts = [text for _, text in scene.told if "accepts" in text]
    assert (
        texts == ["the server accepts this key no more; asking it seldom now: the key is wrong"] * 2
    )
