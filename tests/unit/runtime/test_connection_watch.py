"""Events of a connection as people and programs read them, and limits on what a peer can say."""

import logging
from collections import deque
from dataclasses import replace

import pytest

from mqvpn_core.ids import FourTuple, Instant, PathId, SocketAddress
from mqvpn_core.quic.events import (
    ConnectionTerminated,
    HandshakeCompleted,
    HandshakeConfirmed,
    KeysUpdated,
    PathAbandoned,
    PathIdsAvailable,
    PathMigrated,
    PathMtuChanged,
    PathOpened,
    PathRecovered,
    PathStatusChanged,
    PathSuspected,
    PathUseChanged,
    PathValidated,
    TrafficMoved,
)
from mqvpn_core.quic.http3_events import ConnectionEvent
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.quic.statistics import ConnectionStatistics
from mqvpn_core.runtime.connection_watch import BURST, ConnectionWatch, WatchedSide
from mqvpn_core.runtime.event_log import EventLog
from mqvpn_core.runtime.event_values import CoreEvent, EventKind
from tests.unit.runtime.counters import Counters

SERVER = SocketAddress("203.0.113.1", 443)
WLAN = FourTuple(SocketAddress("192.0.2.1", 5000), SERVER)
WWAN = FourTuple(SocketAddress("198.51.100.1", 6000), SERVER)
WIFI, LTE = PathId(0), PathId(1)
INTERFACES = {WLAN.local: "wlan0", WWAN.local: "wwan0"}


class Connection:
    """A connection whose path 0 leaves by wlan0."""

    def __init__(self) -> None:
        self.path = Counters(WIFI)

    def statistics(self) -> ConnectionStatistics:
        return ConnectionStatistics(
            paths=(replace(self.path.statistics(), four_tuple=WLAN),),
            key_phase=0,
            datagrams_waiting=0,
            datagrams_dropped=0,
            undecryptable_packets=0,
            last_received_at=0.0,
        )


class Scene:
    """A watch, its events and its log."""

    def __init__(self, *, is_client: bool = True, peer: str | None = "") -> None:
        self.log = EventLog(lambda: 0.0, log_level=logging.DEBUG)
        self.news: deque[ConnectionEvent] = deque()
        self.peer = peer
        side = WatchedSide(
            is_client=is_client,
            interface_of=lambda four_tuple: (
                INTERFACES.get(four_tuple.local, "") if is_client else ""
            ),
            peer=lambda: self.peer,
        )
        self.watch = ConnectionWatch(Connection(), self.news, self.log, side)

    def happen(self, *events: ConnectionEvent, at: float = 100.0) -> None:
        self.news.extend(events)
        self.watch.look(Instant(at))

    @property
    def events(self) -> list[CoreEvent]:
        return list(self.log.page_after(0, limit=10_000, with_debug=True).events)

    @property
    def texts(self) -> list[str]:
        return [event.text for event in self.events]


OPENED = PathOpened(path_id=LTE, four_tuple=WWAN)


def test_a_failover_reads_as_a_sentence_and_carries_its_numbers() -> None:
    scene = Scene()
    scene.happen(
        OPENED,
        PathSuspected(path_id=WIFI, silent_for=0.05),
        TrafficMoved(path_id=WIFI, to_path_id=LTE, gap=0.0623, reason="it is silent"),
    )
    event = scene.events[-1]
    assert event.kind is EventKind.FAILOVER
    assert event.text == "wlan0 is silent, continuing on wwan0, gap 62 ms"
    assert (event.path, event.interface, event.at) == (0, "wlan0", 100.0)
    assert event.details == {
        "gap_ms": pytest.approx(62.3),
        "to_path": 1,
        "to_interface": "wwan0",
        "reason": "it is silent",
    }


@pytest.mark.parametrize(
    ("event", "kind", "text"),
    [
        (OPENED, EventKind.PATH_ADDED, "wwan0 is being tried"),
        (PathValidated(path_id=LTE, four_tuple=WWAN), EventKind.PATH_VALIDATED, "wwan0 works"),
        (PathSuspected(path_id=WIFI, silent_for=0.1), EventKind.PATH_SUSPECT, "wlan0 is silent"),
        (
            PathRecovered(path_id=WIFI, silent_for=1.26),
            EventKind.PATH_RECOVERED,
            "wlan0 answers again after 1.3 s",
        ),
        (
            PathAbandoned(path_id=WIFI, error_code=1, by_peer=False, reason="its link is gone"),
            EventKind.PATH_ABANDONED,
            "wlan0 is given up: its link is gone",
        ),
        (
            TrafficMoved(path_id=WIFI, to_path_id=LTE, gap=0.004, reason="its link is gone"),
            EventKind.FAILOVER,
            "wlan0 is given up (its link is gone), continuing on path 1, gap 4 ms",
        ),
        (
            PathUseChanged(path_id=WIFI, use=PathUse.BACKUP),
            EventKind.ROLE_CHANGED,
            "wlan0 is used as backup now",
        ),
        (
            PathStatusChanged(path_id=WIFI, is_backup=True),
            EventKind.ROLE_CHANGED,
            "the server would rather not be sent to over wlan0",
        ),
        (
            PathStatusChanged(path_id=WIFI, is_backup=False),
            EventKind.ROLE_CHANGED,
            "the server takes everything over wlan0",
        ),
        (
            PathMigrated(path_id=WIFI, old=WLAN, new=WWAN),
            EventKind.PATH_MOVED,
            "wlan0 moved from 192.0.2.1:5000 to 198.51.100.1:6000",
        ),
        (
            PathMtuChanged(path_id=WIFI, max_datagram_size=1400),
            EventKind.MTU_CHANGED,
            "wlan0 carries packets of 1400 bytes",
        ),
        (
            KeysUpdated(key_phase=3, initiated_locally=True),
            EventKind.KEY_UPDATED,
            "new keys (update 3, started by us)",
        ),
    ],
)
def test_every_event_has_its_words(event: ConnectionEvent, kind: EventKind, text: str) -> None:
    scene = Scene()
    scene.happen(event)
    assert [(each.kind, each.text) for each in scene.events] == [(kind, text)]


@pytest.mark.parametrize(
    "event",
    [
        HandshakeCompleted(alpn="h3", session_resumed=False, multipath=True),
        HandshakeConfirmed(),
        PathIdsAvailable(),
        ConnectionTerminated(error_code=0, reason="", by_peer=False, is_application=True),
    ],
)
def test_what_is_told_elsewhere_or_interests_nobody_is_not_told(event: ConnectionEvent) -> None:
    scene = Scene()
    scene.happen(event)
    assert scene.events == []


def test_paths_over_one_interface_are_told_apart() -> None:
    scene = Scene()
    scene.happen(
        PathOpened(path_id=LTE, four_tuple=WLAN),
        TrafficMoved(path_id=WIFI, to_path_id=LTE, gap=0.1, reason="it is silent"),
    )
    assert scene.texts[-1] == "path 0 is silent, continuing on path 1, gap 100 ms"


def test_an_abandoned_path_is_still_known_by_name() -> None:
    scene = Scene()
    scene.happen(
        OPENED,
        PathAbandoned(path_id=LTE, error_code=1, by_peer=True, reason="the peer gave it up"),
        TrafficMoved(path_id=LTE, to_path_id=WIFI, gap=0.01, reason="the peer gave it up"),
    )
    assert scene.texts[-1].startswith(
        "wwan0 is given up (the peer gave it up), continuing on wlan0"
    )


def test_a_server_says_whose_path_it_is() -> None:
    remote = SocketAddress("198.51.100.9", 7)
    scene = Scene(is_client=False, peer="alice")
    scene.happen(
        PathOpened(path_id=LTE, four_tuple=FourTuple(SERVER, remote)),
        PathStatusChanged(path_id=LTE, is_backup=True),
    )
    assert scene.texts == [
        "alice: path 1 from 198.51.100.9 is being tried",
        "alice: the client would rather not be sent to over path 1 from 198.51.100.9",
    ]
    assert {event.peer for event in scene.events} == {"alice"}


def test_nothing_is_told_of_strangers() -> None:
    scene = Scene(is_client=False, peer=None)
    scene.happen(OPENED)
    assert scene.events == []
    scene.peer = "alice"
    scene.happen(OPENED)
    assert len(scene.events) == 1


def test_a_peer_that_will_not_be_quiet_is_cut_short() -> None:
    scene = Scene(is_client=False, peer="mallory")
    flips = [PathStatusChanged(path_id=WIFI, is_backup=bool(turn % 2)) for turn in range(10_000)]
    scene.happen(*flips, at=100.0)
    assert len(scene.events) == BURST
    scene.happen(*flips, at=100.0 + 5)
    assert len(scene.events) == BURST + 5
    assert scene.events[BURST].details["left_out"] == 10_000 - BURST
    assert scene.texts[BURST].endswith(f"({10_000 - BURST} events before this are left out)")


def test_names_of_many_paths_are_not_kept_for_ever() -> None:
    scene = Scene()
    for number in range(1, 1000):
        scene.happen(PathOpened(path_id=PathId(number), four_tuple=WWAN), at=100.0 + 2 * number)
    assert scene.texts[-1] == "wwan0 is being tried"
    scene.happen(PathAbandoned(path_id=PathId(1), error_code=0, by_peer=False, reason="x"), at=5000)
    assert scene.texts[-1] == "path 1 is given up: x"
