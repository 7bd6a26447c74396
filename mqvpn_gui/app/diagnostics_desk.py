"""Collects what the page of diagnostics shows: the helper's report and what is known here."""

import os
from collections.abc import Callable

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QFileDialog, QMessageBox, QWidget

from mqvpn_gui.app.background import Background
from mqvpn_gui.app.text_files import write_text
from mqvpn_gui.bus.helper_proxy import HelperProxy
from mqvpn_gui.bus.qt_bus import CallError
from mqvpn_gui.model.diagnosis import MAX_REPORT_BYTES, Check, checks_from, pretty_report
from mqvpn_gui.user.errors import UserError
from mqvpn_gui.windows.diagnostics_page import DiagnosticsPage

_CHUNK = 1 << 16


class DiagnosticsDesk(QObject):
    """Does what the page of diagnostics asks for."""

    failed = Signal(str, str)
    """Problem and advice."""

    def __init__(
        self,
        background: Background,
        helper: HelperProxy,
        page: DiagnosticsPage,
        own_checks: Callable[[], list[Check]],
    ) -> None:
        """Listen to the page.

        Args:
            background: for reading and writing.
            helper: has the report.
            page: where it is shown.
            own_checks: returns what this program knows itself.
        """
        super().__init__(page)
        self._background = background
        self._helper = helper
        self._page = page
        self._own_checks = own_checks
        page.run_wanted.connect(self._run)
        page.export_wanted.connect(self._export)
        page.recover_wanted.connect(self._recover)

    def _run(self) -> None:
        self._page.show_checks(self._own_checks())
        self._helper.collect_diagnostics(self._on_report)

    def _on_report(self, report: int | CallError) -> None:
        if isinstance(report, CallError):
            self._page.show_checks(
                [*self._own_checks(), Check(name="helper", is_good=False, text=report.text)]
            )
            return
        self._background.run(lambda: _read_all(report), self._show, self._fail)

    def _show(self, report: bytes) -> None:
        self._page.show_checks([*self._own_checks(), *checks_from(report)])
        self._page.show_report(pretty_report(report))

    def _export(self, text: str) -> None:
        question = QFileDialog(_window_of(self._page), self.tr("Export the report"))
        question.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        question.selectFile("mqvpn-report.json")

        def write(path: str) -> None:
            self._background.run(lambda: write_text(path, text), lambda _: None, self._fail)

        question.fileSelected.connect(write)
        question.finished.connect(question.deleteLater)
        question.open()

    def _recover(self) -> None:
        question = QMessageBox(
            QMessageBox.Icon.Warning,
            self.tr("Restore the network"),
            self.tr(
                "This ends the tunnel and switches the kill switch off: traffic goes out"
                " unprotected afterwards."
            ),
            QMessageBox.StandardButton.Ok | QMessageBox.StandardButton.Cancel,
            _window_of(self._page),
        )
        question.setDefaultButton(QMessageBox.StandardButton.Cancel)

        def on_answer(answer: int) -> None:
            question.deleteLater()
            if answer == QMessageBox.StandardButton.Ok:
                self._helper.recover(self._on_recovered)

        question.finished.connect(on_answer)
        question.open()

    def _on_recovered(self, error: CallError | None) -> None:
        if error is None:
            self._page.show_problem(self.tr("The network is as it was before the tunnel."))
        else:
            self.failed.emit(error.text, "")

    def _fail(self, error: UserError) -> None:
        self._page.show_problem(str(error))


def _window_of(page: QWidget) -> QWidget:
    return page.window()


def _read_all(descriptor: int) -> bytes:
    """Read a pipe to its end; runs in a worker."""
    parts: list[bytes] = []
    size = 0
    try:
        while size < MAX_REPORT_BYTES and (part := os.read(descriptor, _CHUNK)):
            parts.append(part)
            size += len(part)
    except OSError as error:
        raise UserError(f"the report could not be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    return b"".join(parts)
