"""Looks at everything that can be wrong, and collects the report."""

import contextlib
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace

from PySide6.QtCore import QObject, Signal, qVersion
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QMessageBox, QWidget

from mqvpn_gui.app.background import Background
from mqvpn_gui.app.checks import Findings, all_checks
from mqvpn_gui.app.machine_look import MachineLook, look_around
from mqvpn_gui.app.text_files import write_text
from mqvpn_gui.bus.helper_proxy import HelperProxy
from mqvpn_gui.bus.permission import Permission, ask_permission
from mqvpn_gui.bus.qt_bus import CallError, QtBus
from mqvpn_gui.model.diagnosis import MAX_REPORT_BYTES, MachineFacts, facts_from, pretty_report
from mqvpn_gui.model.helper_state import HelperState
from mqvpn_gui.user.errors import UserError
from mqvpn_gui.user.profile_store import ProfileStore
from mqvpn_gui.user.sandbox import is_sandboxed
from mqvpn_gui.windows.diagnostics_page import DiagnosticsPage
from mqvpn_gui.words.messages import told_error, told_failure
from mqvpn_helper.interface.tunnel_settings import TunnelRoutes

_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where answers come from."""

    helper: HelperProxy
    """Has the report."""
    system_bus: QtBus
    """Leads to polkit."""
    profiles: ProfileStore
    """The user's servers."""
    wall: Callable[[], float]
    """Returns seconds since 1970."""
    profile: Callable[[], str]
    """Returns the server that Connect uses; empty: there is none."""
    has_tray: Callable[[], bool]
    """Returns whether a panel shows the icon."""


class DiagnosticsDesk(QObject):
    """Does what the page of diagnostics asks for."""

    failed = Signal(str, str)
    """Problem and advice."""

    def __init__(self, background: Background, sources: Sources, page: DiagnosticsPage) -> None:
        """Listen to the page.

        Args:
            background: for reading and writing.
            sources: where answers come from.
            page: where they are shown.
        """
        super().__init__(page)
        self._background = background
        self._sources = sources
        self._helper = sources.helper
        self._page = page
        page.run_wanted.connect(self._run)
        page.export_wanted.connect(self._export)
        page.recover_wanted.connect(self._recover)

    def _run(self) -> None:
        """Look at the machine, then ask polkit, then the helper."""
        sources, state, now = self._sources, self._helper.state, self._sources.wall()
        self._background.run(
            lambda: _look(sources.profiles, state, now), self._ask_polkit, self._fail
        )

    def _ask_polkit(self, machine: MachineLook) -> None:
        ask_permission(self._sources.system_bus, lambda answer: self._ask_helper(machine, answer))

    def _ask_helper(self, machine: MachineLook, permission: Permission) -> None:
        sources = self._sources
        found = Findings(
            state=self._helper.state,
            profile=sources.profile(),
            has_tray=sources.has_tray(),
            machine=machine,
            permission=permission,
            facts=MachineFacts(),
        )

        def on_report(report: int | CallError) -> None:
            if isinstance(report, CallError):
                self._show(replace(found, refusal=told_failure(report.name, report.text)), None)
            else:
                self._background.run(
                    lambda: _read_all(report), lambda read: self._show(found, read), self._fail
                )

        self._helper.collect_diagnostics(on_report)

    def _show(self, found: Findings, report: bytes | None) -> None:
        if report is not None:
            found = replace(found, facts=facts_from(report))
        checks = all_checks(found)
        self._page.show_checks(checks)
        self._page.show_report(pretty_report(checks, _own_facts(), report))

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
            self.failed.emit(told_failure(error.name, error.text), "")

    def _fail(self, error: UserError) -> None:
        self._page.show_problem(told_error(error))


def _window_of(page: QWidget) -> QWidget:
    return page.window()


def _look(profiles: ProfileStore, state: HelperState, now: float) -> MachineLook:
    """Look at the machine, and what the settings want; runs in a worker."""
    routes = _routes_of_the_tunnel(profiles, state)
    return look_around(now, state.addresses, wants_everything=routes is TunnelRoutes.DEFAULT)


def _routes_of_the_tunnel(profiles: ProfileStore, state: HelperState) -> TunnelRoutes:
    """What shall go into the tunnel, by the settings that it was made with."""
    for name in profiles.names():
        with contextlib.suppress(UserError):  # a damaged file is not the one in use
            settings = profiles.read(name).settings
            # The helper tells the title, which need not be what the file is called.
            if settings.server == state.server and state.profile in (settings.name, name):
                return settings.routes
    return TunnelRoutes.NONE  # somebody else's settings


def _own_facts() -> dict[str, str]:
    """What may matter of this program; names nobody."""
    return {
        "python": platform.python_version(),
        "qt": str(qVersion()),
        "screen": QGuiApplication.platformName(),
        "desktop": os.environ.get("XDG_CURRENT_DESKTOP", ""),
        "sandbox": "flatpak" if is_sandboxed() else "none",
    }


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
