"""What does not work is found and said in words, and the report names nobody."""

import json
from dataclasses import replace

import pytest
from PySide6.QtWidgets import QPlainTextEdit
from pytestqt.qtbot import QtBot

from mqvpn_gui.app.checks import Findings, all_checks
from mqvpn_gui.app.machine_look import OLDEST_DATE, MachineLook, look_around
from mqvpn_gui.bus.permission import Permission
from mqvpn_gui.model.diagnosis import Check, MachineFacts, facts_from
from mqvpn_gui.model.helper_state import OFFLINE, PathState, SplitLists
from mqvpn_gui.user.profile_text import StoredProfile
from mqvpn_gui.windows.diagnostics_page import DiagnosticsPage
from mqvpn_helper.interface.profile import Profile
from tests.gui.conftest import Office
from tests.gui.looking import press, shown
from tests.gui.private_bus import BusHelper
from tests.gui.samples import CONNECTED, LTE, OFF, WIFI

WELL = Findings(
    state=CONNECTED,
    profile="Frankfurt",
    has_tray=True,
    machine=MachineLook(is_clock_kept=True, takes_tunnel=True, wants_everything=True),
    permission=Permission.YES,
    facts=MachineFacts(has_tun=True, has_nft=True, journals=("mqvpn0",)),
)
REPORT = {
    "properties": {"State": "off"},
    "machine": {"has_tun": True, "has_nft": False, "journal": ["mqvpn0"], "boot_rules": []},
}


def check(found: Findings, subject: str) -> Check:
    (one,) = [each for each in all_checks(found) if each.subject == subject]
    return one


def test_everything_in_order_is_said_of_everything() -> None:
    checks = all_checks(WELL)
    assert [each.name for each in checks if not each.is_good] == []
    assert [each.name for each in checks if each.subject == "path"] == ["WiFi wlan0", "LTE wwan0"]
    assert not any(each.advice for each in checks)


@pytest.mark.parametrize(
    ("found", "subject", "text"),
    [
        (replace(WELL, state=OFFLINE), "helper", "Helper not running"),
        (replace(WELL, refusal="polkit said no"), "helper", "polkit said no"),
        (replace(WELL, permission=Permission.NO), "permission", "you may not"),
        (replace(WELL, profile=""), "server", "none added yet"),
        (replace(WELL, facts=MachineFacts(has_tun=False)), "tun", "the kernel has none"),
        (replace(WELL, facts=MachineFacts(has_nft=False)), "nftables", "not installed"),
        (replace(WELL, state=OFF), "leftovers", "something is left of the tunnel mqvpn0"),
        (
            replace(WELL, machine=MachineLook(takes_tunnel=False, wants_everything=True)),
            "routes",
            "beside the tunnel",
        ),
        (replace(WELL, machine=MachineLook(has_possible_date=False)), "clock", "before"),
    ],
)
def test_what_is_not_in_order_is_found(found: Findings, subject: str, text: str) -> None:
    one = check(found, subject)
    assert one.is_good is False
    assert text in one.text


def test_what_cannot_be_looked_at_is_neither_good_nor_bad() -> None:
    unknown = Findings(
        state=OFF,
        profile="Frankfurt",
        has_tray=False,
        machine=MachineLook(),
        permission=Permission.UNKNOWN,
        facts=MachineFacts(),
    )
    found = {each.subject: each.is_good for each in all_checks(unknown)}
    assert {subject for subject, good in found.items() if good is None} == {
        *("permission", "tun", "nftables", "leftovers", "routes", "dns", "clock", "tray")
    }


def test_paths_are_told_with_what_they_carry() -> None:
    paths = (replace(WIFI, state=PathState.SUSPECT), replace(LTE, mtu=1404))
    checks = all_checks(replace(WELL, state=replace(CONNECTED, paths=paths)))
    lost, works = (each for each in checks if each.subject == "path")
    assert (lost.is_good, lost.text) == (False, "nothing is answered on it any more")
    assert (works.is_good, works.text) == (
        True,
        "answers in 41 ms, packets of up to 1404 bytes",
    )


def test_what_the_settings_leave_beside_the_tunnel_is_in_order() -> None:
    beside = MachineLook(takes_tunnel=False, wants_everything=True, is_clock_kept=True)
    only_some = replace(CONNECTED, split=SplitLists(include=("10.0.0.0/8",)))
    assert check(replace(WELL, machine=beside, state=only_some), "routes").is_good is None
    assert check(
        replace(WELL, machine=replace(beside, wants_everything=False)), "routes"
    ).text.endswith("as the settings say")


def test_machine_is_looked_at_without_sending_anything() -> None:
    assert not look_around(OLDEST_DATE - 1, (), wants_everything=True).has_possible_date
    seen = look_around(OLDEST_DATE, ("nonsense", "10.0.0.2/32"), wants_everything=False)
    assert seen.has_possible_date
    assert seen.takes_tunnel in (None, False)  # no such address is here


@pytest.mark.parametrize(
    "report", [b"", b"[" * 100_000, b"7", b'{"machine": 5}', b'{"machine": {"has_tun": "yes"}}']
)
def test_damaged_report_tells_nothing(report: bytes) -> None:
    assert facts_from(report) == MachineFacts()


@pytest.mark.slow
def test_button_looks_at_everything_and_shows_the_report(
    staffed: Office, helper: BusHelper, qtbot: QtBot
) -> None:
    helper.report = json.dumps(REPORT).encode()
    staffed.desk.window.open_page("diagnostics")
    (page,) = staffed.desk.window.findChildren(DiagnosticsPage)
    press(page, "&Check everything")
    report = page.findChildren(QPlainTextEdit)[0]
    qtbot.waitUntil(lambda: '"has_tun": true' in report.toPlainText())
    seen = shown(page)
    assert "not installed" in seen
    assert "something is left of the tunnel mqvpn0" in seen
    assert "polkit cannot be asked" in seen  # there is none on this bus
    told = json.loads(report.toPlainText())
    assert told["helper"] == REPORT
    assert {"subject": "nftables", "in_order": False} in told["checks"]


@pytest.mark.slow
def test_settings_are_those_of_the_tunnel_whatever_their_file_is_called(
    staffed: Office, helper: BusHelper, qtbot: QtBot
) -> None:
    settings = Profile(host="vpn.example.org", name="The office")
    staffed.profiles.write("office", StoredProfile(settings=settings), overwrite=False)
    (staffed.profiles.path_of("office").parent / "a.toml").write_text("[damaged")
    helper.change(State=("s", "up"), Profile=("s", settings.name), Server=("s", settings.server))
    qtbot.waitUntil(lambda: staffed.desk.helper.state.carries_traffic)
    (page,) = staffed.desk.window.findChildren(DiagnosticsPage)
    press(page, "&Check everything")
    # Nothing here goes into a tunnel, and these settings want everything in it.
    qtbot.waitUntil(
        lambda: '"subject": "routes"' in page.findChildren(QPlainTextEdit)[0].toPlainText()
    )
    assert "as the settings say" not in " ".join(shown(page))


@pytest.mark.slow
def test_without_a_helper_there_are_checks_and_a_report(office: Office, qtbot: QtBot) -> None:
    office.desk.window.open_page("diagnostics")
    (page,) = office.desk.window.findChildren(DiagnosticsPage)
    press(page, "&Check everything")
    qtbot.waitUntil(lambda: "Helper not running" in shown(page))
    assert '"subject": "helper"' in page.findChildren(QPlainTextEdit)[0].toPlainText()


@pytest.mark.slow
def test_report_names_nobody(staffed: Office, helper: BusHelper, qtbot: QtBot) -> None:
    helper.report = json.dumps(REPORT).encode()
    helper.change(
        State=("s", "up"),
        Server=("s", "secret.example:443"),
        Addresses=("as", ["10.7.7.7/32"]),
        Paths=("a{sa{sv}}", {"enx0242deadbeef": {"state": ("s", "active")}}),
    )
    qtbot.waitUntil(lambda: staffed.desk.helper.state.carries_traffic)
    (page,) = staffed.desk.window.findChildren(DiagnosticsPage)
    staffed.desk.window.open_page("diagnostics")
    press(page, "&Check everything")
    report = page.findChildren(QPlainTextEdit)[0]
    qtbot.waitUntil(lambda: "has_tun" in report.toPlainText())
    for private in ("secret.example", "10.7.7.7", "enx0242deadbeef"):
        assert private not in report.toPlainText()
