"""Cards side by side where there is room, below each other where there is none."""

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtWidgets import QLayoutItem
from typing_extensions import override

from mqvpn_gui.windows.item_layout import ItemLayout

LEAST_WIDTH = 330
"""Pixels that a card needs."""


class CardGrid(ItemLayout):
    """Columns of equal width, as many as fit; rows as high as their highest card."""

    def __init__(self, spacing: int = 8) -> None:
        """Start empty.

        Args:
            spacing: pixels between cards.
        """
        super().__init__(spacing)

    def move_last(self, position: int) -> None:
        """Put the card that was added last somewhere else.

        Args:
            position: counted from the first card.
        """
        self._items.insert(position, self._items.pop())
        self.invalidate()

    @override
    def expandingDirections(self) -> Qt.Orientation:
        return Qt.Orientation.Horizontal

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
                    column = columns - 1 - number if self._is_mirrored else number
                    item.setGeometry(QRect(area.left() + column * (width + gap), y, width, height))
            y += height + gap
        return max(0, y - area.top() - gap)


def _height(item: QLayoutItem, width: int) -> int:
    return item.heightForWidth(width) if item.hasHeightForWidth() else item.sizeHint().height()
