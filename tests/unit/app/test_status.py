"""The status as people see it, and answers that are none."""

from dataclasses import replace
from pathlib import Path

import pytest

from mqvpn_core.app.control_client import fetch_status
from mqvpn_core.app.status import read_status, render_status, status_lines
from mqvpn_core.errors import HostError
from mqvpn_core.runtime.control_codec import ErrorReply, EventsReply, encode_reply
from mqvpn_core.runtime.status_values import Status
from tests.unit.app.answers import answering
from tests.unit.runtime.status_samples import CLIENT, SERVER

CLIENT_PAGE = """\
client on mqvpn0: connected for 1 h 2 min
  server     vpn.example.org:443
  addresses  10.0.0.2/32, fd00::2/128
  MTU        1340
  names      resolved by systemd-resolved
  kill switch  standard
  exception  wlan0 is past the kill switch for 1 min 40 s
  scheduler  redundant
  process    4711, mqvpn 0.1.0, kernel reference
             reference because: the native kernel is not built

  path  interface  role     state       RTT      min  jitter  loss         down           up  share\
     capacity  cc               cwnd  received    sent   MTU  local            remote
  0     wlan0      primary  active  18.2 ms  17.0 ms  1.5 ms  1.2%  10.0 Mbit/s  1.00 Mbit/s    75%\
  20.0 Mbit/s  bbr cruise  120.6 KiB   4.7 GiB  1000 B  1400  192.0.2.7:50000  203.0.113.1:443
  1     wwan0      backup   active  18.2 ms  17.0 ms  1.5 ms  1.2%      0 bit/s      0 bit/s     0%\
  20.0 Mbit/s  bbr cruise  120.6 KiB   4.7 GiB  1000 B  1400  192.0.2.7:50000  203.0.113.1:443

counters
  dropped: too big                 3
"""

SERVER_PAGE = """\
server on mqvpn1: listening for 1 min 1 s
  server     [::]:443
  addresses  -
  MTU        -
  scheduler  weighted
  process    4712, mqvpn 0.1.0, kernel reference
  clients    1

  worker  process  state    clients  restarts
  0          4713  running        1         0
  1             -  waiting        0         2

  client        from                addresses  connected  paths      RTT           in      out\
  received  sent
  (shared key)  198.51.100.2:40000  10.0.0.2   5 s            1  20.0 ms  16.0 kbit/s  0 bit/s\
   2.0 KiB   0 B

  client        path  from             role     state       RTT      min  jitter  loss\
           in          out  share     capacity  cc               cwnd  received\
    sent   MTU
  (shared key)  0     203.0.113.1:443  primary  active  18.2 ms  17.0 ms  1.5 ms  1.2%\
  10.0 Mbit/s  1.00 Mbit/s    75%  20.0 Mbit/s  bbr cruise  120.6 KiB\
   4.7 GiB  1000 B  1400
"""


@pytest.mark.parametrize(("status", "page"), [(CLIENT, CLIENT_PAGE), (SERVER, SERVER_PAGE)])
def test_page_for_people(status: Status, page: str) -> None:
    assert render_status(status) == page.splitlines()


@pytest.mark.parametrize("width", [20, 40, 80, 132])
@pytest.mark.parametrize("status", [CLIENT, SERVER])
def test_page_fits_narrow_windows_and_keeps_what_matters(status: Status, width: int) -> None:
    lines = render_status(status, width)
    assert max(map(len, lines)) <= width
    tables = [line.split() for line in lines if line.startswith(("  path", "  client  "))]
    kept = {"path", "interface", "state"} if status is CLIENT else {"client", "path", "state"}
    assert width < 40 or kept <= set(tables[-1])
    assert width < 80 or {"RTT", "loss"} <= set(tables[-1])
    assert width < 132 or {"role", "share", "jitter"} <= set(tables[-1])


def test_page_of_many_paths_has_them_all() -> None:
    paths = tuple(replace(CLIENT.paths[0], id=number) for number in range(64))
    lines = render_status(replace(CLIENT, paths=paths, portal=""), 80)
    assert [line.split()[0] for line in lines if "wlan0" in line] == [str(n) for n in range(64)]


def test_a_wish_of_the_other_side_is_marked() -> None:
    path = replace(CLIENT.paths[0], peer_is_backup=True)
    assert "primary (backup for the peer)" in "\n".join(
        render_status(replace(CLIENT, paths=(path,)))
    )


def test_lines_for_filters_have_one_for_each_path() -> None:
    first, second = status_lines(CLIENT)
    assert first[23:] == (
        " client mqvpn0 connected path 0 wlan0 primary active rtt 18.2 ms jitter 1.5 ms loss 1.2%"
        " in 10.0 Mbit/s out 1.00 Mbit/s share 75%"
    )
    assert " path 1 wwan0 backup active " in second
    (line,) = status_lines(SERVER)
    assert " client (shared key) path 0 203.0.113.1:443 " in line
    (line,) = status_lines(replace(CLIENT, state="reconnecting", paths=()))
    assert line[23:] == " client mqvpn0 reconnecting"


def test_control_characters_of_foreign_text_are_shown_not_obeyed() -> None:
    lines = render_status(replace(CLIENT, server="a\x1b[2Jb\nc"))
    assert lines[1] == "  server     a\\x1b[2Jb\\nc"


def test_status_of_another_version_is_said() -> None:
    with pytest.raises(HostError, match=r"another version\? role is missing"):
        read_status({})


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "answers only root"),
        (b"HTTP/1.1 400 Bad Request\r\n", "not an answer of mqvpn"),
        (b'{"version":7,"status":1}\n', "not version 1"),
        (b'{"version":1,"status":', "not JSON"),
        (encode_reply(ErrorReply(reason="out of order")), "out of order"),
        (encode_reply(EventsReply(events=(), missed=0, last=0, more=False)), "events instead"),
    ],
)
def test_answer_that_is_none(tmp_path: Path, answer: bytes, says: str) -> None:
    thread = answering(tmp_path / "s", answer)
    try:
        with pytest.raises(HostError, match=says):
            fetch_status(tmp_path / "s")
    finally:
        thread.join()
