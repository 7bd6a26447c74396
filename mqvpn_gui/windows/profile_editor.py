"""Change a server: every setting with its own field, checked by the rules of the helper itself.

Fields hold members of a profile as text; what is wrong is said beside the field's name, and
nothing is kept before all of it is right.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from mqvpn_gui.user.errors import UserError
from mqvpn_gui.user.quantities import parse_rate, parse_size, write_rate, write_size
from mqvpn_gui.windows.widgets import ScrollPage, plain_label
from mqvpn_gui.words.messages import sentences, told, told_error
from mqvpn_helper.interface.host_plan import KillSwitchMode
from mqvpn_helper.interface.members import MemberError
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.interface.tunnel_settings import PacketScheduler, TunnelRoutes

_Reader = Callable[[], object]

_ABOUT = re.compile(r"profile: (?P<member>[a-z0-9_]+):? (?P<why>.+)", re.DOTALL)
"""How the rules of the helper say what is wrong with a member."""


def _tr(text: str) -> str:
    return QCoreApplication.translate("profile_editor", text)


class ProfileEditor(QDialog):
    """Edits one profile; the key is a field of its own that is never filled in."""

    saved = Signal(object, str)
    """The new `Profile`, and a new key; empty: the key stays."""

    def __init__(self, name: str, profile: Profile, parent: QWidget | None = None) -> None:
        """Show a profile.

        Args:
            name: what the user calls it.
            profile: its settings.
            parent: owner in Qt's sense.
        """
        super().__init__(parent)
        self.setWindowTitle(_tr("Server {0}").format(name))
        self.resize(480, 520)
        self._before: Mapping[str, object] = profile.to_mapping()
        self._readers: dict[str, _Reader] = {}
        self._key = QLineEdit()
        self._key.setEchoMode(QLineEdit.EchoMode.Password)
        self._key.setPlaceholderText(_tr("unchanged"))
        self._key.setMaxLength(512)
        self._problem = plain_label(kind="bad", wraps=True)
        self._fields: dict[str, tuple[str, QWidget | None]] = {}
        self._tabs = tabs = QTabWidget()
        tabs.addTab(self._server_tab(), _tr("Ser&ver"))
        tabs.addTab(self._network_tab(), _tr("Net&work"))
        tabs.addTab(self._paths_tab(), _tr("Pat&hs"))
        tabs.addTab(self._advanced_tab(), _tr("Advance&d"))
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self._save)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(tabs, 1)
        layout.addWidget(self._problem)
        layout.addWidget(buttons)
        self._problem.hide()

    def _server_tab(self) -> QWidget:
        form = _Form()
        self._text(form, "server", _tr("&Address"), "vpn.example.org:443")
        self._text(form, "server_name", _tr("Certificate &name"), _tr("as the address"))
        self._list(form, "pins", _tr("&Pins"), "sha256/…")
        form.add(_tr("&Key"), self._key)
        self._check(
            form, "insecure", _tr("Trust any certificate: anybody could pretend to be the server")
        )
        self._check(form, "ipv4", _tr("IPv4 inside the tunnel"))
        self._check(form, "ipv6", _tr("IPv6 inside the tunnel"))
        return form.widget

    def _network_tab(self) -> QWidget:
        form = _Form()
        modes = {
            KillSwitchMode.OFF.value: _tr("Off"),
            KillSwitchMode.STANDARD.value: _tr("While the tunnel is wanted"),
            KillSwitchMode.ALWAYS.value: _tr("Always"),
        }
        self._choice(form, "kill_switch", _tr("&Kill switch"), modes)
        routes = {
            TunnelRoutes.DEFAULT.value: _tr("Everything"),
            TunnelRoutes.ADVERTISED.value: _tr("What the server names"),
            TunnelRoutes.NONE.value: _tr("Nothing by itself"),
        }
        self._choice(form, "routes", _tr("Into the &tunnel"), routes)
        self._list(form, "dns", _tr("Name &servers"), _tr("as the machine has them"))
        self._list(form, "split_exclude", _tr("&Beside the tunnel"), "192.168.0.0/16, example.org")
        self._list(form, "split_include", _tr("&Only into the tunnel"), "10.0.0.0/8")
        self._list(form, "split_cgroups", _tr("&Programs beside it"), "app.slice/steam.scope")
        self._check(form, "allow_lan", _tr("The local network stays reachable"))
        return form.widget

    def _paths_tab(self) -> QWidget:
        form = _Form()
        self._list(form, "paths", _tr("&Use"), "auto")
        self._list(form, "ignore_interfaces", _tr("&Leave out"), "docker*, veth*")
        plain = _Cell(str, str)
        self._table(form, "roles", _tr("&Roles"), "wlan0 = primary, wwan* = backup", plain)
        size = _Cell(_reading(parse_size), _writing(write_size))
        self._table(form, "caps", _tr("Data a &month"), "wwan0 = 5 GB", size)
        rate = _Cell(_reading(parse_rate), _writing(write_rate))
        self._table(form, "rate_limits", _tr("Highest &speed"), "wwan0 = 10 Mbit/s", rate)
        return form.widget

    def _advanced_tab(self) -> QWidget:
        form = _Form()
        schedulers = {
            PacketScheduler.WEIGHTED.value: _tr("Weighted: each connection on one path"),
            PacketScheduler.MINRTT.value: _tr("Fastest path first"),
            PacketScheduler.REDUNDANT.value: _tr("Small packets on two paths"),
            PacketScheduler.BACKUP.value: _tr("One path at a time"),
        }
        self._choice(form, "scheduler", _tr("&Spreading"), schedulers)
        self._text(form, "tun_name", _tr("Devi&ce"), "mqvpn0")
        mtu = QSpinBox()
        mtu.setMinimumHeight(QLineEdit().sizeHint().height())
        mtu.setRange(0, 65535)
        mtu.setSpecialValueText(_tr("follows the network"))
        mtu.setValue(_as_int(self._before.get("mtu")))
        self._add(form, "mtu", _tr("Largest &MTU"), mtu)
        self._readers["mtu"] = mtu.value
        self._check(form, "reconnect", _tr("Connect again after a loss"))
        return form.widget

    def _text(self, form: "_Form", member: str, label: str, hint: str) -> None:
        field = QLineEdit(str(self._before.get(member, "")))
        field.setPlaceholderText(hint)
        self._add(form, member, label, field)
        self._readers[member] = lambda: field.text().strip()

    def _list(self, form: "_Form", member: str, label: str, hint: str) -> None:
        value = self._before.get(member)
        field = QLineEdit(", ".join(value) if isinstance(value, list) else "")
        field.setPlaceholderText(hint)
        self._add(form, member, label, field)
        self._readers[member] = lambda: _parts(field.text())

    def _table(self, form: "_Form", member: str, label: str, hint: str, cell: "_Cell") -> None:
        value = self._before.get(member)
        table = value if isinstance(value, Mapping) else {}
        field = QLineEdit(", ".join(f"{link} = {cell.write(each)}" for link, each in table.items()))
        field.setPlaceholderText(hint)
        self._add(form, member, label, field)

        def read() -> object:
            pairs = (part.partition("=") for part in _parts(field.text()))
            return {link.strip(): cell.read(each.strip()) for link, _, each in pairs}

        self._readers[member] = read

    def _check(self, form: "_Form", member: str, label: str) -> None:
        box = QCheckBox(label)
        box.setChecked(self._before.get(member) is True)
        form.add_wide(box)
        self._readers[member] = box.isChecked

    def _choice(self, form: "_Form", member: str, label: str, choices: Mapping[str, str]) -> None:
        box = QComboBox()
        for value, text in choices.items():
            box.addItem(text, value)
        box.setCurrentIndex(max(0, box.findData(self._before.get(member))))
        self._add(form, member, label, box)
        self._readers[member] = box.currentData

    def _save(self) -> None:
        members = dict(self._before)
        for member, read in self._readers.items():
            try:
                members[member] = read()
            except UserError as error:
                self._refuse(member, told_error(error))
                return
            except ValueError:
                self._refuse(member, _tr("That is no number."))
                return
        try:
            profile = Profile.from_mapping(members)
        except MemberError as error:
            about = _ABOUT.fullmatch(str(error))
            if about is None:
                self._refuse("", sentences(str(error)))
            else:
                self._refuse(about["member"], told(about["why"]))
            return
        self.saved.emit(profile, self._key.text().strip())
        self.accept()

    def _refuse(self, member: str, why: str) -> None:
        """Say what is wrong, with the label of its field, and lead there."""
        label, field = self._fields.get(member, (member, None))
        self._problem.setText(f"{label}: {why}" if label else why)
        self._problem.show()
        for index in range(self._tabs.count()):
            tab = self._tabs.widget(index)
            if field is not None and tab is not None and tab.isAncestorOf(field):
                self._tabs.setCurrentIndex(index)
                field.setFocus()

    def _add(self, form: "_Form", member: str, label: str, field: QWidget) -> None:
        form.add(label, field)
        self._fields[member] = (label.replace("&", ""), field)


@dataclass(frozen=True, slots=True)
class _Cell:
    """How one value of a table is read and written."""

    read: Callable[[str], object]
    """Takes text."""
    write: Callable[[object], str]
    """Gives text."""


class _Form:
    """A scrollable form whose rows wrap where it is narrow."""

    def __init__(self) -> None:
        content = QWidget()
        self._layout = QFormLayout(content)
        self._layout.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        self.widget = ScrollPage(content)

    def add(self, label: str, field: QWidget) -> None:
        title = QLabel(label)
        title.setBuddy(field)
        field.setAccessibleName(label.replace("&", ""))
        self._layout.addRow(title, field)

    def add_wide(self, field: QWidget) -> None:
        self._layout.addRow(field)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _reading(parse: Callable[[str], int]) -> Callable[[str], object]:
    """Read an amount with its unit, or a plain number of bytes."""
    return lambda text: int(text) if text.isascii() and text.isdigit() else parse(text)


def _writing(write: Callable[[int], str]) -> Callable[[object], str]:
    return lambda value: write(value) if isinstance(value, int) else str(value)


def _as_int(value: object) -> int:
    return value if isinstance(value, int) else 0
