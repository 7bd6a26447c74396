"""The event log: filter, search, export; shows the newest first, and as many as there are."""

import csv
import io
from collections.abc import Callable, Sequence

from PySide6.QtCore import (
    QAbstractTableModel,
    QCoreApplication,
    QModelIndex,
    QPersistentModelIndex,
    Qt,
    Signal,
)
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)
from typing_extensions import override

from mqvpn_gui.model.event_store import CAPACITY, EventGroup, EventRecord, EventStore
from mqvpn_gui.windows.flow_layout import FlowLayout
from mqvpn_gui.windows.widgets import heading
from mqvpn_gui.words import events, quantities

_COLUMNS = 3
_NARROW = 480
_Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()


def _tr(text: str) -> str:
    return QCoreApplication.translate("event_panel", text)


class EventTable(QAbstractTableModel):
    """Those events of the store that pass the filter, the newest first."""

    def __init__(self, store: EventStore, name_of: Callable[[str], str]) -> None:
        """Show all there is.

        Args:
            store: the events.
            name_of: turns an interface into what the user calls it.
        """
        super().__init__()
        self._store = store
        self._name_of = name_of
        self._group = EventGroup.ALL
        self._search = ""
        self._shown: list[EventRecord] = []
        self.refresh()

    def choose(self, group: EventGroup, search: str) -> None:
        """Show only some.

        Args:
            group: kind of events.
            search: words that have to be in the line.
        """
        self._group = group
        self._search = search.casefold().strip()
        self.refresh()

    def refresh(self) -> None:
        """Read the store anew."""
        self.beginResetModel()
        # The list is kept in the order of time; rows are counted from its end.
        self._shown = [record for record in self._store if self._passes(record)]
        self.endResetModel()

    def add(self, records: Sequence[EventRecord]) -> None:
        """Show new events without reading the store anew."""
        passing = [record for record in records if self._passes(record)]
        if passing:
            self.beginInsertRows(QModelIndex(), 0, len(passing) - 1)
            self._shown.extend(passing)
            self.endInsertRows()
        too_many = len(self._shown) - CAPACITY
        if too_many > 0:  # the store has forgotten them as well
            self.beginRemoveRows(QModelIndex(), CAPACITY, CAPACITY + too_many - 1)
            del self._shown[:too_many]
            self.endRemoveRows()

    def record(self, row: int) -> EventRecord:
        """The event in a row."""
        return self._shown[-1 - row]

    def as_csv(self) -> str:
        """All that is shown, the oldest first, for another program."""
        output = io.StringIO()
        writer = csv.writer(output)
        writer.writerow(["time", "kind", "path", "text", "gap_ms"])
        for record in self._shown:
            gap = record.number("gap_ms")
            cells = [quantities.moment(record.at), record.kind.value, record.path]
            writer.writerow([*(_harmless(each) for each in (*cells, self._sentence(record))), gap])
        return output.getvalue()

    def _sentence(self, record: EventRecord) -> str:
        return events.sentence(record, self._name_of)

    def _passes(self, record: EventRecord) -> bool:
        if self._group not in (EventGroup.ALL, record.group):
            return False
        if not self._search:
            return True
        line = f"{events.title(record)} {record.path} {self._sentence(record)}"
        return all(word in line.casefold() for word in self._search.split())

    @override
    def rowCount(self, parent: _Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(self._shown)

    @override
    def columnCount(self, parent: _Index = _ROOT) -> int:
        return 0 if parent.isValid() else _COLUMNS

    @override
    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        if role != Qt.ItemDataRole.DisplayRole or orientation != Qt.Orientation.Horizontal:
            return None
        return (_tr("Time"), _tr("Event"), _tr("What happened"))[section]

    @override
    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        record = self.record(index.row())
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{quantities.moment(record.at)}  {self._sentence(record)}"
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return None
        match index.column():
            case 0:
                return quantities.short_moment(record.at)
            case 1:
                return events.title(record)
            case _:
                return self._sentence(record)


class EventPanel(QWidget):
    """The table with its filter above it."""

    export_wanted = Signal()
    """The user wants what is shown in a file."""

    def __init__(self, store: EventStore, name_of: Callable[[str], str]) -> None:
        """Show the events of a store."""
        super().__init__()
        self.table = EventTable(store, name_of)
        """The events shown."""
        self._group = QComboBox()
        self._group.setAccessibleName(_tr("Kind of events"))
        for group in EventGroup:
            self._group.addItem(events.group(group), group)
        self._group.currentIndexChanged.connect(self._choose)
        self._search = QLineEdit()
        self._search.setPlaceholderText(_tr("Search"))
        self._search.setAccessibleName(_tr("Search in events"))
        self._search.setMaxLength(100)
        self._search.setClearButtonEnabled(True)
        self._search.textChanged.connect(self._choose)
        export = QPushButton(_tr("E&xport"))
        export.setAccessibleDescription(_tr("Write the events shown to a file"))
        export.clicked.connect(self.export_wanted)
        self._view = QTableView()
        self._view.setModel(self.table)
        self._view.setAccessibleName(_tr("Events"))
        self._view.verticalHeader().hide()
        self._view.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self._view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self._view.setShowGrid(False)
        self._view.setTabKeyNavigation(False)
        self._view.setMinimumHeight(140)
        header = self._view.horizontalHeader()
        header.setStretchLastSection(True)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeading | Qt.AlignmentFlag.AlignVCenter)
        width = self._view.fontMetrics().averageCharWidth()
        self._view.setColumnWidth(
            0, self._view.fontMetrics().horizontalAdvance("00-00 00:00") + 2 * width
        )
        self._view.setColumnWidth(1, width * 17)
        top = FlowLayout()
        top.addWidget(heading(_tr("Events")))
        top.add_gap()
        top.addWidget(self._group)
        top.addWidget(self._search)
        top.addWidget(export)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(top)
        layout.addWidget(self._view, 1)

    @override
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        # Where there is little room it goes to the sentence, which says the kind as well.
        is_narrow = self.width() < _NARROW
        self._view.setColumnHidden(1, is_narrow)
        self._view.setWordWrap(is_narrow)
        lines = 2 if is_narrow else 1
        height = lines * self._view.fontMetrics().height() + 8
        self._view.verticalHeader().setDefaultSectionSize(height)

    def _choose(self) -> None:
        group = self._group.currentData()
        if isinstance(group, EventGroup):
            self.table.choose(group, self._search.text())


def _harmless(text: str) -> str:
    """Keep a spreadsheet from taking a text for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
