"""Checks in words, and a report that can be looked at before it is given to anybody."""

from collections.abc import Sequence

from PySide6.QtCore import QCoreApplication, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from mqvpn_gui.model.diagnosis import Check
from mqvpn_gui.windows.flow_layout import FlowLayout
from mqvpn_gui.windows.widgets import ScrollPage, card, clear, heading, plain_label

_KINDS = {True: "good", False: "bad", None: "faint"}


def _tr(text: str) -> str:
    return QCoreApplication.translate("diagnostics_page", text)


class DiagnosticsPage(ScrollPage):
    """Shows checks and the report.

    C: `show_checks`, `show_report`, `show_problem`.
    """

    run_wanted = Signal()
    """Look at everything."""
    export_wanted = Signal(str)
    """Write this report to a file."""
    recover_wanted = Signal()
    """Remove every trace of the tunnel."""

    def __init__(self) -> None:
        """Start without results."""
        content = QWidget()
        super().__init__(content)
        self._message = plain_label(wraps=True)
        self._checks = QVBoxLayout()
        self._checks.setSpacing(8)
        self._frame = card(self._checks, _tr("Checks"))
        self._frame.hide()
        self._report = QPlainTextEdit()
        self._report.setMinimumHeight(160)
        self._report.setReadOnly(True)
        self._report.setTabChangesFocus(True)
        self._report.setAccessibleName(_tr("Report"))
        self._run = QPushButton(_tr("&Check everything"))
        self._run.setProperty("class", "main")
        self._run.clicked.connect(self._on_run)
        self._copy = QPushButton(_tr("Cop&y"))
        self._copy.clicked.connect(
            lambda: QGuiApplication.clipboard().setText(self._report.toPlainText())
        )
        self._export = QPushButton(_tr("E&xport…"))
        self._export.clicked.connect(lambda: self.export_wanted.emit(self._report.toPlainText()))
        recover = QPushButton(_tr("&Restore the network…"))
        recover.setAccessibleDescription(
            _tr("Ends the tunnel and removes every trace of it from this machine")
        )
        recover.clicked.connect(self.recover_wanted)
        row = FlowLayout()
        for button in (self._run, self._copy, self._export):
            row.addWidget(button)
        row.add_gap()
        row.addWidget(recover)
        layout = QVBoxLayout(content)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(heading(_tr("Diagnostics")))
        layout.addLayout(row)
        layout.addWidget(self._message)
        layout.addWidget(self._frame)
        layout.addWidget(
            plain_label(
                _tr("The report holds no keys and no addresses. Read it before you send it."),
                "faint",
                wraps=True,
            )
        )
        layout.addWidget(self._report, 1)
        self._enable(has_report=False)

    def show_checks(self, checks: Sequence[Check]) -> None:
        """Show results, the bad ones first, then in their order."""
        clear(self._checks)
        for check in sorted(checks, key=lambda each: {False: 0, None: 1, True: 2}[each.is_good]):
            self._checks.addWidget(_line(check))
        self._frame.setVisible(bool(checks))
        bad = sum(check.is_good is False for check in checks)
        self._message.setText(
            _tr("Everything is in order.") if not bad else _tr("Not in order: {0}").format(bad)
        )
        self._run.setEnabled(True)

    def show_report(self, text: str) -> None:
        """Show the report."""
        self._report.setPlainText(text)
        self._enable(has_report=bool(text))

    def show_problem(self, text: str) -> None:
        """Say why there are no results."""
        self._message.setText(text)
        self._run.setEnabled(True)

    def _on_run(self) -> None:
        self._run.setEnabled(False)
        self._message.setText(_tr("Looking…"))
        self.run_wanted.emit()

    def _enable(self, *, has_report: bool) -> None:
        self._copy.setEnabled(has_report)
        self._export.setEnabled(has_report)


def _line(check: Check) -> QWidget:
    """One check: its result in a word, what was looked at, what was found."""
    result = plain_label(_result(check.is_good), _KINDS[check.is_good])
    name = plain_label(check.name, wraps=True)
    font = name.font()
    font.setBold(True)
    name.setFont(font)
    widget = QWidget()
    widget.setAccessibleName(
        ", ".join(part for part in (check.name, result.text(), check.text, check.advice) if part)
    )
    column = QVBoxLayout(widget)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(1)
    top = QHBoxLayout()
    top.addWidget(name, 1)
    top.addWidget(result)
    column.addLayout(top)
    for text, kind in ((check.text, "faint"), (check.advice, "")):
        if text:
            column.addWidget(plain_label(text, kind, wraps=True))
    return widget


def _result(is_good: bool | None) -> str:
    return {True: _tr("in order"), False: _tr("not in order"), None: _tr("not known")}[is_good]
