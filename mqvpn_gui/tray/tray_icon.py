"""The icon in the panel, which may come late, go away and come back."""

from jeepney import MatchRule, Message
from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtWidgets import QMenu, QSystemTrayIcon

from mqvpn_gui.bus.qt_bus import BUS, Call, CallError, QtBus, Reply, body_of
from mqvpn_gui.look.state_icon import IconBook, icon_state
from mqvpn_gui.look.theme import Colours
from mqvpn_gui.model.helper_state import HelperState
from mqvpn_gui.words.states import tooltip

WATCHER = "org.kde.StatusNotifierWatcher"
"""Bus name of whoever collects tray icons."""

_SETTLE_MS = 500
_LOOK_MS = 5000
_Reason = QSystemTrayIcon.ActivationReason


class TrayIcon(QObject):
    """Keeps an icon in whatever panel there is.

    A: `is_visible`. C: `show_state`, `set_colours`, `stop`.
    """

    clicked = Signal()
    """The icon was clicked: show or hide the window."""
    middle_clicked = Signal()
    """Connect or disconnect."""
    availability_changed = Signal(bool)
    """Whether there is a panel that shows the icon."""

    def __init__(self, session_bus: QtBus, menu: QMenu, chosen: Colours) -> None:
        """Make the icon, and make it anew whenever a panel appears.

        Args:
            session_bus: tells of panels that come and go.
            menu: the menu of the icon.
            chosen: colours of the theme.
        """
        super().__init__(session_bus)
        self.is_mono = False
        """Whether the icon has only the colour of text."""
        self._bus = session_bus
        self._menu = menu
        self._colours = chosen
        self._state = HelperState()
        self._story = ""
        self._has_panel = QSystemTrayIcon.isSystemTrayAvailable()
        self._book = IconBook()
        self._painted: tuple[object, ...] = ()
        # Qt registers an icon once; a panel that comes later never hears of it.
        self._remake = QTimer(self)
        self._remake.setSingleShot(True)
        self._remake.setInterval(_SETTLE_MS)
        self._remake.timeout.connect(self._make)
        rule = MatchRule(type="signal", interface=BUS.interface, member="NameOwnerChanged")
        rule.add_arg_condition(0, WATCHER)
        session_bus.listen(rule, self._on_watcher_changed)
        session_bus.opened.connect(self._look_for_watcher)
        # Panels that take windows (XEmbed) are told of by nobody.
        self._look = QTimer(self)
        self._look.setInterval(_LOOK_MS)
        self._look.timeout.connect(self._look_for_panel)
        self._look.start()
        self._icon = QSystemTrayIcon(self)
        self._make()

    @property
    def is_visible(self) -> bool:
        """Whether a panel shows the icon."""
        return self._has_panel

    def stop(self) -> None:
        """Take the icon away and look for no panel any more."""
        self._look.stop()
        self._remake.stop()
        self._icon.hide()

    def show_state(self, state: HelperState, story: str = "") -> None:
        """Paint the icon for a state, where it looks different.

        Args:
            state: what the helper says.
            story: how it came to that, in words; empty: nothing worth it.
        """
        self._state, self._story = state, story
        text = f"{tooltip(state)}\n{story}" if story else tooltip(state)
        if self._icon.toolTip() != text:
            self._icon.setToolTip(text)
        self._paint()

    def set_colours(self, chosen: Colours, *, is_mono: bool) -> None:
        """Change the colours."""
        self._colours = chosen
        self.is_mono = is_mono
        self._paint()

    def _paint(self) -> None:
        state, count = icon_state(self._state), len(self._state.working_paths)
        wanted = (state, count, self._colours, self.is_mono)
        if wanted != self._painted:
            self._painted = wanted
            self._icon.setIcon(self._book.icon(state, count, self._colours, is_mono=self.is_mono))

    def _make(self) -> None:
        self._icon.hide()
        self._icon.deleteLater()
        self._icon = QSystemTrayIcon(self)
        self._icon.setContextMenu(self._menu)
        self._icon.activated.connect(self._on_activated)
        self._painted = ()
        self.show_state(self._state, self._story)
        self._icon.show()
        self._set_panel(QSystemTrayIcon.isSystemTrayAvailable())

    def _on_activated(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        if reason in (_Reason.Trigger, _Reason.DoubleClick):
            self.clicked.emit()
        elif reason is _Reason.MiddleClick:
            self.middle_clicked.emit()

    def _look_for_watcher(self) -> None:
        def on_reply(reply: Reply) -> None:
            if not isinstance(reply, CallError) and reply[0] is True and not self._has_panel:
                self._remake.start()

        ask = Call(target=BUS, method="NameHasOwner", signature="s", arguments=(WATCHER,))
        self._bus.call(ask, on_reply)

    def _on_watcher_changed(self, message: Message) -> None:
        match body_of(message):
            case (str(name), _, str(new_owner)) if name == WATCHER:
                if new_owner:
                    self._remake.start()
                else:
                    self._set_panel(QSystemTrayIcon.isSystemTrayAvailable())
            case _:
                pass

    def _look_for_panel(self) -> None:
        has_panel = QSystemTrayIcon.isSystemTrayAvailable()
        if has_panel and not self._has_panel:
            self._remake.start()
        else:
            self._set_panel(has_panel)

    def _set_panel(self, has_panel: bool) -> None:
        if has_panel != self._has_panel:
            self._has_panel = has_panel
            self.availability_changed.emit(has_panel)
