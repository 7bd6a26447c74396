"""What the user wants of this program: looks, start, notifications. Each change holds at once."""

from dataclasses import replace

from PySide6.QtCore import QCoreApplication, QSignalBlocker, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from mqvpn_gui.model.helper_state import HelperState, KillSwitch, Role
from mqvpn_gui.model.preferences import LANGUAGES, Preferences
from mqvpn_gui.windows.widgets import ScrollPage, card, heading, plain_label
from mqvpn_gui.words import states


def _tr(text: str) -> str:
    return QCoreApplication.translate("settings_page", text)


class SettingsPage(ScrollPage):
    """Shows preferences and asks for others.

    C: `show_preferences`, `show_autostart`, `show_state`.
    """

    preferences_chosen = Signal(object)
    """Other `Preferences`."""
    autostart_chosen = Signal(bool)
    """Start this program with the session, or not."""
    kill_switch_chosen = Signal(object)
    """A `KillSwitch`."""

    def __init__(self, preferences: Preferences) -> None:
        """Show preferences."""
        content = QWidget()
        super().__init__(content)
        self._preferences = preferences
        self._boxes: dict[str, QCheckBox] = {}
        self._roles: dict[str, QComboBox] = {}
        self._theme = QComboBox()
        for value, text in (
            ("system", _tr("As the desktop")),
            ("light", _tr("Light")),
            ("dark", _tr("Dark")),
        ):
            self._theme.addItem(text, value)
        self._theme.activated.connect(lambda: self._choose(theme=self._theme.currentData()))
        self._language = QComboBox()
        self._language.addItem(_tr("As the desktop"), "")
        for code, name in LANGUAGES.items():
            self._language.addItem(name, code)
        self._language.activated.connect(
            lambda: self._choose(language=self._language.currentData())
        )
        self._autostart = QCheckBox(_tr("Start &with the session"))
        self._autostart.toggled.connect(self.autostart_chosen)
        self._kill_switch = QComboBox()
        for mode in KillSwitch:
            self._kill_switch.addItem(states.kill_switch(mode), mode)
        self._kill_switch.activated.connect(self._choose_kill_switch)
        self._mode = KillSwitch.OFF
        layout = QVBoxLayout(content)
        layout.setContentsMargins(4, 4, 4, 4)
        for title, section in (
            (_tr("General"), self._general()),
            (_tr("Notifications"), self._notifications()),
            (_tr("Links"), self._links()),
            (_tr("Protection"), self._protection()),
        ):
            layout.addWidget(heading(title))
            layout.addWidget(card(section, title))
        layout.addStretch(1)
        self.show_preferences(preferences)

    def show_preferences(self, preferences: Preferences) -> None:
        """Show what holds now."""
        self._preferences = preferences
        for name, box in self._boxes.items():
            with QSignalBlocker(box):
                box.setChecked(getattr(preferences, name) is True)
        self._theme.setCurrentIndex(max(0, self._theme.findData(preferences.theme)))
        self._language.setCurrentIndex(max(0, self._language.findData(preferences.language)))
        for name, choice in self._roles.items():
            choice.setCurrentIndex(max(0, choice.findData(getattr(preferences, name))))

    def show_autostart(self, *, is_on: bool) -> None:
        """Show whether the program starts with the session."""
        with QSignalBlocker(self._autostart):
            self._autostart.setChecked(is_on)

    def show_state(self, state: HelperState) -> None:
        """Show the kill switch in force."""
        self._kill_switch.setEnabled(state.is_present)
        self._mode = state.kill_switch
        if not self._kill_switch.view().isVisible():  # else the user is about to choose
            self._kill_switch.setCurrentIndex(self._kill_switch.findData(state.kill_switch))

    def _choose_kill_switch(self) -> None:
        wanted = self._kill_switch.currentData()
        # It shows what is in force; whether it becomes the other one is the helper's word.
        self._kill_switch.setCurrentIndex(self._kill_switch.findData(self._mode))
        self.kill_switch_chosen.emit(wanted)

    def _general(self) -> QFormLayout:
        form = _form()
        form.addRow(self._autostart)
        form.addRow(self._box("starts_hidden", _tr("Start &hidden, with the tray icon alone")))
        form.addRow(self._box("connects_at_start", _tr("&Connect at the start")))
        form.addRow(self._box("is_mono_icon", _tr("Tray icon in &one colour")))
        _add(form, _tr("The&me"), self._theme)
        _add(form, _tr("Lang&uage"), self._language)
        return form

    def _notifications(self) -> QFormLayout:
        form = _form()
        form.addRow(self._box("notifies_connection", _tr("The connection is &lost")))
        form.addRow(self._box("notifies_failover", _tr("Traffic moved to another &path")))
        form.addRow(
            self._box("notifies_protection", _tr("Traffic is &blocked, the key is refused"))
        )
        form.addRow(self._box("notifies_links", _tr("Links come &and go")))
        return form

    def _links(self) -> QFormLayout:
        form = _form()
        for name, label in (
            ("role_wired", _tr("&Ethernet")),
            ("role_wireless", _tr("Wi&Fi")),
            ("role_cellular", _tr("Mobile &networks (LTE, 5G)")),
        ):
            _add(form, label, self._role(name))
        form.addRow(
            plain_label(
                _tr(
                    "As usual means: mobile networks are backup, all others primary. A role in the"
                    " settings of a server goes first. Changes hold from the next connection on."
                ),
                "faint",
                wraps=True,
            )
        )
        return form

    def _role(self, name: str) -> QComboBox:
        choice = QComboBox()
        choice.addItem(_tr("As usual"), "")
        for role in Role:
            choice.addItem(states.role(role), role.value)
        choice.activated.connect(lambda: self._choose(**{name: choice.currentData()}))
        self._roles[name] = choice
        return choice

    def _protection(self) -> QFormLayout:
        form = _form()
        _add(form, _tr("&Kill switch"), self._kill_switch)
        form.addRow(
            plain_label(
                _tr(
                    "Standard blocks traffic outside the tunnel while you want the tunnel. Always"
                    " blocks it from boot to shutdown."
                ),
                "faint",
                wraps=True,
            )
        )
        return form

    def _box(self, name: str, label: str) -> QCheckBox:
        box = QCheckBox(label)
        box.toggled.connect(lambda is_on: self._choose(**{name: is_on}))
        self._boxes[name] = box
        return box

    def _choose(self, **wishes: bool | str) -> None:
        self._preferences = replace(self._preferences, **wishes)  # type: ignore[arg-type]  # named above
        self.preferences_chosen.emit(self._preferences)


def _form() -> QFormLayout:
    form = QFormLayout()
    form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
    return form


def _add(form: QFormLayout, label: str, field: QWidget) -> None:
    title = QLabel(label)
    title.setBuddy(field)
    field.setAccessibleName(label.replace("&", ""))
    form.addRow(title, field)
