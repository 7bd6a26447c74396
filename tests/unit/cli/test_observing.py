"""``status``, ``events`` and ``scheduler``."""

import json
import logging
import threading
from functools import partial
from pathlib import Path
from typing import Self

import pytest
import trio

from mqvpn_core.app.control_client import set_scheduler
from mqvpn_core.app.scheduler_choice import switch_scheduler
from mqvpn_core.config import Scheduler
from mqvpn_core.errors import HostError
from mqvpn_core.ids import Instant
from mqvpn_core.runtime.control_codec import EventsReply, SetSchedulerRequest, encode_reply
from mqvpn_core.runtime.control_readers import ControlSources
from mqvpn_core.runtime.control_socket import serve_control
from mqvpn_core.runtime.event_log import EventLog, EventSubject
from mqvpn_core.runtime.event_values import EventKind
from mqvpn_core.runtime.status_values import encode_status_values
from tests.unit.app.answers import answering
from tests.unit.cli.runs import CommandLine
from tests.unit.runtime.status_samples import CLIENT


class Served:
    """Serves status and events from a thread of its own."""

    def __init__(self, path: Path, *, has_scheduler: bool = True) -> None:
        self._has_scheduler = has_scheduler
        self.schedulers: list[Scheduler] = []
        self._path = path
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._main,))

    async def _main(self) -> None:
        async with trio.open_nursery() as nursery:
            log = EventLog(lambda: 1.7e9, log_level=logging.DEBUG, capacity=3)
            for number in range(1, 5):
                subject = EventSubject(path=0, interface="wlan0")
                log.record(EventKind.FAILOVER, f"move {number}", Instant(0.0), subject=subject)
            log.record(EventKind.KEY_UPDATED, "new keys", Instant(0.0))
            switch = partial(switch_scheduler, self.schedulers.append)
            sources = ControlSources(
                status=lambda: encode_status_values(CLIENT),
                events=log,
                set_scheduler=switch if self._has_scheduler else None,
            )
            await nursery.start(serve_control, self._path, sources)
            self._ready.set()
            await trio.to_thread.run_sync(self._stop.wait)
            nursery.cancel_scope.cancel()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def test_status_for_people_and_programs(mqvpn: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Served(path):
        outcome = mqvpn("status", "--control-socket", str(path))
        assert outcome.code == 0
        assert outcome.out.startswith("client on mqvpn0: connected for 1 h 2 min\n")
        outcome = mqvpn("status", "--control-socket", str(path), "--json")
        assert json.loads(outcome.out) == encode_status_values(CLIENT)


def test_status_watches_until_interrupted(
    mqvpn: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    with Served(tmp_path / "s"):
        arguments = ("--control-socket", str(tmp_path / "s"), "--json", "--watch", "0.5")
        outcome = mqvpn("status", *arguments)
    assert outcome.code == 0
    assert waits == [0.5] * 3
    assert [json.loads(line)["pid"] for line in outcome.out.splitlines()] == [4711] * 3


def test_status_of_nobody(mqvpn: CommandLine, tmp_path: Path) -> None:
    outcome = mqvpn("status", "--control-socket", str(tmp_path / "gone"))
    assert (outcome.code, outcome.out) == (1, "")
    assert "is mqvpn running?" in outcome.err
    outcome = mqvpn("status", "--tun-name", "mq-none")
    assert "/run/mqvpn/mq-none.sock: no such socket" in outcome.err


def test_events_for_people(mqvpn: CommandLine, tmp_path: Path) -> None:
    with Served(tmp_path / "s"):
        lines = mqvpn("events", "--control-socket", str(tmp_path / "s")).out.splitlines()
    assert lines[0] == "... 2 events missed"
    assert [line[25:] for line in lines[1:]] == [
        "failover        move 3",
        "failover        move 4",
    ]


def test_events_for_programs(mqvpn: CommandLine, tmp_path: Path) -> None:
    with Served(tmp_path / "s"):
        arguments = ("--control-socket", str(tmp_path / "s"), "--json", "--debug", "--since", "3")
        lines = [json.loads(line) for line in mqvpn("events", *arguments).out.splitlines()]
    assert [(line["number"], line["kind"], line["text"]) for line in lines] == [
        (4, "failover", "move 4"),
        (5, "key_updated", "new keys"),
    ]
    assert (lines[0]["path"], lines[0]["interface"], lines[1]["path"]) == (0, "wlan0", None)


def test_following_ends_with_the_process(mqvpn: CommandLine, tmp_path: Path) -> None:
    reply = EventsReply(events=(), missed=2, last=2, more=False)
    thread = answering(tmp_path / "s", encode_reply(reply))
    outcome = mqvpn("events", "--control-socket", str(tmp_path / "s"), "--follow", "--json")
    thread.join()
    assert outcome.code == 1
    assert "the process has ended" in outcome.err
    assert json.loads(outcome.out) == {"missed": 2}


@pytest.mark.parametrize("number", ["-1", "x", "99999999999999999999"])
def test_since_takes_a_number(mqvpn: CommandLine, number: str) -> None:
    outcome = mqvpn("events", "--since", number)
    assert (outcome.code, outcome.out) == (2, "")


def test_scheduler_is_shown_and_changed(mqvpn: CommandLine, tmp_path: Path) -> None:
    socket = ("--control-socket", str(tmp_path / "s"))
    with Served(tmp_path / "s") as served:
        assert mqvpn("scheduler", *socket).out == "redundant\n"
        outcome = mqvpn("scheduler", "minrtt", *socket)
        assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
        assert served.schedulers == [Scheduler.MINRTT]
        outcome = mqvpn("scheduler", "fastest", *socket)
    assert outcome.code == 2
    assert "'fastest' is not one of: weighted, minrtt, redundant, backup" in outcome.err
    assert served.schedulers == [Scheduler.MINRTT]


def test_a_program_without_a_scheduler_of_its_own_says_so(tmp_path: Path) -> None:
    with Served(tmp_path / "s", has_scheduler=False), pytest.raises(HostError, match="workers"):
        set_scheduler(tmp_path / "s", SetSchedulerRequest(name="minrtt"))


def test_the_program_itself_refuses_what_is_no_scheduler(tmp_path: Path) -> None:
    with Served(tmp_path / "s"), pytest.raises(HostError, match="weighted, minrtt"):
        set_scheduler(tmp_path / "s", SetSchedulerRequest(name="x" * 1000))
