"""Logging for people on standard error, and for the journal when it listens there.

One line a message, whatever the message holds; a traceback is shown at level debug only, each of
its lines as a line of its own. Known secrets are cut out of every line, as a last defence.
"""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from typing_extensions import override

from mqvpn_core.app.journal import JournalHandler, priority
from mqvpn_core.app.one_line import one_line
from mqvpn_core.config import LogLevel, Secret
from mqvpn_core.config.describe import HIDDEN
from mqvpn_helper.interface.service_notices import is_journal

_LEVELS = {
    LogLevel.ERROR: logging.ERROR,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.INFO: logging.INFO,
    LogLevel.DEBUG: logging.DEBUG,
}
_OUR_LOGGERS = ("mqvpn_core", "mqvpn_helper")
_MIN_SECRET_LENGTH = 8
"""Shorter ones would cut harmless words out of harmless lines."""


class LineFormatter(logging.Formatter):
    """Formats a record as one line; see the module."""

    def __init__(
        self,
        *,
        for_journal: bool,
        with_traceback: bool,
        secrets: Sequence[str],
        with_priority: bool = True,
    ) -> None:
        """Choose the form.

        Args:
            for_journal: leave time and level out, which the journal knows.
            with_traceback: show tracebacks.
            secrets: texts to cut out.
            with_priority: lines for the journal begin with it (sd-daemon(3)).
        """
        super().__init__("%(message)s" if for_journal else "%(asctime)s %(levelname)s %(message)s")
        self.default_msec_format = "%s.%03d"
        self._has_prefix = for_journal and with_priority
        self._with_traceback = with_traceback
        self._secrets = tuple(text for text in secrets if len(text) >= _MIN_SECRET_LENGTH)

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Return the line or lines, without secrets and control characters."""
        message, *traceback = self._without_secrets(super().format(record)).split("\n")
        if record.exc_info is None:
            lines = [" ".join([message, *(line.strip() for line in traceback)])]
        elif self._with_traceback:
            lines = [message, *traceback]
        else:
            lines = [f"{message}: {self._without_secrets(_summary(record.exc_info[1]))}"]
        prefix = f"<{priority(record.levelno)}>" if self._has_prefix else ""
        return "\n".join(prefix + one_line(line) for line in lines)

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text


def set_up_logging(
    level: LogLevel,
    *,
    secrets: Sequence[Secret] = (),
    stream: TextIO | None = None,
    journal: Path | None = None,
) -> None:
    """Send all logging to ``stream``, standard error by default; replaces an earlier set-up.

    Args:
        level: how much of our own is logged; of other packages only warnings and errors.
        secrets: what must never be shown.
        stream: where to write.
        journal: socket of the journal, which gets fields instead of lines where ``stream`` leads
            to it.
    """
    target = sys.stderr if stream is None else stream
    for_journal = is_journal(target, os.environ)
    hidden = [secret.reveal() for secret in secrets]
    handler: logging.Handler = logging.StreamHandler(target)
    handler.setFormatter(_formatter(level, hidden, for_journal=for_journal))
    if for_journal and journal is not None:
        handler = JournalHandler("mqvpn-core", handler, journal)
        handler.setFormatter(_formatter(level, hidden, for_journal=True, with_priority=False))
    root = logging.getLogger()
    for earlier in root.handlers[:]:
        root.removeHandler(earlier)
        if isinstance(earlier, JournalHandler):
            earlier.close()
    root.addHandler(handler)
    root.setLevel(max(_LEVELS[level], logging.WARNING))
    # aioquic warns of whatever a stranger sends; what matters of it is in our own messages.
    logging.getLogger("quic").setLevel(logging.ERROR)
    for name in _OUR_LOGGERS:
        logging.getLogger(name).setLevel(_LEVELS[level])


def _formatter(
    level: LogLevel, hidden: Sequence[str], *, for_journal: bool, with_priority: bool = True
) -> LineFormatter:
    return LineFormatter(
        for_journal=for_journal,
        with_traceback=level is LogLevel.DEBUG,
        secrets=hidden,
        with_priority=with_priority,
    )


def _summary(error: BaseException | None) -> str:
    """Return type and message; of a group, those of what is in it."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_summary(member) for member in error.exceptions)
    return f"{type(error).__name__}: {error}"
