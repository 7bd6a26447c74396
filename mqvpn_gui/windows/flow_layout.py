"""A row that becomes two where there is no room: Qt has none."""

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtWidgets import QLayoutItem
from typing_extensions import override

from mqvpn_gui.windows.item_layout import ItemLayout


class FlowLayout(ItemLayout):
    """Puts widgets side by side and breaks the line when it is full; follows the reading direction.

    Widgets added after `add_gap` stand at the end of their line.
    """

    def __init__(self, spacing: int = 6) -> None:
        """Start empty.

        Args:
            spacing: pixels between widgets and between lines.
        """
        super().__init__(spacing)
        self._gap_before: int | None = None

    def add_gap(self) -> None:
        """Push what is added from now on to the end of the line."""
        self._gap_before = len(self._items)

    @override
    def expandingDirections(self) -> Qt.Orientation:
        return Qt.Orientation(0)

    @override
    def minimumSize(self) -> QSize:
        size = QSize()
        for item in self._visible():
            size = size.expandedTo(item.minimumSize())
        return size

    @override
    def sizeHint(self) -> QSize:
        shown = self._visible()
        width = sum(item.sizeHint().width() for item in shown)
        width += self.spacing() * max(0, len(shown) - 1)
        return QSize(width, max((item.sizeHint().height() for item in shown), default=0))

    def _visible(self) -> list[QLayoutItem]:
        return [item for item in self._items if not item.isEmpty()]

    def _lines(self, width: int) -> list[list[QLayoutItem]]:
        lines: list[list[QLayoutItem]] = []
        used = 0
        for item in self._visible():
            needed = item.sizeHint().width()
            if lines and used + self.spacing() + needed <= width:
                lines[-1].append(item)
                used += self.spacing() + needed
            else:
                lines.append([item])
                used = needed
        return lines

    @override
    def _arrange(self, area: QRect, *, is_real: bool) -> int:
        y = area.top()
        for line in self._lines(area.width()):
            height = max(item.sizeHint().height() for item in line)
            if is_real:
                self._place(line, QRect(area.left(), y, area.width(), height))
            y += height + self.spacing()
        return max(0, y - area.top() - self.spacing())

    def _place(self, line: list[QLayoutItem], area: QRect) -> None:
        widths = [min(item.sizeHint().width(), area.width()) for item in line]
        free = area.width() - sum(widths) - self.spacing() * (len(line) - 1)
        start = self._first_after_gap(line)
        x = area.left()
        for item, width in zip(line, widths, strict=True):
            if item is start:
                x += max(0, free)
            hint = item.sizeHint().height()
            place = QRect(QPoint(x, area.top() + (area.height() - hint) // 2), QSize(width, hint))
            item.setGeometry(_mirrored(place, area) if self._is_mirrored else place)
            x += width + self.spacing()

    def _first_after_gap(self, line: list[QLayoutItem]) -> QLayoutItem | None:
        if self._gap_before is None:
            return None
        return next((item for item in line if item in self._items[self._gap_before :]), None)


def _mirrored(place: QRect, area: QRect) -> QRect:
    return QRect(QPoint(area.left() + area.right() - place.right(), place.top()), place.size())
