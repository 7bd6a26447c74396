"""The menu of the tray icon: plain actions, so that any panel can draw it."""

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import QCoreApplication, QObject, Signal
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QMenu

from mqvpn_gui.model.helper_state import HelperState, KillSwitch, PathInfo, Role
from mqvpn_gui.words import quantities, states


def _tr(text: str) -> str:
    return QCoreApplication.translate("tray", text)


class TrayMenu(QObject):
    """Shows the state and asks for changes; the texts are made when the menu is about to be seen.

    A: `menu`. C: `show_state`, `tell`, `show_profiles`.
    """

    toggle_wanted = Signal()
    """Connect, or disconnect."""
    profile_chosen = Signal(str)
    """Connect with this profile."""
    role_chosen = Signal(str, object)
    """Interface and `Role`."""
    kill_switch_chosen = Signal(object)
    """A `KillSwitch`."""
    window_wanted = Signal()
    """Show the window."""
    diagnostics_wanted = Signal()
    """Show the diagnostics."""
    quit_wanted = Signal()
    """End the program."""

    def __init__(self, parent: QObject | None = None) -> None:
        """Make the actions; nothing is known yet."""
        super().__init__(parent)
        self.menu = QMenu()
        """The menu."""
        self._state = HelperState()
        self._profiles: tuple[str, ...] = ()
        self._chosen_profile = ""
        # A panel draws a copy of the menu, and keeps it open: what can stay is only written anew.
        self._server_actions: dict[str, QAction] = {}
        self._path_menus: dict[str, tuple[QMenu, dict[Role, QAction]]] = {}
        self._mode_actions: dict[KillSwitch, QAction] = {}
        self._status = self.menu.addAction("")
        self._status.setEnabled(False)
        self._story = self.menu.addAction("")
        self._story.setEnabled(False)
        self._story.setVisible(False)
        self._toggle = self.menu.addAction("")
        self._toggle.triggered.connect(self.toggle_wanted)
        self.menu.addSeparator()
        self._servers = self.menu.addMenu("")
        self._paths = self.menu.addMenu("")
        self._kill_switch = self.menu.addMenu("")
        self.menu.addSeparator()
        self._window = self.menu.addAction("")
        self._window.triggered.connect(self.window_wanted)
        self._diagnostics = self.menu.addAction("")
        self._diagnostics.triggered.connect(self.diagnostics_wanted)
        self._quit = self.menu.addAction("")
        self._quit.triggered.connect(self.quit_wanted)
        self.menu.aboutToShow.connect(self.refresh)
        self.refresh()

    def show_state(self, state: HelperState) -> None:
        """Take a new state; what a panel shows of it changes at once where it must."""
        shape = _shape(self._state) != _shape(state)
        self._state = state
        # A panel keeps its own copy of the menu: structure is sent at once, numbers when it opens.
        if shape or self.menu.isVisible():
            self.refresh()

    def tell(self, story: str) -> None:
        """Say how the state came to be.

        Args:
            story: in words; empty: nothing worth it.
        """
        text = story.replace("&", "&&")
        if self._story.text() != text:
            self._story.setText(text)
            self._story.setVisible(bool(story))

    def show_profiles(self, profiles: Sequence[str], chosen: str) -> None:
        """Take the servers to choose from.

        Args:
            profiles: their names.
            chosen: the one that Connect uses.
        """
        self._profiles = tuple(profiles)
        self._chosen_profile = chosen
        self.refresh()

    def refresh(self) -> None:
        """Write all texts anew."""
        state = self._state
        self._status.setText(states.tooltip(state))
        self._toggle.setText(_tr("&Disconnect") if state.is_wanted else _tr("&Connect"))
        self._toggle.setEnabled(state.is_present and bool(state.is_wanted or self._profiles))
        self._servers.setTitle(_tr("&Server"))
        self._paths.setTitle(_tr("&Paths"))
        self._kill_switch.setTitle(
            _tr("&Kill switch: {0}").format(states.kill_switch(state.kill_switch))
        )
        self._window.setText(_tr("&Open mqvpn"))
        self._diagnostics.setText(_tr("Dia&gnostics"))
        self._quit.setText(_tr("&Quit"))
        self._fill_servers()
        self._fill_paths()
        self._fill_kill_switch()

    def _fill_servers(self) -> None:
        self._servers.setEnabled(bool(self._profiles))
        if self._server_actions.keys() != set(self._profiles):
            _empty(self._servers)
            group = QActionGroup(self._servers)
            self._server_actions = {}
            for name in self._profiles:
                action = _checkable(self._servers, group, name)
                action.triggered.connect(partial(self.profile_chosen.emit, name))
                self._server_actions[name] = action
        for name, action in self._server_actions.items():
            action.setChecked(name == self._chosen_profile)

    def _fill_paths(self) -> None:
        paths = self._state.paths
        self._paths.setEnabled(bool(paths))
        if list(self._path_menus) != [path.interface for path in paths]:
            _empty(self._paths)
            self._path_menus = {path.interface: self._path_menu(path.interface) for path in paths}
        for path in paths:
            submenu, actions = self._path_menus[path.interface]
            submenu.setTitle(_path_line(path))
            for role, action in actions.items():
                action.setChecked(path.role is role)

    def _path_menu(self, interface: str) -> tuple[QMenu, dict[Role, QAction]]:
        # Made here and not by Qt: else Python would keep a shell of every menu that was deleted.
        submenu = QMenu("", self._paths)
        self._paths.addMenu(submenu)
        group = QActionGroup(submenu)
        actions = {}
        for role in Role:
            actions[role] = _checkable(submenu, group, states.role(role))
            actions[role].triggered.connect(partial(self.role_chosen.emit, interface, role))
        return submenu, actions

    def _fill_kill_switch(self) -> None:
        self._kill_switch.setEnabled(self._state.is_present)
        if not self._mode_actions:
            group = QActionGroup(self._kill_switch)
            for mode in KillSwitch:
                action = _checkable(self._kill_switch, group, states.kill_switch(mode))
                action.triggered.connect(partial(self.kill_switch_chosen.emit, mode))
                self._mode_actions[mode] = action
        for mode, action in self._mode_actions.items():
            action.setChecked(self._state.kill_switch is mode)


def _empty(menu: QMenu) -> None:
    """Remove everything from a menu; Qt alone would keep submenus and groups for ever."""
    for submenu in menu.findChildren(QMenu):
        # What a panel sees of an entry ends with its removal, not with the end of its menu.
        submenu.clear()
    menu.clear()
    for child in (*menu.findChildren(QMenu), *menu.findChildren(QActionGroup)):
        child.deleteLater()


def _checkable(menu: QMenu, group: QActionGroup, text: str) -> QAction:
    action = menu.addAction(text.replace("&", "&&"))
    action.setCheckable(True)
    group.addAction(action)
    return action


def _path_line(path: PathInfo) -> str:
    name = states.link_name(path).replace("&", "&&")
    numbers = f"{quantities.milliseconds(path.rtt_ms)}  {quantities.percent(path.loss)}"
    return f"{name}  {states.path_state(path)}  {numbers}"


def _shape(state: HelperState) -> tuple[object, ...]:
    paths = tuple((path.interface, path.state, path.role) for path in state.paths)
    return state.is_present, state.state, state.kill_switch, state.profile, paths
