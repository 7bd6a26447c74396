"""Small parts that several windows use."""

from itertools import pairwise

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QFrame,
    QLabel,
    QLayout,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from typing_extensions import override


class ElidedLabel(QLabel):
    """One line of plain text that is cut with dots where there is no room; whole in its tooltip."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self._whole = ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setAlignment(_leading())
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    @override
    def setText(self, text: str) -> None:
        self._whole = text
        self._cut()

    @override
    def minimumSizeHint(self) -> QSize:
        return QSize(self.fontMetrics().averageCharWidth() * 4, super().minimumSizeHint().height())

    @override
    def resizeEvent(self, event: object) -> None:
        self._cut()

    def _cut(self) -> None:
        cut = self.fontMetrics().elidedText(
            self._whole, Qt.TextElideMode.ElideRight, max(self.width(), 1)
        )
        super().setText(cut)
        self.setToolTip(self._whole if cut != self._whole else "")
        self.setAccessibleName(self._whole)


class ScrollPage(QScrollArea):
    """What is higher than the window, with a bar beside it that never goes away.

    Qt counts a bar that can be seen as a child of the area, and answers a question for a child
    that has just gone with whatever lies there in memory. A screen reader that asks while the bar
    disappears would end the program; so it only turns invisible.
    """

    def __init__(self, content: QWidget) -> None:
        """Show a widget.

        Args:
            content: as wide as the area, and as high as it has to be.
        """
        super().__init__()
        self.setWidget(content)
        self.setWidgetResizable(True)
        content.setAutoFillBackground(False)
        self.viewport().setAutoFillBackground(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        bar = self.verticalScrollBar()
        bar.setEnabled(False)
        bar.rangeChanged.connect(lambda least, most: bar.setEnabled(most > least))


def plain_label(text: str = "", kind: str = "", *, wraps: bool = False) -> QLabel:
    """A label that shows foreign text as it is.

    Args:
        text: what it says.
        kind: its class in the style sheet, such as ``faint``.
        wraps: whether it may take several lines.
    """
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setAlignment(_leading())
    label.setWordWrap(wraps)
    if kind:
        label.setProperty("class", kind)
    return label


def _leading() -> Qt.AlignmentFlag:
    """Where a line begins; Qt alone would look at the letters, and names are in Latin ones."""
    is_mirrored = QGuiApplication.isRightToLeft()
    side = Qt.AlignmentFlag.AlignRight if is_mirrored else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignAbsolute | Qt.AlignmentFlag.AlignVCenter


def lead_tab_through(*stops: QWidget) -> None:
    """Let Tab lead from each of these to the next one; Qt alone goes by when they were made."""
    for before, after in pairwise(stops):
        QWidget.setTabOrder(before, after)


def set_kind(widget: QWidget, kind: str) -> None:
    """Give a widget another class of the style sheet."""
    if widget.property("class") != kind:
        widget.setProperty("class", kind)
        widget.style().unpolish(widget)
        widget.style().polish(widget)


def card(content: QLayout, name: str = "") -> QFrame:
    """A frame around something.

    Args:
        content: what is in it.
        name: what a screen reader calls it.
    """
    frame = QFrame()
    frame.setProperty("class", "card")
    frame.setAccessibleName(name)
    content.setContentsMargins(12, 10, 12, 10)
    frame.setLayout(content)
    return frame


def heading(text: str) -> QLabel:
    """The title of a section."""
    label = plain_label(text)
    font = label.font()
    font.setBold(True)
    font.setPointSizeF(font.pointSizeF() * 1.1)
    label.setFont(font)
    return label


def clear(layout: QVBoxLayout) -> None:
    """Remove all widgets of a layout."""
    while (item := layout.takeAt(0)) is not None:
        widget = item.widget()
        if widget is not None:
            widget.deleteLater()
