"""Cards side by side where there is room, below each other where there is none."""

from PySide6.QtCore import QMargins, QRect, QSize, Qt
from PySide6.QtWidgets import QLayout, QLayoutItem
from typing_extensions import override

LEAST_WIDTH = 330
"""Pixels that a card needs."""


class CardGrid(QLayout):
    """Columns of equal width, as many as fit; rows as high as their highest card."""

    def __init__(self, spacing: int = 8) -> None:
        """Start empty.

        Args:
            spacing: pixels between cards.
        """
        super().__init__()
        self._items: list[QLayoutItem] = []
        self.setSpacing(spacing)
        self.setContentsMargins(QMargins())

    @override
    def addItem(self, item: QLayoutItem) -> None:
        self._items.append(item)

    def move_last(self, position: int) -> None:
        """Put the card that was added last somewhere else.

        Args:
            position: counted from the first card.
        """
        self._items.insert(position, self._items.pop())
        self.invalidate()

    @override
    def count(self) -> int:
        return len(self._items)

    @override
    def itemAt(self, index: int) -> QLayoutItem | None:
        return self._items[index] if 0 <= index < len(self._items) else None

    @override
    def takeAt(self, index: int) -> QLayoutItem | None:
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    @override
    def expandingDirections(self) -> Qt.Orientation:
        return Qt.Orientation.Horizontal

    @override
    def hasHeightForWidth(self) -> bool:
        return True

    @override
    def heightForWidth(self, width: int) -> int:
        return self._arrange(QRect(0, 0, width, 0), is_real=False)

    @override
    def minimumSize(self) -> QSize:
        size = QSize()
        for item in self._items:
            size = size.expandedTo(item.minimumSize())
        return size

    @override
    def sizeHint(self) -> QSize:
        return self.minimumSize()

    @override
    def setGeometry(self, rectangle: QRect) -> None:
        super().setGeometry(rectangle)
        self._arrange(rectangle, is_real=True)

    def _arrange(self, area: QRect, *, is_real: bool) -> int:
        gap = self.spacing()
        fitting = (area.width() + gap) // (LEAST_WIDTH + gap)
        columns = max(1, min(fitting, len(self._items)))
        width = (area.width() - gap * (columns - 1)) // columns
        y = area.top()
        for first in range(0, len(self._items), columns):
            row = self._items[first : first + columns]
            height = max(_height(item, width) for item in row)
            if is_real:
                for number, item in enumerate(row):
                    column = columns - 1 - number if self._is_mirrored() else number
                    item.setGeometry(QRect(area.left() + column * (width + gap), y, width, height))
            y += height + gap
        return max(0, y - area.top() - gap)

    def _is_mirrored(self) -> bool:
        owner = self.parentWidget()
        return owner is not None and owner.layoutDirection() is Qt.LayoutDirection.RightToLeft


def _height(item: QLayoutItem, width: int) -> int:
    return item.heightForWidth(width) if item.hasHeightForWidth() else item.sizeHint().height()
