"""The status as people see it, and answers that are none."""

import socket
import threading
from pathlib import Path

import pytest

from mqvpn_core.app.status import fetch_status, render_status
from mqvpn_core.errors import HostError
from mqvpn_core.runtime.control_codec import encode_error
from mqvpn_core.runtime.status_values import encode_status_values
from tests.unit.runtime.status_samples import CLIENT, SERVER

HEADINGS = "  path  interface  local            remote           state   RTT      min      loss  "
ONE_PATH = "  0     wlan0      192.0.2.7:50000  203.0.113.1:443  active  18.2 ms  17.0 ms  1.2%  "


def test_client_is_rendered() -> None:
    assert render_status(encode_status_values(CLIENT)).splitlines() == [
        "client on mqvpn0: connected for 1 h 2 min",
        "  server     vpn.example.org:443",
        "  addresses  10.0.0.2/32, fd00::2/128",
        "  MTU        1340",
        "  process    4711, mqvpn 0.1.0, kernel reference",
        "",
        HEADINGS + "cwnd       sent    received  MTU",
        ONE_PATH + "120.6 KiB  1000 B  4.7 GiB   1400",
        "",
        "counters",
        "  dropped: too big                 3",
    ]


def test_server_is_rendered() -> None:
    assert render_status(encode_status_values(SERVER)).splitlines() == [
        "server on mqvpn1: listening for 1 min 1 s",
        "  server     [::]:443",
        "  addresses  -",
        "  MTU        -",
        "  process    4712, mqvpn 0.1.0, kernel reference",
        "  clients    1",
        "",
        "  user          remote              addresses  connected  RTT      sent  received",
        "  (shared key)  198.51.100.2:40000  10.0.0.2   5 s        20.0 ms  0 B   2.0 KiB",
    ]


def test_status_of_another_version_is_said() -> None:
    with pytest.raises(HostError, match=r"another version\? role is missing"):
        render_status({})


def answering(path: Path, answer: bytes) -> threading.Thread:
    """Answer one connection on ``path`` with ``answer``, whatever it asks."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(1)

    def answer_once() -> None:
        with listening:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

    thread = threading.Thread(target=answer_once)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "answers only root"),
        (b"HTTP/1.1 400 Bad Request\r\n", "not an answer of mqvpn"),
        (b'{"version":7,"status":1}\n', "not version 1"),
        (b'{"version":1,"status":', "not JSON"),
        (encode_error("out of order"), "out of order"),
    ],
)
def test_answer_that_is_none(tmp_path: Path, answer: bytes, says: str) -> None:
    thread = answering(tmp_path / "s", answer)
    try:
        with pytest.raises(HostError, match=says):
            fetch_status(tmp_path / "s")
    finally:
        thread.join()
