"""A failover is told by card, tray and log alike, for as long as it explains what is seen."""

from dataclasses import replace
from types import MappingProxyType

import pytest
from PySide6.QtWidgets import QLabel

from mqvpn_gui.model.event_store import EventRecord, Failovers
from mqvpn_gui.model.helper_state import MAX_PATHS, HelperState, PathState
from mqvpn_gui.windows.path_card import PathCard
from mqvpn_gui.words.quantities import short_moment, unbroken
from mqvpn_helper.interface.bus_names import BusEventKind
from tests.gui.conftest import Office
from tests.gui.samples import CONNECTED, LTE, OFF, WIFI

LINE = "WiFi wlan0 lost, continuing on LTE wwan0, gap 62 ms"
LOST = replace(CONNECTED, paths=(replace(WIFI, state=PathState.SUSPECT), LTE))
WHEN = unbroken(short_moment(1_000.0))


def failover(number: int, lost: str = "wlan0", to: str = "wwan0", gap: float = 62.0) -> EventRecord:
    return EventRecord(
        id=number,
        at=1_000.0,
        kind=BusEventKind.FAILOVER,
        path=lost,
        detail=MappingProxyType({"to_interface": to, "gap_ms": gap}),
    )


def event(number: int, kind: BusEventKind) -> EventRecord:
    return EventRecord(id=number, at=1_000.0, kind=kind)


def taken(*records: EventRecord) -> Failovers:
    failovers = Failovers()
    for record in records:
        failovers.take(record)
    return failovers


def test_newest_one_counts_for_both_of_its_links() -> None:
    failovers = taken(failover(1), failover(2, "eth0", "wlan0"))
    assert failovers.about("wwan0") == failover(1)
    assert failovers.about("wlan0") == failover(2, "eth0", "wlan0")
    failovers.take(failover(3, gap=70.0))
    assert failovers.about("wlan0") == failover(3, gap=70.0)
    assert failovers.about("ppp0") is None


@pytest.mark.parametrize(
    ("state", "is_told"),
    [
        (LOST, True),
        (replace(CONNECTED, paths=(LTE,)), True),
        (CONNECTED, False),
        (replace(LOST, state=OFF.state), False),
    ],
)
def test_lost_link_explains_the_state_until_it_works_again(
    state: HelperState, is_told: bool
) -> None:
    failovers = taken(failover(1))
    assert failovers.explaining(state) == (failover(1) if is_told else None)


@pytest.mark.parametrize("kind", [BusEventKind.CONNECTED, BusEventKind.DISCONNECTED])
def test_another_tunnel_has_another_story(kind: BusEventKind) -> None:
    failovers = taken(failover(1), event(2, BusEventKind.PATH_UP))
    assert failovers.about("wlan0") == failover(1)
    failovers.take(event(3, kind))
    assert failovers.about("wlan0") is None


def test_endless_names_are_not_all_kept() -> None:
    failovers = taken(*(failover(number + 1, f"eth{number}") for number in range(2 * MAX_PATHS)))
    assert failovers.about("eth0") is None
    assert failovers.about(f"eth{2 * MAX_PATHS - 1}") is not None


def shown(office: Office, interface: str) -> str:
    """What the card of a link says."""
    (card,) = [
        each
        for each in office.desk.window.findChildren(PathCard)
        if each.interface == interface and not each.isHidden()
    ]
    return "\n".join(each.text() for each in card.findChildren(QLabel) if each.isVisibleTo(card))


def in_tray(office: Office) -> tuple[str, list[str]]:
    """What the icon says when the pointer rests on it, and the entries of its menu."""
    actions = office.desk._menu.menu.actions()
    return (
        office.desk.tray._icon.toolTip(),
        [action.text() for action in actions if action.isVisible()],
    )


@pytest.mark.parametrize("state_comes_first", [True, False])
def test_card_tray_and_log_tell_the_same(office: Office, state_comes_first: bool) -> None:
    office.desk.show_window()
    office.desk.helper._set_state(CONNECTED)
    if state_comes_first:
        office.desk.helper._set_state(LOST)
    office.desk.helper.events_arrived.emit([failover(1)])
    office.desk.helper._set_state(LOST)
    assert f"Lost, traffic went on over LTE wwan0, gap 62 ms ({WHEN})" in shown(office, "wlan0")
    assert f"Took over from WiFi wlan0, gap 62 ms ({WHEN})" in shown(office, "wwan0")
    tooltip, menu = in_tray(office)
    assert tooltip == f"mqvpn: connected to Frankfurt, 1 of 2 paths, 41 ms\n{LINE}"
    assert LINE in menu
    table = office.desk._home.events.table
    assert table.data(table.index(0, 2)) == LINE

    office.desk.helper._set_state(CONNECTED)
    tooltip, menu = in_tray(office)
    assert "lost" not in tooltip
    assert LINE not in menu
    assert "gap 62 ms" in shown(office, "wlan0")  # when it was, stays to be seen
    office.desk.helper.events_arrived.emit([event(2, BusEventKind.CONNECTED)])
    assert "gap" not in shown(office, "wlan0")
