"""The menu of the tray icon: what it offers, and that nothing of it stays behind."""

from dataclasses import replace

from PySide6.QtWidgets import QApplication, QMenu
from pytestqt.qtbot import QtBot

from mqvpn_gui.model.helper_state import Role
from mqvpn_gui.tray.tray_menu import TrayMenu
from tests.gui.samples import CONNECTED, LTE, OFF, WIFI


def path_menus(menu: TrayMenu) -> dict[str, QMenu]:
    """The submenus of the paths by their titles."""
    return {
        each.title(): each
        for each in menu.menu.findChildren(QMenu)
        if each.actions() and each.title().startswith(("WiFi", "LTE"))
    }


def test_each_path_stands_there_with_its_numbers_and_roles(qapp: QApplication) -> None:
    menu = TrayMenu(qapp)
    menu.show_state(replace(CONNECTED, paths=(WIFI, LTE)))
    menus = path_menus(menu)
    assert list(menus) == ["WiFi wlan0  Active  18 ms  0.1 %", "LTE wwan0  Standby  41 ms  0.3 %"]
    (wifi, _) = menus.values()
    chosen = [action.text() for action in wifi.actions() if action.isChecked()]
    assert chosen == ["Primary"]
    assert len(wifi.actions()) == len(Role)


def test_role_is_asked_for(qapp: QApplication, qtbot: QtBot) -> None:
    menu = TrayMenu(qapp)
    menu.show_state(replace(CONNECTED, paths=(WIFI,)))
    (wifi,) = path_menus(menu).values()
    (backup,) = [action for action in wifi.actions() if action.text() == "Backup"]
    with qtbot.waitSignal(menu.role_chosen) as asked:
        backup.trigger()
    assert asked.args == ["wlan0", Role.BACKUP]


def test_menus_of_paths_that_are_gone_are_empty(qapp: QApplication) -> None:
    # An entry that ends with its menu stays, for Qt, among what is shown to panels.
    menu = TrayMenu(qapp)
    menu.show_state(CONNECTED)
    before = path_menus(menu)
    assert len(before) == len(CONNECTED.paths)
    menu.show_state(OFF)
    assert [each.actions() for each in before.values()] == [[], []]
