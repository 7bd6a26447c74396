"""What a run keeps about itself: its events, and traces if they are wanted."""

from dataclasses import dataclass
from pathlib import Path

import trio

from mqvpn_core.app.local_time import read_wall_clock
from mqvpn_core.app.version import program_version
from mqvpn_core.runtime.event_log import EventLog
from mqvpn_core.runtime.qlog_writer import QlogWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecords:
    """Where to tell what happens. Tasks: `run`."""

    events: EventLog
    """Its last events."""
    qlog: QlogWriter | None
    """Traces its connections; None when nobody wants that."""

    async def run(self) -> None:
        """Write traces until cancelled."""
        if self.qlog is not None:
            await self.qlog.run()
        await trio.sleep_forever()


def open_records(qlog_directory: Path | None, *, log_level: int) -> RunRecords:
    """Start the records of a run.

    Args:
        qlog_directory: where traces go, None for none.
        log_level: level at which events go to the log.

    Raises:
        HostError: nothing can be written to that directory.
    """
    qlog = None
    if qlog_directory is not None:
        qlog = QlogWriter(qlog_directory, program_version(), read_wall_clock)
    return RunRecords(events=EventLog(read_wall_clock, log_level=log_level), qlog=qlog)
