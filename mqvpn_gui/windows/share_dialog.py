"""Show a server as a QR code and as a link, for another device."""

import segno
from PySide6.QtCore import QCoreApplication, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QGuiApplication, QPainter, QPaintEvent
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QPushButton, QVBoxLayout, QWidget
from typing_extensions import override

from mqvpn_gui.windows.widgets import plain_label

_QUIET_ZONE = 4


def _tr(text: str) -> str:
    return QCoreApplication.translate("share_dialog", text)


class QrCode(QWidget):
    """A QR code, as large as there is room; black on white in every theme, for the camera."""

    def __init__(self, text: str) -> None:
        """Make the code."""
        super().__init__()
        code = segno.make(text, error="m", micro=False)
        self._rows = [bytes(row) for row in code.matrix_iter(border=_QUIET_ZONE)]
        self.setAccessibleName(_tr("QR code of the link"))
        self.setMinimumSize(240, 240)

    @override
    def sizeHint(self) -> QSize:
        return QSize(320, 320)

    @override
    def paintEvent(self, event: QPaintEvent) -> None:
        side = min(self.width(), self.height())
        count = len(self._rows)
        module = max(1, side // count)
        left = (self.width() - module * count) / 2
        top = (self.height() - module * count) / 2
        painter = QPainter(self)
        painter.fillRect(QRectF(left, top, module * count, module * count), Qt.GlobalColor.white)
        black = QColor(Qt.GlobalColor.black)
        for y, row in enumerate(self._rows):
            for x, is_dark in enumerate(row):
                if is_dark:
                    place = QRectF(left + x * module, top + y * module, module, module)
                    painter.fillRect(place, black)


class ShareDialog(QDialog):
    """The code, a button that copies the link, and a warning that it is as good as a key."""

    def __init__(
        self, name: str, link: str, *, has_key: bool, parent: QWidget | None = None
    ) -> None:
        """Show a link.

        Args:
            name: of the server.
            link: the link.
            has_key: whether the key is in it.
            parent: owner in Qt's sense.
        """
        super().__init__(parent)
        self.setWindowTitle(_tr("Share {0}").format(name))
        self._link = link
        warning = (
            _tr("Who has this code can use the server in your name. Show it to nobody else.")
            if has_key
            else _tr("The key is not in this code: the other device asks for it.")
        )
        copy = QPushButton(_tr("&Copy the link"))
        copy.clicked.connect(self._copy)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.addButton(copy, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(QrCode(link), 1)
        layout.addWidget(plain_label(warning, "warning" if has_key else "faint", wraps=True))
        layout.addWidget(buttons)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self._link)
