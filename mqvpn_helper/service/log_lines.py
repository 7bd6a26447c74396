"""What the helper writes to standard error: lines for people, with priorities for the journal."""

import logging
from collections.abc import Mapping
from typing import TextIO

from typing_extensions import override

from mqvpn_helper.interface.service_notices import is_journal

# sd-daemon(3), from the gravest down: the first that is reached counts.
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7


def set_up_logging(stream: TextIO, environment: Mapping[str, str], *, is_verbose: bool) -> None:
    """Log to a stream from now on.

    Args:
        stream: standard error.
        environment: of this process.
        is_verbose: every change of a state as well.
    """
    handler = logging.StreamHandler(stream)
    if is_journal(stream, environment):
        handler.setFormatter(_JournalLines("%(name)s: %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
    # Our own words only: libraries tell every message that they exchange with the kernel.
    logging.getLogger("mqvpn_helper").setLevel(logging.DEBUG if is_verbose else logging.INFO)


class _JournalLines(logging.Formatter):
    """Begins each line with its priority; the journal has time and program by itself."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        reached = (number for level, number in _PRIORITIES if record.levelno >= level)
        priority = next(reached, _DEBUG)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())
