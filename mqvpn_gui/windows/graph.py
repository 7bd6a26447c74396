"""The graph: one number of all paths over time, each path with a colour and dashes of its own."""

from collections.abc import Callable

from PySide6.QtCore import QCoreApplication, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget
from typing_extensions import override

from mqvpn_gui.look.theme import Colours
from mqvpn_gui.model.history import History, Quantity, Sample, Span, measured_runs
from mqvpn_gui.words import quantities

_DASHES = (
    Qt.PenStyle.SolidLine,
    Qt.PenStyle.DashLine,
    Qt.PenStyle.DotLine,
    Qt.PenStyle.DashDotLine,
)
_LEFT = 84.0
_TOP = 24.0
_BOTTOM = 22.0
_RIGHT = 10.0
_ROWS = 4
_LEAST_TOP = {Quantity.RTT: 20.0, Quantity.LOSS: 1.0, Quantity.THROUGHPUT: 1e6}
_NICE = (1.0, 2.0, 5.0, 10.0)


def _tr(text: str) -> str:
    return QCoreApplication.translate("graph", text)


class Graph(QWidget):
    """Paints what the history holds; the same numbers stand in the accessible description."""

    def __init__(self, history: History, clock: Callable[[], float], chosen: Colours) -> None:
        """Show round-trip times of the last minute.

        Args:
            history: the numbers.
            clock: seconds of the clock that the history uses.
            chosen: colours of the theme.
        """
        super().__init__()
        self.quantity = Quantity.RTT
        """What is shown."""
        self.span = Span.MINUTE
        """How far back."""
        self._history = history
        self._clock = clock
        self._colours = chosen
        self.setMinimumHeight(130)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    @override
    def sizeHint(self) -> QSize:
        return QSize(480, 180)

    def choose(self, quantity: Quantity, span: Span) -> None:
        """Show something else."""
        self.quantity = quantity
        self.span = span
        self.refresh()

    def set_colours(self, chosen: Colours) -> None:
        """Change the colours."""
        self._colours = chosen
        self.update()

    def refresh(self) -> None:
        """Paint once more, with the numbers as they are now."""
        self.setAccessibleName(_tr("Graph of {0}").format(quantity_name(self.quantity)))
        now = self._clock()
        parts = []
        for interface in self._history.interfaces:
            points = self._history.points(interface, self.span, now)
            if points:
                last = _shown(self.quantity, points[-1].value(self.quantity))
                parts.append(f"{interface}: {last}")
        self.setAccessibleDescription(", ".join(parts))
        self.update()

    @override
    def paintEvent(self, event: QPaintEvent) -> None:
        now = self._clock()
        lines = {
            interface: points
            for interface in self._history.interfaces
            if (points := self._history.points(interface, self.span, now))
        }
        highest = max(
            (each.value(self.quantity) for points in lines.values() for each in points), default=0.0
        )
        top = _nice_above(max(highest, _LEAST_TOP[self.quantity]))
        area = QRectF(_LEFT, _TOP, self.width() - _LEFT - _RIGHT, self.height() - _TOP - _BOTTOM)
        painter = QPainter(self)
        painter.setLayoutDirection(Qt.LayoutDirection.LeftToRight)  # as time runs in every graph
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_scale(painter, area, top)
        names = self._history.interfaces
        for interface, points in lines.items():
            pen = self._pen(names.index(interface))
            painter.setPen(pen)
            for run in measured_runs(points, self.span):
                painter.drawPolyline(self._line(run, area, top, now))
        self._paint_legend(painter, area, list(lines))

    def _pen(self, index: int) -> QPen:
        palette = self._colours.paths
        return QPen(QColor(palette[index % len(palette)]), 2.0, _DASHES[index % len(_DASHES)])

    def _line(self, points: list[Sample], area: QRectF, top: float, now: float) -> QPolygonF:
        return QPolygonF(
            [
                QPointF(
                    area.right() - (now - each.at) / self.span.value * area.width(),
                    area.bottom() - each.value(self.quantity) / top * area.height(),
                )
                for each in points
            ]
        )

    def _paint_scale(self, painter: QPainter, area: QRectF, top: float) -> None:
        grid = QPen(QColor(self._colours.border), 1.0)
        text = QPen(QColor(self._colours.faint))
        for row in range(_ROWS + 1):
            y = area.bottom() - row / _ROWS * area.height()
            painter.setPen(grid)
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(text)
            label = _shown(self.quantity, top * row / _ROWS)
            box = QRectF(0, y - 9, _LEFT - 8, 18)
            painter.drawText(
                box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, label
            )
        below = QRectF(area.left(), area.bottom() + 3, area.width(), _BOTTOM - 3)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, _ago(self.span))
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, _tr("now"))

    def _paint_legend(self, painter: QPainter, area: QRectF, interfaces: list[str]) -> None:
        if not interfaces:
            self._paint_emptiness(painter, area)
            return
        x = area.left()
        names = self._history.interfaces
        for interface in interfaces:
            width = painter.fontMetrics().horizontalAdvance(interface)
            if x + 28 + width > area.right():
                return  # the cards name the rest
            painter.setPen(self._pen(names.index(interface)))
            painter.drawLine(QPointF(x, _TOP / 2), QPointF(x + 22, _TOP / 2))
            painter.setPen(QColor(self._colours.text))
            painter.drawText(QPointF(x + 28, _TOP / 2 + 5), interface)
            x += 28 + width + 16

    def _paint_emptiness(self, painter: QPainter, area: QRectF) -> None:
        # Between two lines of the scale: on one of them the words would be struck through.
        row = area.height() / _ROWS
        box = QRectF(area.left(), area.top() + row, area.width(), row)
        painter.setPen(QColor(self._colours.faint))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, _tr("nothing measured yet"))


def quantity_name(quantity: Quantity) -> str:
    """What a graph shows, in words."""
    return {
        Quantity.RTT: _tr("RTT"),
        Quantity.LOSS: _tr("Loss"),
        Quantity.THROUGHPUT: _tr("Throughput"),
    }[quantity]


def span_name(span: Span) -> str:
    """How far back a graph looks, in words."""
    texts = {
        Span.MINUTE: _tr("1 min"),
        Span.TEN_MINUTES: _tr("10 min"),
        Span.HOUR: _tr("1 h"),
    }
    return quantities.in_order(texts[span])


def _ago(span: Span) -> str:
    return _tr("{0} ago").format(span_name(span))


def _shown(quantity: Quantity, value: float) -> str:
    match quantity:
        case Quantity.RTT:
            return quantities.milliseconds(value)
        case Quantity.LOSS:
            return quantities.percent(value / 100)
        case Quantity.THROUGHPUT:
            return quantities.rate(value)


def _nice_above(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, … so that the scale does not jump with each number."""
    scale = 1.0
    while value > _NICE[-1] * scale:
        scale *= 10
    return next(each * scale for each in _NICE if each * scale >= value)
