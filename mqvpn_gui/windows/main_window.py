"""The window: pages on a stack, a bar to choose between them, and keys for everything."""

from PySide6.QtCore import QCoreApplication, QSize, Signal
from PySide6.QtGui import QCloseEvent, QHideEvent, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QMainWindow,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)
from typing_extensions import override

from mqvpn_gui.windows.banner import Banner
from mqvpn_gui.windows.widgets import lead_tab_through

_SIZE = QSize(760, 720)
_LEAST = QSize(360, 420)


class MainWindow(QMainWindow):
    """Holds the pages; what is on them is their own affair.

    C: `add_page`, `open_page`, `bring_to_front`.
    """

    visibility_changed = Signal(bool)
    """Whether somebody can see the window."""
    closed = Signal()
    """The user closed it."""

    def __init__(self) -> None:
        """Start without pages."""
        super().__init__()
        self.setWindowTitle("mqvpn")
        self.resize(_SIZE)
        self.setMinimumSize(_LEAST)
        self._pages = QStackedWidget()
        self._buttons = QButtonGroup(self)
        self._bar = QHBoxLayout()
        self._bar.setSpacing(4)
        self._bar.addStretch(1)
        self.banner = Banner()
        """What is wrong, above every page."""
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addLayout(self._bar)
        layout.addWidget(self.banner)
        layout.addWidget(self._pages, 1)
        self.setCentralWidget(content)
        self._names: dict[str, int] = {}
        hide = QShortcut(QKeySequence.StandardKey.Close, self)
        hide.activated.connect(self.close)

    def add_hidden_page(self, name: str, page: QWidget) -> None:
        """Add a page that is not in the bar.

        Args:
            name: what `open_page` calls it.
            page: the page.
        """
        self._names[name] = self._pages.addWidget(page)

    def add_page(self, name: str, title: str, page: QWidget) -> None:
        """Add a page at the end of the bar.

        Args:
            name: what `open_page` calls it.
            title: what the user reads; with a mnemonic.
            page: the page.
        """
        index = self._names[name] = self._pages.count()
        button = QPushButton(title)
        button.setCheckable(True)
        button.setProperty("class", "choice")
        button.setChecked(index == 0)
        button.setAutoExclusive(True)  # a screen reader calls it one of several
        button.setAccessibleDescription(
            QCoreApplication.translate("main_window", "Shows another page of the window")
        )
        # Screen readers toggle: that is no click.
        button.toggled.connect(lambda is_on: self._show(index) if is_on else None)
        self._buttons.addButton(button, index)
        self._bar.insertWidget(self._bar.count() - 1, button)
        self._pages.addWidget(page)
        lead_tab_through(*self._buttons.buttons(), *self.banner.stops)

    def open_page(self, name: str) -> None:
        """Show a page."""
        index = self._names[name]
        self._pages.setCurrentIndex(index)
        button = self._buttons.button(index)
        if button is not None:
            button.setChecked(True)

    def _show(self, index: int) -> None:
        self._pages.setCurrentIndex(index)

    @property
    def page(self) -> str:
        """Name of the page that is open."""
        index = self._pages.currentIndex()
        return next((name for name, each in self._names.items() if each == index), "")

    def bring_to_front(self) -> None:
        """Show the window above the others."""
        if self.isMinimized():
            self.showNormal()
        self.show()
        self.raise_()
        self.activateWindow()

    @override
    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.visibility_changed.emit(True)

    @override
    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self.visibility_changed.emit(False)

    @override
    def closeEvent(self, event: QCloseEvent) -> None:
        super().closeEvent(event)
        self.closed.emit()
