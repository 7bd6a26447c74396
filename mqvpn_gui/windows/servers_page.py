"""The list of servers and what can be done with each."""

from collections.abc import Sequence

from PySide6.QtCore import QCoreApplication, Signal
from PySide6.QtWidgets import QAbstractItemView, QListWidget, QPushButton, QVBoxLayout, QWidget

from mqvpn_gui.windows.flow_layout import FlowLayout
from mqvpn_gui.windows.widgets import heading, plain_label

_ALL = 100


def _tr(text: str) -> str:
    return QCoreApplication.translate("servers_page", text)


class ServersPage(QWidget):
    """Shows names and asks.

    A: `chosen`. C: `show_names`.
    """

    add_wanted = Signal()
    """Add one."""
    connect_wanted = Signal(str)
    """Connect with this one."""
    edit_wanted = Signal(str)
    """Change this one."""
    duplicate_wanted = Signal(str)
    """Make another one like this."""
    share_wanted = Signal(str)
    """Show this one to another device."""
    delete_wanted = Signal(str)
    """Remove this one and its key."""

    def __init__(self) -> None:
        """Start with an empty list."""
        super().__init__()
        self._list = QListWidget()
        self._list.setAccessibleName(_tr("Servers"))
        self._list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self._list.itemActivated.connect(lambda item: self.edit_wanted.emit(item.text()))
        self._list.currentRowChanged.connect(self._enable)
        self._empty = plain_label(
            _tr("There is no server yet. Add one with the link or QR code you were given."),
            "faint",
            wraps=True,
        )
        add = QPushButton(_tr("&Add a server…"))
        add.setProperty("class", "main")
        add.clicked.connect(self.add_wanted)
        self._actions: list[QPushButton] = []
        row = FlowLayout()
        for label, signal in (
            (_tr("&Connect"), self.connect_wanted),
            (_tr("&Edit…"), self.edit_wanted),
            (_tr("Du&plicate"), self.duplicate_wanted),
            (_tr("S&hare…"), self.share_wanted),
            (_tr("&Delete…"), self.delete_wanted),
        ):
            button = QPushButton(label)
            button.clicked.connect(lambda _on=False, each=signal: each.emit(self.chosen))
            self._actions.append(button)
            row.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(heading(_tr("Servers")))
        layout.addWidget(self._empty)
        layout.addWidget(self._list, _ALL)
        layout.addLayout(row)
        layout.addWidget(add)
        layout.addStretch(1)  # so that the button stands below the words while there is no list
        self.show_names((), "")

    @property
    def chosen(self) -> str:
        """The server that is marked; empty: none."""
        row = self._list.currentRow()
        return self._list.item(row).text() if row >= 0 else ""

    def show_names(self, names: Sequence[str], chosen: str) -> None:
        """Show other names.

        Args:
            names: all of them.
            chosen: the one to mark when none of them is.
        """
        wanted = self.chosen if self.chosen in names else chosen
        self._list.clear()
        self._list.addItems(list(names))
        if wanted in names:
            self._list.setCurrentRow(list(names).index(wanted))
        self._empty.setVisible(not names)
        self._list.setVisible(bool(names))
        for button in self._actions:
            button.setVisible(bool(names))
        self._enable()

    def _enable(self) -> None:
        for button in self._actions:
            button.setEnabled(bool(self.chosen))
