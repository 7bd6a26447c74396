"""The ring of events: bounded, numbered without gaps, and honest about what is gone."""

import logging

import pytest

from mqvpn_core.ids import Instant
from mqvpn_core.runtime.event_log import EventLog, EventSubject
from mqvpn_core.runtime.event_values import EventKind

CAPACITY = 10


def filled(count: int, log_level: int = logging.DEBUG) -> EventLog:
    log = EventLog(lambda: 1.7e9, log_level=log_level, capacity=CAPACITY)
    for index in range(1, count + 1):
        log.record(EventKind.FAILOVER, f"event {index}", Instant(float(index)))
    return log


def numbers(log: EventLog, after: int, limit: int = 100) -> list[int]:
    return [event.number for event in log.page_after(after, limit=limit).events]


def test_an_empty_log_has_nothing_to_tell() -> None:
    page = filled(0).page_after(0, limit=5)
    assert (page.events, page.missed, page.last) == ((), 0, 0)


def test_events_are_numbered_and_dated() -> None:
    log = filled(2)
    subject = EventSubject(peer="alice", path=3, interface="wlan0")
    log.record(EventKind.PATH_ADDED, "x", Instant(5.5), subject=subject, details={"a": 1})
    event = log.page_after(2, limit=5).events[0]
    assert (event.number, event.at, event.wall) == (3, 5.5, 1.7e9)
    assert (event.peer, event.path, event.interface, event.details) == (
        "alice",
        3,
        "wlan0",
        {"a": 1},
    )


def test_pages_follow_each_other_without_gap() -> None:
    log = filled(7)
    seen: list[int] = []
    after = 0
    while after < log.last_number:
        page = log.page_after(after, limit=3)
        seen += [event.number for event in page.events]
        assert page.missed == 0
        after = page.last
    assert seen == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("after", "missed", "first"), [(0, 15, 16), (14, 1, 16), (15, 0, 16), (20, 0, 21), (24, 0, 25)]
)
def test_who_is_slow_learns_how_much_is_gone(after: int, missed: int, first: int) -> None:
    log = filled(25)
    page = log.page_after(after, limit=100)
    assert page.missed == missed
    assert page.events[0].number == first
    assert page.last == 25


def test_number_of_an_earlier_run_counts_as_none() -> None:
    assert numbers(filled(3), after=500) == [1, 2, 3]
    assert numbers(filled(3), after=3) == []


def test_events_for_fault_finding_are_shown_on_request_and_passed_over_otherwise() -> None:
    log = filled(1)
    log.record(EventKind.KEY_UPDATED, "new keys", Instant(9.0))
    page = log.page_after(0, limit=5)
    assert [event.number for event in page.events] == [1]
    assert page.last == 2
    assert [event.number for event in log.page_after(0, limit=5, with_debug=True).events] == [1, 2]
    assert log.page_after(1, limit=5).last == 2


def test_events_go_to_the_log_as_well(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="mqvpn_core.runtime.event_log"):
        log = filled(1, log_level=logging.INFO)
        log.record(EventKind.MTU_CHANGED, "for fault-finding", Instant(9.0))
    assert caplog.messages == ["event 1"]
