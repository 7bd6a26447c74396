"""Trace files: one for each connection, bounded, and never in the way."""

import json
import logging
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from mqvpn_core.errors import HostError
from mqvpn_core.ids import FourTuple, SocketAddress
from mqvpn_core.quic.trace import ConnectionStarted, DatagramTraced, TraceRecord
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.qlog_writer import INTERVAL, QlogLimits, QlogWriter
from tests.runtime.virtual_time import run_virtual

PATH = FourTuple(SocketAddress("192.0.2.1", 5), SocketAddress("203.0.113.1", 443))


class Connection:
    """Hands out what a test puts in."""

    def __init__(self, cid: bytes = b"\x01", *, is_client: bool = True) -> None:
        self.records: list[TraceRecord] = [
            ConnectionStarted(
                at=read_clock(),
                four_tuple=PATH,
                original_destination_cid=cid,
                is_client=is_client,
            )
        ]
        self.dropped = 0
        self.is_over = False

    def send(self, *sizes: int) -> None:
        self.records += [DatagramTraced(at=read_clock(), is_sent=True, size=size) for size in sizes]

    def take_trace(self) -> tuple[list[TraceRecord], int]:
        records, self.records = self.records, []
        dropped, self.dropped = self.dropped, 0
        return records, dropped


async def write_at_once(function: Callable[[], None]) -> None:
    """Stand in for a thread, which virtual time would not wait for."""
    function()


class Scene:
    """A writer at work."""

    def __init__(self, folder: Path, limits: QlogLimits) -> None:
        self.folder = folder
        self.writer = QlogWriter(
            folder, "0.1.0", lambda: 1_700_000_000 + read_clock(), limits, write_at_once
        )

    def follow(self, connection: Connection) -> Connection:
        self.writer.follow(connection, lambda: connection.is_over)
        return connection

    async def write(self) -> None:
        """Let a round pass."""
        await trio.sleep(2 * INTERVAL)


def tell(
    folder: Path, story: Callable[[Scene], Awaitable[None]], limits: QlogLimits | None = None
) -> None:
    async def main() -> None:
        scene = Scene(folder, limits or QlogLimits())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.writer.run)
            await story(scene)
            nursery.cancel_scope.cancel()

    run_virtual(main)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sizes(path: Path) -> list[int]:
    """Sizes of the datagrams in a trace; remarks are left out."""
    events = [json.loads(line) for line in path.read_bytes().split(b"\x1e")[1:]]
    return [
        event["data"]["raw"][0]["length"]
        for event in events
        if event.get("name") == "transport:datagrams_sent"
    ]


def remarks(path: Path) -> list[str]:
    events = [json.loads(line) for line in path.read_bytes().split(b"\x1e")[1:]]
    return [e["data"]["message"] for e in events if e.get("name") == "loglevel:warning"]


def test_every_connection_has_a_file_of_its_own_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "traces"

    async def story(scene: Scene) -> None:
        one = scene.follow(Connection(b"\x01"))
        other = scene.follow(Connection(b"\x02", is_client=False))
        one.send(10, 11)
        other.send(20)
        await scene.write()
        one.send(12)
        await scene.write()

    tell(folder, story)
    first, second = names(folder)
    assert first.endswith("_01_client.sqlog")
    assert second.endswith("_02_server.sqlog")
    assert sizes(folder / first) == [10, 11, 12]
    assert sizes(folder / second) == [20]
    head = json.loads((folder / first).read_bytes().split(b"\x1e")[1])
    assert head["trace"]["common_fields"]["reference_time"] == pytest.approx(1.7e12, rel=1e-6)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / first).stat().st_mode) == 0o600


def test_connections_that_share_a_name_do_not_share_a_file(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.follow(Connection())
        scene.follow(Connection())
        await scene.write()

    tell(tmp_path, story)
    assert len(names(tmp_path)) == 2


def test_what_is_left_is_written_when_a_connection_or_the_run_ends(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        over = scene.follow(Connection(b"\x01"))
        await scene.write()
        over.send(10)
        over.is_over = True
        await scene.write()
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the number counts
        last = scene.follow(Connection(b"\x02"))
        await scene.write()
        assert len(os.listdir("/proc/self/fd")) == before + 1  # noqa: PTH208 - see above
        last.send(20)  # the run ends before the next round

    tell(tmp_path, story)
    assert [sizes(tmp_path / name) for name in names(tmp_path)] == [[10], [20]]


def test_a_connection_of_which_nothing_came_has_no_file(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        connection = scene.follow(Connection())
        connection.records.clear()
        await scene.write()
        connection.is_over = True
        await scene.write()

    tell(tmp_path, story)
    assert names(tmp_path) == []


def test_dropped_records_leave_a_remark(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        connection = scene.follow(Connection())
        connection.dropped = 7
        await scene.write()

    tell(tmp_path, story)
    (name,) = names(tmp_path)
    assert remarks(tmp_path / name) == ["7 records are missing here: writing them took too long"]


@pytest.mark.parametrize(
    "limits", [QlogLimits(file_bytes=2000), QlogLimits(total_bytes=2000)], ids=["file", "total"]
)
def test_a_trace_ends_where_the_limit_is(
    tmp_path: Path, limits: QlogLimits, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(scene: Scene) -> None:
        connection = scene.follow(Connection())
        for size in range(200):
            connection.send(size)
            await scene.write()
        assert connection.records == []

    with caplog.at_level(logging.WARNING):
        tell(tmp_path, story, limits)
    (name,) = names(tmp_path)
    assert (tmp_path / name).stat().st_size < 2300
    assert sizes(tmp_path / name) == list(range(len(sizes(tmp_path / name))))
    (remark,) = remarks(tmp_path / name)
    assert "the trace ends here" in remark
    assert len(caplog.messages) == 1


def test_too_many_connections_are_not_traced_and_hold_no_memory(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        connections = [scene.follow(Connection(bytes([number]))) for number in range(5)]
        for connection in connections:
            connection.send(1)
        await scene.write()
        assert all(not connection.records for connection in connections)
        connections[0].is_over = True
        await scene.write()
        scene.follow(Connection(b"\x09"))
        await scene.write()

    tell(tmp_path, story, QlogLimits(files=2))
    assert [name.split("_")[1] for name in names(tmp_path)] == ["00", "01", "09"]


def test_a_disk_that_refuses_ends_the_trace_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "traces"

    async def story(scene: Scene) -> None:
        folder.rmdir()
        connection = scene.follow(Connection())
        await scene.write()
        connection.send(1)
        await scene.write()
        assert connection.records == []

    with caplog.at_level(logging.WARNING):
        tell(folder, story)
    (message,) = caplog.messages
    assert "No such file" in message


def test_a_directory_that_cannot_be_made_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match=r"qlog: .*Not a directory"):
        QlogWriter(tmp_path / "file" / "x", "0", lambda: 0.0)
