"""A little line of round-trip times in the card of a path."""

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QSize
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget
from typing_extensions import override

_HEIGHT = 28
_MARGIN = 3.0


class Sparkline(QWidget):
    """Draws values that somebody else keeps; a screen reader has the card's sentence instead."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start without a line."""
        super().__init__(parent)
        self._values: list[float] = []
        self._colour = QColor()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @override
    def sizeHint(self) -> QSize:
        return QSize(120, _HEIGHT)

    def show_values(self, values: Sequence[float], colour: str) -> None:
        """Draw other values, the oldest first."""
        self._values = list(values)
        self._colour = QColor(colour)
        self.update()

    @override
    def paintEvent(self, event: QPaintEvent) -> None:
        if len(self._values) < 2:  # noqa: PLR2004 - a line needs two points
            return
        top = max(max(self._values) * 1.1, 1.0)
        width = self.width() - 2 * _MARGIN
        height = self.height() - 2 * _MARGIN
        step = width / (len(self._values) - 1)
        line = QPolygonF(
            [
                QPointF(_MARGIN + index * step, _MARGIN + height * (1 - value / top))
                for index, value in enumerate(self._values)
            ]
        )
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self._colour, 1.6))
        painter.drawPolyline(line)
