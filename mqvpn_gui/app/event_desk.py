"""What happened: kept, shown, told in bubbles, written to a file."""

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QFileDialog

from mqvpn_gui.app.background import Background
from mqvpn_gui.app.notices import Notices
from mqvpn_gui.app.text_files import write_text
from mqvpn_gui.model.event_store import EventRecord, EventStore
from mqvpn_gui.user.errors import UserError
from mqvpn_gui.windows.home_page import HomePage
from mqvpn_helper.interface.bus_names import BusEventKind


class EventDesk(QObject):
    """Takes events from the helper.

    C: `take_news`, `take_history`, `note_death`, `begin_anew`.
    """

    failed = Signal(str, str)
    """Problem and advice."""

    def __init__(
        self, store: EventStore, page: HomePage, notices: Notices, background: Background
    ) -> None:
        """Listen to the page.

        Args:
            store: keeps them.
            page: shows them.
            notices: tells them.
            background: writes them.
        """
        super().__init__(page)
        self._store = store
        self._page = page
        self._notices = notices
        self._background = background
        self.begin_anew = store.begin_anew
        """The helper counts from 1 again."""
        page.events.export_wanted.connect(self._export)

    def take_news(self, records: list[EventRecord]) -> None:
        """Take events that happened just now."""
        new = self._store.add(records)
        self._page.show_events(new)
        for record in new:
            self._notices.tell(record)

    def take_history(self, records: list[EventRecord]) -> None:
        """Take events from before the program was started: nobody is told."""
        self._page.show_events(self._store.add(records))

    def note_death(self, at: float) -> None:
        """Note that the helper is gone with a tunnel up, which it cannot tell itself.

        Args:
            at: now, seconds since 1970.
        """
        text = self.tr("the helper ended unexpectedly and is started again")
        record = EventRecord(id=0, at=at, kind=BusEventKind.OTHER, detail={"text": text})
        self._store.note(record)
        self._page.show_events([record])

    def _export(self) -> None:
        question = QFileDialog(self._page.window(), self.tr("Export events"), "", "CSV (*.csv)")
        question.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        question.selectFile("mqvpn-events.csv")
        question.fileSelected.connect(self._write)
        question.finished.connect(question.deleteLater)
        question.open()

    def _write(self, path: str) -> None:
        text = self._page.events.table.as_csv()
        self._background.run(lambda: write_text(path, text), lambda _: None, self._fail)

    def _fail(self, error: UserError) -> None:
        self.failed.emit(error.problem, error.advice)
