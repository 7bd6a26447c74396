"""A server is tried without anything of the machine being changed."""

from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from mqvpn_gui.app.connection_test import ConnectionTest, TrialResult
from mqvpn_gui.user.secret_text import SecretText
from mqvpn_helper.interface import bus_interface as table
from mqvpn_helper.interface.profile import Profile
from tests.gui.conftest import OFF, Office, open_office
from tests.gui.private_bus import BusHelper

pytestmark = pytest.mark.slow

SERVER = Profile(host="vpn.example.org")
KEY = SecretText("0123456789abcdef")
PATHS = (
    "a{sa{sv}}",
    {"wlan0": {"kind": ("s", "wireless"), "state": ("s", "active"), "rtt_ms": ("d", 18.0)}},
)


@pytest.fixture
def trial(staffed: Office) -> ConnectionTest:
    return staffed.desk._trial


def methods(helper: BusHelper) -> list[str]:
    return [name for name, _ in helper.asked if name in ("Connect", "Disconnect")]


def begin(trial: ConnectionTest, helper: BusHelper, qtbot: QtBot) -> list[TrialResult]:
    results: list[TrialResult] = []
    trial.ended.connect(results.append)
    trial.start(SERVER, KEY)
    qtbot.waitUntil(lambda: methods(helper) == ["Connect"])
    helper.change(State=("s", "connecting"), Owner=("u", 1000))
    return results


def test_good_server_is_told_with_its_links(
    trial: ConnectionTest, helper: BusHelper, qtbot: QtBot
) -> None:
    results = begin(trial, helper, qtbot)
    helper.change(State=("s", "up"), Paths=PATHS)
    qtbot.waitUntil(lambda: len(results) == 1)
    assert results == [TrialResult(is_good=True, text="It works over WiFi wlan0 18 ms.")]
    assert methods(helper) == ["Connect", "Disconnect"]


def test_nothing_of_the_machine_changes(
    trial: ConnectionTest, helper: BusHelper, qtbot: QtBot
) -> None:
    begin(trial, helper, qtbot)
    (profile, _) = next(body for name, body in helper.asked if name == "Connect")
    assert isinstance(profile, dict)
    members = {name: value for name, (_, value) in profile.items()}
    assert members["routes"] == "none"
    assert members["dns"] == []
    assert members["kill_switch"] == "off"
    assert members["tied"] is True


def test_refused_key_is_the_result_and_no_question(
    trial: ConnectionTest, helper: BusHelper, qtbot: QtBot
) -> None:
    results = begin(trial, helper, qtbot)
    helper.signal(table.SECRETS_NEEDED, "")
    qtbot.waitUntil(lambda: len(results) == 1)
    assert results[0].text == "The server does not accept the key."
    assert methods(helper) == ["Connect", "Disconnect"]


def test_error_is_the_result(trial: ConnectionTest, helper: BusHelper, qtbot: QtBot) -> None:
    results = begin(trial, helper, qtbot)
    helper.change(State=("s", "error"), LastError=("(ss)", ("Resolver", "no such host")))
    qtbot.waitUntil(lambda: len(results) == 1)
    assert results == [TrialResult(is_good=False, text="No such host.")]


def test_call_that_fails_is_the_result(
    trial: ConnectionTest, helper: BusHelper, qtbot: QtBot
) -> None:
    helper.errors["Connect"] = "org.mqvpn.Error.NotAuthorized"
    results: list[TrialResult] = []
    trial.ended.connect(results.append)
    trial.start(SERVER, KEY)
    qtbot.waitUntil(lambda: results == [TrialResult(is_good=False, text="Connect failed.")])
    assert not trial.is_running


def test_tunnel_that_is_up_is_left_alone(
    trial: ConnectionTest, staffed: Office, helper: BusHelper, qtbot: QtBot
) -> None:
    helper.change(State=("s", "up"))
    qtbot.waitUntil(lambda: staffed.desk.helper.state.carries_traffic)
    results: list[TrialResult] = []
    trial.ended.connect(results.append)
    trial.start(SERVER, KEY)
    assert [result.is_good for result in results] == [False]
    assert methods(helper) == []


def test_helper_that_is_about_to_start_is_waited_for(
    qtbot: QtBot, qapp: QApplication, home: Path, system_bus: Path
) -> None:
    with open_office(qapp, home, system_bus) as office:
        office.desk.start()
        qtbot.waitUntil(lambda: office.desk.window.page == "first-run")
        helper = BusHelper(str(system_bus), dict(OFF))
        office.desk._trial.start(SERVER, KEY)
        qtbot.waitUntil(lambda: methods(helper) == ["Connect"])
        helper.die()


def test_without_a_helper_the_test_says_so(office: Office, qtbot: QtBot) -> None:
    results: list[TrialResult] = []
    office.desk._trial.ended.connect(results.append)
    office.desk._trial.start(SERVER, KEY)
    qtbot.waitUntil(lambda: results == [TrialResult(is_good=False, text="Helper not running")])
    assert not office.desk._trial.is_running
