"""The banner asks for what only the user can decide, and only when it matters."""

from dataclasses import replace

import pytest
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from mqvpn_gui.app.attention import PATIENCE, PORTAL_SECONDS, Attention
from mqvpn_gui.app.clocks import Clocks
from mqvpn_gui.bus.network_watch import NetworkStatus
from mqvpn_gui.model.helper_state import KillSwitch, Role
from mqvpn_gui.windows.banner import Banner
from mqvpn_helper.interface.bus_names import TunnelState
from tests.gui.samples import CONNECTED, OFF, WIFI

ME, SOMEBODY = 1000, 1001
TRYING = replace(
    OFF, state=TunnelState.CONNECTING, kill_switch=KillSwitch.STANDARD, owner=ME, paths=(WIFI,)
)


class Scene:
    def __init__(self, qtbot: QtBot) -> None:
        self.now = 100.0
        self.banner = Banner()
        qtbot.addWidget(self.banner)
        clocks = Clocks(steady=lambda: self.now, wall=lambda: self.now)
        self.attention = Attention(self.banner, clocks, ME, lambda: ["wlan0"])

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.attention.tick()

    @property
    def text(self) -> str:
        return "" if self.banner.isHidden() else self.banner.accessibleName()

    def press(self, label: str) -> None:
        buttons = self.banner.findChildren(QPushButton)
        next(each for each in buttons if each.text() == label).click()


@pytest.fixture
def scene(qtbot: QtBot) -> Scene:
    return Scene(qtbot)


def test_login_is_offered_when_nothing_answers_behind_the_kill_switch(
    scene: Scene, qtbot: QtBot
) -> None:
    scene.attention.show_state(TRYING)
    assert scene.text == ""
    scene.wait(PATIENCE + 1)
    assert "log in on a page" in scene.text
    with qtbot.waitSignal(scene.attention.portal_wanted) as wanted:
        scene.press("Allow that for 5 minutes…")
    assert wanted.args == ["wlan0", PORTAL_SECONDS]


def test_login_is_not_offered_without_the_kill_switch(scene: Scene) -> None:
    scene.attention.show_state(replace(TRYING, kill_switch=KillSwitch.OFF))
    scene.wait(60)
    assert scene.text == ""


def test_offer_goes_when_the_tunnel_is_up(scene: Scene) -> None:
    scene.attention.show_state(TRYING)
    scene.wait(PATIENCE + 1)
    scene.attention.show_state(replace(CONNECTED, owner=ME))
    assert scene.text == ""


def test_dismissed_offer_does_not_come_back_by_itself(scene: Scene) -> None:
    scene.attention.show_state(TRYING)
    scene.wait(PATIENCE + 1)
    scene.press("Dismiss")
    scene.wait(60)
    assert scene.text == ""


def test_exception_counts_down_and_can_be_ended(scene: Scene, qtbot: QtBot) -> None:
    passing = replace(TRYING, portal_interface="wlan0", portal_until=scene.now + 300)
    scene.attention.show_state(passing)
    assert "wlan0 is past the kill switch for another 0:05:00" in scene.text
    scene.wait(61)
    assert "0:03:59" in scene.text
    with qtbot.waitSignal(scene.attention.portal_wanted) as wanted:
        scene.press("End now")
    assert wanted.args == ["wlan0", 0]


def test_tunnel_of_somebody_else_is_named(scene: Scene) -> None:
    scene.attention.show_state(replace(CONNECTED, owner=SOMEBODY))
    assert "Another user" in scene.text
    scene.attention.show_state(OFF)
    assert scene.text == ""


def test_login_page_of_a_network_is_opened(scene: Scene, qtbot: QtBot) -> None:
    network = NetworkStatus(wants_login=True, check_uri="http://check.example/")
    scene.attention.show_network(network)
    assert "wants you to log in" in scene.text
    with qtbot.waitSignal(scene.attention.page_wanted) as wanted:
        scene.press("Open its page")
    assert wanted.args == ["http://check.example/"]
    scene.attention.show_network(NetworkStatus())
    assert scene.text == ""


def test_login_behind_the_kill_switch_opens_the_way_and_then_the_page(
    scene: Scene, qtbot: QtBot
) -> None:
    scene.attention.show_state(TRYING)
    scene.attention.show_network(NetworkStatus(wants_login=True, check_uri="http://check.example/"))
    with qtbot.waitSignal(scene.attention.portal_wanted):
        scene.press("Allow that for 5 minutes…")
    with qtbot.waitSignal(scene.attention.page_wanted):
        scene.attention.show_state(
            replace(TRYING, portal_interface="wlan0", portal_until=scene.now + 300)
        )


def test_metered_link_is_told_once_and_can_become_backup(scene: Scene, qtbot: QtBot) -> None:
    both = (WIFI, replace(WIFI, interface="eth0"))
    scene.attention.show_state(replace(CONNECTED, owner=ME, paths=both))
    scene.attention.show_network(NetworkStatus(metered=frozenset({"wlan0"})))
    assert "WiFi wlan0 is metered" in scene.text
    with qtbot.waitSignal(scene.attention.role_wanted) as wanted:
        scene.press("Use it as backup only")
    assert wanted.args == ["wlan0", Role.BACKUP]
    scene.press("Dismiss")
    scene.attention.show_state(replace(CONNECTED, owner=ME, paths=both, dns_method="other"))
    assert scene.text == ""


def test_only_link_is_not_spoken_ill_of(scene: Scene) -> None:
    scene.attention.show_state(replace(CONNECTED, owner=ME, paths=(WIFI,)))
    scene.attention.show_network(NetworkStatus(metered=frozenset({"wlan0"})))
    assert scene.text == ""


def test_dead_helper_is_told_until_there_is_a_tunnel_again(scene: Scene, qtbot: QtBot) -> None:
    scene.attention.tell_of_death()
    with qtbot.waitSignal(scene.attention.tunnel_wanted):
        scene.press("Connect again")
    scene.attention.show_state(replace(CONNECTED, owner=ME))
    assert scene.text == ""


def test_messages_do_not_hide_each_other_for_good(scene: Scene) -> None:
    scene.attention.tell_of_death()
    scene.attention.show_network(NetworkStatus(wants_login=True))
    assert "log in" in scene.text
    scene.press("Dismiss")
    assert "ended unexpectedly" in scene.text
