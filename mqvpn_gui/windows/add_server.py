"""Add a server: paste or drop a link, a file or a picture, look at what it says, keep it."""

from pathlib import Path

from PySide6.QtCore import QCoreApplication, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QFormLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from typing_extensions import override

from mqvpn_gui.model.plain_text import plain
from mqvpn_gui.windows.flow_layout import FlowLayout
from mqvpn_gui.windows.widgets import ElidedLabel, plain_label, set_kind

_MAX_PASTED = 65536


def _tr(text: str) -> str:
    return QCoreApplication.translate("add_server", text)


class AddServerDialog(QDialog):
    """Asks for a server; reading and keeping it is somebody else's work.

    C: `show_found`, `show_problem`, `show_refusal`, `show_trial`.
    """

    text_given = Signal(str)
    """A link, or the text of a file."""
    file_given = Signal(str)
    """Path of a file or of a picture."""
    picture_given = Signal(object)
    """A `QImage` from the clipboard."""
    trial_wanted = Signal()
    """Try whether the server lets us in."""
    accepted_as = Signal(str, bool)
    """Keep what was found under this name; whether to connect at once."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.setWindowTitle(_tr("Add a server"))
        self.setMinimumWidth(340)
        self.setAcceptDrops(True)
        self._text = QPlainTextEdit()
        self._text.setPlaceholderText("mqvpn://…")
        self._text.setTabChangesFocus(True)
        self._text.setMaximumHeight(90)
        self._text.setAccessibleName(_tr("Link of the server"))
        self._text.textChanged.connect(self._on_text)
        self._message = plain_label(wraps=True)
        self._name = QLineEdit()
        self._name.setMaxLength(64)
        self._server = ElidedLabel()
        self._checks = plain_label(wraps=True)
        self._form = QWidget()
        form = QFormLayout(self._form)
        form.setContentsMargins(0, 0, 0, 0)
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        form.addRow(_tr("&Name"), self._name)
        form.addRow(QLabel(_tr("Server")), self._server)
        form.addRow(QLabel(_tr("Checked by")), self._checks)
        self._form.hide()
        self._test = QPushButton(_tr("&Test the connection"))
        self._test.clicked.connect(self._try)
        self._cancel = QPushButton(_tr("C&ancel"))
        self._cancel.clicked.connect(self.reject)
        self._save = QPushButton(_tr("&Save"))
        self._save.clicked.connect(lambda: self._accept_as(connects=False))
        self._connect = QPushButton(_tr("Save and &connect"))
        self._connect.setProperty("class", "main")
        self._connect.setDefault(True)
        self._connect.clicked.connect(lambda: self._accept_as(connects=True))
        self._lay_out()
        self._enable(is_ready=False)

    def _lay_out(self) -> None:
        sources = FlowLayout()
        for label, handler in (
            (_tr("&Paste"), self._paste),
            (_tr("Open a &file or a picture…"), self._open_file),
        ):
            button = QPushButton(label)
            button.clicked.connect(handler)
            sources.addWidget(button)
        answers = FlowLayout()
        answers.addWidget(self._test)
        answers.add_gap()
        for button in (self._cancel, self._save, self._connect):
            answers.addWidget(button)
        layout = QVBoxLayout(self)
        layout.addWidget(
            plain_label(
                _tr(
                    "Whoever runs the server gives you a link or a QR code. Paste it, open it as a"
                    " file, or drop it here."
                ),
                wraps=True,
            )
        )
        layout.addWidget(self._text)
        layout.addLayout(sources)
        layout.addWidget(self._message)
        layout.addWidget(self._form)
        layout.addStretch(1)
        layout.addLayout(answers)

    def show_found(
        self, name: str, server: str, checks: str, notes: tuple[str, ...], *, has_key: bool
    ) -> None:
        """Show what was read.

        Args:
            name: what to call it.
            server: where it is.
            checks: how its identity is checked.
            notes: what the user should know.
            has_key: whether the key came with it.
        """
        self._name.setText(name)
        self._server.setText(plain(server))
        self._checks.setText(checks)
        self._message.setText("\n".join(notes))
        set_kind(self._message, "faint")
        self._form.show()
        self._enable(is_ready=True)
        self._test.setEnabled(has_key)
        self._connect.setFocus()

    def show_problem(self, text: str) -> None:
        """Say why what was given cannot be used."""
        self._message.setText(text)
        set_kind(self._message, "bad")
        self._form.hide()
        self._enable(is_ready=False)

    def show_refusal(self, text: str) -> None:
        """Say why it was not kept, such as for its name; what was read stays."""
        self._message.setText(text)
        set_kind(self._message, "bad")
        self._name.setFocus()
        self._name.selectAll()

    def show_trial(self, text: str, *, is_good: bool) -> None:
        """Show how the test of the connection ended."""
        self._message.setText(text)
        set_kind(self._message, "good" if is_good else "bad")
        self._enable(is_ready=True)
        self._test.setEnabled(True)

    def give_text(self, text: str) -> None:
        """Put a link into the field, as when the desktop opens one with this program."""
        self._text.setPlainText(text[:_MAX_PASTED])

    def _enable(self, *, is_ready: bool) -> None:
        self._save.setEnabled(is_ready)
        self._connect.setEnabled(is_ready)
        self._test.setEnabled(False)

    def _on_text(self) -> None:
        text = self._text.toPlainText()
        if text.strip():
            self.text_given.emit(text[:_MAX_PASTED])
        else:
            self.show_problem("")

    def _paste(self) -> None:
        clipboard = QGuiApplication.clipboard()
        picture = clipboard.image()
        if clipboard.text():
            self.give_text(clipboard.text())
        elif not picture.isNull():
            self.picture_given.emit(picture)
        else:
            self.show_problem(_tr("There is neither text nor a picture in the clipboard."))

    def _open_file(self) -> None:
        question = QFileDialog(self, _tr("Open a file or a picture"))
        question.setFileMode(QFileDialog.FileMode.ExistingFile)
        question.fileSelected.connect(self.file_given)
        question.finished.connect(question.deleteLater)
        question.open()

    def _try(self) -> None:
        self._enable(is_ready=False)  # until the tunnel of the test is gone
        self._message.setText(_tr("Trying…"))
        set_kind(self._message, "faint")
        self.trial_wanted.emit()

    def _accept_as(self, *, connects: bool) -> None:
        name = self._name.text().strip()
        if name:
            self.accepted_as.emit(name, connects)

    @override
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        data = event.mimeData()
        if data.hasUrls() or data.hasText() or data.hasImage():
            event.acceptProposedAction()

    @override
    def dropEvent(self, event: QDropEvent) -> None:
        data = event.mimeData()
        local = [url.toLocalFile() for url in data.urls() if url.isLocalFile()]
        event.acceptProposedAction()
        if local:
            self.file_given.emit(str(Path(local[0])))
        elif data.hasText():
            self.give_text(data.text())
        elif data.hasImage():
            self.picture_given.emit(data.imageData())
