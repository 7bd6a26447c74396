"""Records as fields of the journal."""

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from mqvpn_core.app.journal import JournalHandler, encode_fields
from mqvpn_core.app.logging_setup import LineFormatter, set_up_logging
from mqvpn_core.config import LogLevel, Secret


class Kept(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "journal"))
        listening.settimeout(2)
        yield listening


def _record(text: str) -> logging.LogRecord:
    name = "mqvpn_core.masque.forwarding"
    return logging.LogRecord(name, logging.WARNING, "/x/forwarding.py", 7, text, (), None, "drop")


def test_no_value_can_make_a_field() -> None:
    assert encode_fields({"A": "x", "B": "y=z"}) == b"A=x\nB=y=z\n"
    assert encode_fields({"A": "1\nB=2"}) == b"A\n\x05\0\0\0\0\0\0\x001\nB=2\n"


def test_a_record_becomes_fields(journal: socket.socket, tmp_path: Path) -> None:
    handler = JournalHandler("mqvpn-core", Kept(), tmp_path / "journal")
    handler.setFormatter(
        LineFormatter(for_journal=True, with_traceback=False, secrets=[], with_priority=False)
    )
    handler.emit(_record("dropped\nMQVPN_ROOM=forged"))
    handler.close()
    assert journal.recv(4096).decode().splitlines() == [
        "MESSAGE=dropped MQVPN_ROOM=forged",
        "PRIORITY=4",
        "SYSLOG_IDENTIFIER=mqvpn-core",
        f"SYSLOG_PID={os.getpid()}",
        "MQVPN_ROOM=masque",
        "MQVPN_LOGGER=mqvpn_core.masque.forwarding",
        "CODE_FILE=/x/forwarding.py",
        "CODE_LINE=7",
        "CODE_FUNC=drop",
    ]


def test_without_a_journal_lines_are_written(tmp_path: Path) -> None:
    otherwise = Kept()
    handler = JournalHandler("mqvpn-core", otherwise, tmp_path / "journal")
    record = _record("text")
    handler.emit(record)
    handler.close()
    assert otherwise.records == [record]


def test_fields_only_where_the_stream_leads_to_the_journal(
    journal: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    secret = Secret("0123456789abcdef")
    with (tmp_path / "stream").open("w+", encoding="utf-8") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        place = tmp_path / "journal"
        try:
            set_up_logging(LogLevel.INFO, secrets=[secret], stream=stream, journal=place)
            logging.getLogger("mqvpn_core.app.x").error("the key is %s", secret.reveal())
            set_up_logging(LogLevel.INFO, stream=stream)
            logging.getLogger("mqvpn_core.app.x").error("a line")
        finally:
            root.handlers[:], root.level = before, level
        stream.seek(0)
        assert stream.read() == "<3>a line\n"
    sent = journal.recv(4096).decode()
    assert sent.startswith("MESSAGE=the key is ")
    assert secret.reveal() not in sent
