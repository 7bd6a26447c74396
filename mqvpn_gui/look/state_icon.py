"""The icon of the tray: six states that differ in shape and in colour, painted at any size."""

import enum

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QIcon, QPainter, QPainterPath, QPen, QPixmap, QPolygonF

from mqvpn_gui.look.theme import Colours
from mqvpn_gui.model.helper_state import HelperState
from mqvpn_helper.interface.bus_names import TunnelState

SIZES = (16, 22, 24, 32, 48, 64)
"""Pixels of the pictures in an icon; panels choose."""

_GRID = 64.0
_LINE = 7.0
_DISC = QRectF(6, 6, 52, 52)
_MAX_COUNT = 9
_MAX_ICONS = 32


class IconState(enum.Enum):
    """What the icon tells."""

    OFF = "off"
    """A hollow ring."""
    CONNECTING = "connecting"
    """A ring with three dots."""
    UP = "up"
    """A filled disc with the number of paths."""
    DEGRADED = "degraded"
    """A disc with a piece missing, and the number of paths left."""
    BLOCKED = "blocked"
    """A shield."""
    ERROR = "error"
    """A triangle with an exclamation mark."""


def icon_state(state: HelperState) -> IconState:
    """What the icon tells about a state; without a helper there is an error to see."""
    if not state.is_present:
        return IconState.ERROR
    return {
        TunnelState.OFF: IconState.OFF,
        TunnelState.CONNECTING: IconState.CONNECTING,
        TunnelState.RECONNECTING: IconState.CONNECTING,
        TunnelState.UP: IconState.UP,
        TunnelState.DEGRADED: IconState.DEGRADED,
        TunnelState.BLOCKED: IconState.BLOCKED,
        TunnelState.ERROR: IconState.ERROR,
    }[state.state]


def state_icon(state: IconState, paths: int, chosen: Colours, *, is_mono: bool = False) -> QIcon:
    """Paint the icon.

    Args:
        state: what it tells.
        paths: how many paths work.
        chosen: the colours of the theme.
        is_mono: only the colour of text; the shape tells the state.
    """
    icon = QIcon()
    for size in SIZES:
        picture = QPixmap(size, size)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.scale(size / _GRID, size / _GRID)
        colour = QColor(chosen.text if is_mono else _colour(state, chosen))
        _paint(painter, state, paths, colour)
        painter.end()
        icon.addPixmap(picture)
    return icon


class IconBook:
    """Icons that were painted, for states come again and again.

    C: `icon`.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._icons: dict[tuple[IconState, int, Colours, bool], QIcon] = {}

    def icon(self, state: IconState, paths: int, chosen: Colours, *, is_mono: bool) -> QIcon:
        """Give the icon, painted at the first time; arguments as of `state_icon`."""
        key = (state, min(paths, _MAX_COUNT + 1), chosen, is_mono)
        if key not in self._icons:
            if len(self._icons) >= _MAX_ICONS:
                self._icons.clear()
            self._icons[key] = state_icon(state, paths, chosen, is_mono=is_mono)
        return self._icons[key]


def _colour(state: IconState, chosen: Colours) -> str:
    return {
        IconState.OFF: chosen.faint,
        IconState.CONNECTING: chosen.accent,
        IconState.UP: chosen.good,
        IconState.DEGRADED: chosen.warning,
        IconState.BLOCKED: chosen.bad,
        IconState.ERROR: chosen.bad,
    }[state]


def _paint(painter: QPainter, state: IconState, paths: int, colour: QColor) -> None:
    match state:
        case IconState.OFF:
            _ring(painter, colour)
        case IconState.CONNECTING:
            _ring(painter, colour)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colour)
            for x in (20.0, 32.0, 44.0):
                painter.drawEllipse(QPointF(x, 32.0), 4.5, 4.5)
        case IconState.UP:
            shape = QPainterPath()
            shape.addEllipse(_DISC)
            _fill_without_count(painter, shape, paths, colour)
        case IconState.DEGRADED:
            shape = QPainterPath()
            shape.moveTo(_DISC.center())
            shape.arcTo(_DISC, 75.0, 300.0)
            shape.closeSubpath()
            _fill_without_count(painter, shape, paths, colour)
        case IconState.BLOCKED:
            _fill_and_cut(painter, _shield(), _bar(), colour)
        case IconState.ERROR:
            triangle = QPainterPath()
            triangle.addPolygon(QPolygonF([QPointF(32, 4), QPointF(62, 58), QPointF(2, 58)]))
            triangle.closeSubpath()
            _fill_and_cut(painter, triangle, _exclamation_mark(), colour)


def _ring(painter: QPainter, colour: QColor) -> None:
    painter.setPen(QPen(colour, _LINE))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawEllipse(_DISC.adjusted(_LINE / 2, _LINE / 2, -_LINE / 2, -_LINE / 2))


def _fill_without_count(painter: QPainter, shape: QPainterPath, paths: int, colour: QColor) -> None:
    font = QFont()
    font.setPixelSize(36)
    font.setBold(True)
    text = str(paths) if paths <= _MAX_COUNT else "+"
    count = QPainterPath()
    count.addText(0, 0, font, text)
    box = count.boundingRect()
    count.translate(_DISC.center() - box.center())
    _fill_and_cut(painter, shape, count, colour)


def _fill_and_cut(
    painter: QPainter, shape: QPainterPath, hole: QPainterPath, colour: QColor
) -> None:
    # The hole shows the panel, whatever its colour is.
    painter.fillPath(shape.subtracted(hole), colour)


def _shield() -> QPainterPath:
    shape = QPainterPath()
    shape.moveTo(32, 3)
    shape.lineTo(57, 12)
    shape.cubicTo(58, 36, 50, 52, 32, 61)
    shape.cubicTo(14, 52, 6, 36, 7, 12)
    shape.closeSubpath()
    return shape


def _bar() -> QPainterPath:
    bar = QPainterPath()
    bar.addRect(QRectF(18, 27, 28, 9))
    return bar


def _exclamation_mark() -> QPainterPath:
    mark = QPainterPath()
    mark.addRect(QRectF(28.5, 22, 7, 19))
    mark.addEllipse(QPointF(32, 49), 4.2, 4.2)
    return mark
