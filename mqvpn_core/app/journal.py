"""Log records as fields of the journal, by its native protocol.

``journalctl MQVPN_ROOM=masque`` then shows what one room says, and each line knows its place in the
source. Only own code makes field names; what is in a value cannot end it.
"""

import logging
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from typing_extensions import override

JOURNAL_SOCKET = Path("/run/systemd/journal/socket")
"""Where the journal takes fields."""

_LENGTH_BYTES = 8


def encode_fields(fields: Mapping[str, str]) -> bytes:
    """Return a datagram for the journal (systemd's "Native Journal Protocol")."""
    encoded = []
    for name, value in fields.items():
        content = value.encode("utf-8", "backslashreplace")
        if b"\n" in content:
            length = len(content).to_bytes(_LENGTH_BYTES, "little")
            encoded.append(name.encode() + b"\n" + length + content + b"\n")
        else:
            encoded.append(name.encode() + b"=" + content + b"\n")
    return b"".join(encoded)


class JournalHandler(logging.Handler):
    """Hands records to the journal; what it does not take goes to another handler."""

    def __init__(self, program: str, otherwise: logging.Handler, place: Path) -> None:
        """Open a socket.

        Args:
            program: what the journal calls this program.
            otherwise: takes records while the journal does not.
            place: the journal's socket.
        """
        super().__init__()
        self._program = program
        self._otherwise = otherwise
        self._place = str(place)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        try:
            self._socket.sendto(encode_fields(self._fields(record)), self._place)
        except OSError:  # it is being restarted, or the record is too long
            self._otherwise.emit(record)

    @override
    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()

    def _fields(self, record: logging.LogRecord) -> dict[str, str]:
        package, _, rest = record.name.partition(".")
        return {
            "MESSAGE": self.format(record),
            "PRIORITY": str(priority(record.levelno)),
            "SYSLOG_IDENTIFIER": self._program,
            "SYSLOG_PID": str(os.getpid()),
            "MQVPN_ROOM": rest.partition(".")[0] or package,
            "MQVPN_LOGGER": record.name,
            "CODE_FILE": record.pathname,
            "CODE_LINE": str(record.lineno),
            "CODE_FUNC": record.funcName or "",
        }


def priority(level: int) -> int:
    """Return what syslog(3) calls a level: 3 error, 4 warning, 6 informational, 7 debug."""
    if level >= logging.ERROR:
        return 3
    if level >= logging.WARNING:
        return 4
    return 6 if level >= logging.INFO else 7
