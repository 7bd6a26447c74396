"""What a real tunnel over two links tells about itself, to the polite and to the hostile."""

import json
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from benchmarks.probe import wall_clock
from mqvpn_core.app.live_screen import ENTER, LEAVE
from mqvpn_core.app.local_time import read_wall_clock
from mqvpn_core.demo.programs import Program, executable
from mqvpn_core.runtime.control_codec import (
    EventsRequest,
    JsonValue,
    StatusRequest,
    encode_request,
)
from mqvpn_core.runtime.event_values import CoreEvent, EventKind, decode_event
from mqvpn_core.runtime.status_values import PathStatus
from tests.documents.blocks import blocks
from tests.e2e.multipath_lab import MultipathLab, Traffic, open_multipath_lab
from tests.e2e.topology import eventually

pytestmark = [pytest.mark.netns, pytest.mark.slow]

Trace = list[dict[str, JsonValue]]


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where client and server write their traces."""
    return tmp_path_factory.mktemp("traces")


@pytest.fixture(scope="module")
def lab(traces: Path) -> Iterator[MultipathLab]:
    """One traced tunnel for all."""
    with open_multipath_lab(options=("--qlog", str(traces))) as laboratory:
        yield laboratory


def ask(program: Program, *words: str) -> list[dict[str, JsonValue]]:
    """What a command says of a program, line by line."""
    command = [executable(), *words, "--json", "--control-socket", str(program.control_socket)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    return [cast("dict[str, JsonValue]", json.loads(line)) for line in answer.stdout.splitlines()]


def events_of(program: Program, after: int = 0) -> list[CoreEvent]:
    """Its events after a number."""
    return [decode_event(line) for line in ask(program, "events", "--since", str(after))]


def last_number(program: Program) -> int:
    """Number of its newest event."""
    events = events_of(program)
    return events[-1].number if events else 0


@contextmanager
def silent_wlan(lab: MultipathLab, traffic: Traffic) -> Iterator[None]:
    """Swallow every packet on one link for the length of a block, and wait until it is back."""
    lab.wlan.link.set_black_hole(on=True)
    try:
        yield
    finally:
        lab.wlan.link.set_black_hole(on=False)
    lab.wait_until_usable(lab.wlan, 5)
    traffic.wait_until_calm(5)


def test_both_ends_show_every_path_with_its_numbers(lab: MultipathLab) -> None:
    with lab.traffic():
        time.sleep(2.5)
        client = lab.tunnel.client.status()
        server = lab.tunnel.server.status()
    assert client is not None
    assert server is not None
    ours = {path.interface: path for path in client.paths}
    assert set(ours) == set(lab.names)
    for path in ours.values():
        assert path.state == "active"
        assert path.use == "primary"
        assert 0 < path.min_rtt_ms <= path.srtt_ms + path.jitter_ms
        assert path.jitter_ms > 0
        assert path.seconds_silent < 15
    assert ours[lab.wlan.name].srtt_ms < ours[lab.lte.name].srtt_ms
    assert sum(path.share for path in client.paths) == pytest.approx(1.0)
    # The probe alone is 100 packets a second each way.
    assert sum(path.tx_rate for path in client.paths) > 5_000
    assert sum(path.rx_rate for path in client.paths) > 5_000
    (tunnel,) = server.clients
    theirs = {path.id: path for path in tunnel.paths}
    for path in client.paths:
        assert theirs[path.id].remote == path.local
    assert tunnel.rx_rate == pytest.approx(sum(path.tx_rate for path in client.paths), rel=0.5)


def test_a_failover_is_told_with_its_gap_on_both_ends(lab: MultipathLab) -> None:
    client, server = lab.tunnel.client, lab.tunnel.server
    before, before_at_server = last_number(client), last_number(server)
    with lab.traffic() as traffic:
        # So that the probe has to move: flows stay where they are while that works.
        with silent_wlan(lab, traffic):
            time.sleep(1)
        eventually(
            lambda: EventKind.PATH_SUSPECT in {event.kind for event in events_of(client, before)},
            5,
            "suspicion",
        )
    events = events_of(client, before)
    kinds = [event.kind for event in events]
    suspected = kinds.index(EventKind.PATH_SUSPECT)
    assert events[suspected].interface == lab.wlan.name
    assert {EventKind.PATH_RECOVERED, EventKind.PATH_ABANDONED} & set(kinds[suspected:])
    moves = [event for event in events if event.kind is EventKind.FAILOVER]
    moves += [
        event for event in events_of(server, before_at_server) if event.kind is EventKind.FAILOVER
    ]
    assert moves, "neither side has moved any traffic"
    for move in moves:
        gap = move.details["gap_ms"]
        assert isinstance(gap, float)
        assert 1 < gap < 1500
        assert f"gap {gap:.0f} ms" in move.text
    numbers = [event.number for event in events]
    assert numbers == sorted(set(numbers))
    assert numbers[0] > before


def test_followers_hear_of_it_while_it_happens(lab: MultipathLab) -> None:
    client = lab.tunnel.client
    before = last_number(client)
    command = [executable(), "events", "--follow", "--json", "--since", str(before)]
    command += ["--control-socket", str(client.control_socket)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower,
        lab.traffic() as traffic,
    ):
        try:
            assert follower.stdout is not None
            began = read_wall_clock()
            with silent_wlan(lab, traffic):
                # On a busy machine a path may have been suspected for a moment before.
                heard = (decode_event(json.loads(line)) for line in follower.stdout)
                event = next(each for each in heard if each.wall >= began)
            assert event.number > before
            assert event.wall - began < 5
        finally:
            follower.send_signal(signal.SIGINT)
            assert follower.wait(10) == 0


def test_hostile_readers_disturb_neither_traffic_nor_status(lab: MultipathLab) -> None:
    client = lab.tunnel.client
    with ExitStack() as held, lab.traffic() as traffic:
        since = wall_clock()

        def connect() -> socket.socket:
            connection = held.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(2)
            with suppress(OSError):
                connection.connect(str(client.control_socket))
            return connection

        def send(connection: socket.socket, data: bytes) -> None:
            with suppress(OSError):
                connection.sendall(data)

        for _ in range(10):  # asks for everything, reads nothing
            send(connect(), encode_request(EventsRequest(follow=True)))
        for _ in range(20):
            send(connect(), b"x" * 1_000_000)
            send(connect(), encode_request(StatusRequest()) * 1000)
            connection = connect()
            send(connection, b'{"version":1,"comm')
            connection.close()
        for _ in range(500):
            connect().close()
        time.sleep(1)
        assert traffic.gap(since) < 0.5
        held.close()
        eventually(lambda: client.status() is not None, 5, "status")


def test_another_scheduler_counts_at_once_on_either_side(lab: MultipathLab) -> None:
    """Small packets use one link; copies of them use the other one, as soon as they are wanted."""
    with lab.traffic():
        _switch_to_copies(lab, lab.tunnel.client, lambda path: path.tx_packets)
        _switch_to_copies(lab, lab.tunnel.server, lambda path: path.rx_packets)
    assert "reconnecting" not in lab.tunnel.client.log.read_text()


def _switch_to_copies(lab: MultipathLab, side: Program, count: Callable[[PathStatus], int]) -> None:
    def copies() -> int:
        """Packets in a second over the link that pinned flows do not use."""
        before = {path.id: count(path) for path in lab.tunnel.paths()}
        time.sleep(1)
        return min(count(path) - before[path.id] for path in lab.tunnel.paths())

    command = [executable(), "scheduler", "--control-socket", str(side.control_socket)]
    usual = copies()
    subprocess.run([*command, "redundant"], check=True)
    try:
        assert subprocess.check_output(command, text=True) == "redundant\n"
        assert copies() > usual + 40
    finally:
        subprocess.run([*command, "weighted"], check=True)


def test_a_live_table_leaves_the_terminal_as_it_was(lab: MultipathLab) -> None:
    command = [executable(), "status", "--watch", "0.2"]
    command += ["--control-socket", str(lab.tunnel.client.control_socket)]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "60", "LINES": "12"}
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        shown = ""
        while shown.count("\x1b[H") < 3:
            assert select.select([ours], [], [], 10)[0]
            shown += os.read(ours, 65536).decode()
        process.send_signal(signal.SIGINT)
        with suppress(OSError):  # how a terminal says that nobody is left
            while data := os.read(ours, 65536):
                shown += data.decode()
        assert process.wait(10) == 0
    os.close(ours)
    assert shown.startswith(ENTER)
    assert shown.endswith(LEAVE)
    assert "Traceback" not in shown
    page = shown.split("\x1b[H")[2].partition("\x1b[J")[0].replace("\x1b[K", "").split("\r\n")
    assert len(page) <= 12
    assert max(map(len, page)) <= 60
    assert any(lab.wlan.name in line and "active" in line for line in page)


def test_every_connection_leaves_a_trace_with_its_paths(lab: MultipathLab, traces: Path) -> None:
    with lab.traffic():
        time.sleep(0.5)
    assert lab.tunnel.client.stop() == 0
    time.sleep(1)
    sides = {side: _read_trace(traces, side) for side in ("client", "server")}
    for side, trace in sides.items():
        names = {str(event["name"]) for event in trace}
        assert {
            "connectivity:connection_started",
            "connectivity:path_assigned",
            "connectivity:path_updated",
            "connectivity:connection_closed",
            "transport:packet_sent",
            "transport:packet_received",
            "recovery:metrics_updated",
        } <= names, side
        times = [cast("float", event["time"]) for event in trace]
        assert times == sorted(times)
        sent = [event for event in trace if event["name"] == "transport:packet_sent"]
        assert {event["path"] for event in sent} >= {"0", "1"}
        assert any('"frame_type": "datagram"' in json.dumps(event) for event in sent)
    assert _group(traces, "client") == _group(traces, "server")


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
def test_traces_are_read_by_the_commands_of_the_documents(traces: Path) -> None:
    (traces / "TRACE.sqlog").write_bytes(b"\x1e".join([b"", *_lines(traces, "client")]))
    run = partial(subprocess.run, cwd=traces, capture_output=True, text=True, check=True)
    run(["sh", "-ec", blocks()["trace-path"].text])
    kept = [json.loads(each) for each in (traces / "path1.sqlog").read_text().split("\x1e")[1:]]
    assert {each.get("path") for each in kept} == {None, "1"}
    told = run(["sh", "-ec", blocks()["trace-events"].text]).stdout
    assert "1\tvalidated" in {each.partition("\t")[2] for each in told.splitlines()}


def _read_trace(traces: Path, side: str) -> Trace:
    lines = _lines(traces, side)[1:]
    return [cast("dict[str, JsonValue]", json.loads(line)) for line in lines]


def _group(traces: Path, side: str) -> str:
    head = json.loads(_lines(traces, side)[0])
    return str(head["trace"]["common_fields"]["group_id"])


def _lines(traces: Path, side: str) -> list[bytes]:
    """The trace of the tunnel; that of a connection which lost the race for it is smaller."""
    path = max(traces.glob(f"*_{side}.sqlog"), key=lambda each: each.stat().st_size)
    return path.read_bytes().split(b"\x1e")[1:]
