"""What layouts of our own have in common: a list of items, and a height that follows the width."""

from abc import abstractmethod

from PySide6.QtCore import QMargins, QRect, Qt
from PySide6.QtWidgets import QLayout, QLayoutItem
from typing_extensions import override


class ItemLayout(QLayout):
    """Keeps items in order; a layout below this one arranges them."""

    def __init__(self, spacing: int) -> None:
        """Start empty.

        Args:
            spacing: pixels between items.
        """
        super().__init__()
        self._items: list[QLayoutItem] = []
        self.setSpacing(spacing)
        self.setContentsMargins(QMargins())

    @abstractmethod
    def _arrange(self, area: QRect, *, is_real: bool) -> int:
        """Place the items in an area, or only find out their height; return it."""

    @property
    def _is_mirrored(self) -> bool:
        """Whether lines begin on the right."""
        owner = self.parentWidget()
        return owner is not None and owner.layoutDirection() is Qt.LayoutDirection.RightToLeft

    @override
    def addItem(self, item: QLayoutItem) -> None:
        self._items.append(item)

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
    def hasHeightForWidth(self) -> bool:
        return True

    @override
    def heightForWidth(self, width: int) -> int:
        return self._arrange(QRect(0, 0, width, 0), is_real=False)

    @override
    def setGeometry(self, rectangle: QRect) -> None:
        super().setGeometry(rectangle)
        self._arrange(rectangle, is_real=True)
