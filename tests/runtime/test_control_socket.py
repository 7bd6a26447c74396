"""The control socket: who may bind it, who may read it, and what hostile readers cannot do."""

import logging
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.lowlevel
import trio.testing

from mqvpn_core.app.control_client import fetch_status, find_socket
from mqvpn_core.errors import HostError
from mqvpn_core.runtime.control_codec import (
    MAX_REPLY_BYTES,
    MAX_REQUEST_BYTES,
    ErrorReply,
    JsonValue,
    StatusReply,
    StatusRequest,
    decode_reply,
    encode_request,
)
from mqvpn_core.runtime.control_readers import IDLE_TIMEOUT, MAX_READERS, ControlSources
from mqvpn_core.runtime.control_socket import serve_control
from mqvpn_core.runtime.event_log import EventLog

ASK = encode_request(StatusRequest())
STATUS: JsonValue = {"state": "connected"}


def sources(get_status: Callable[[], JsonValue] = lambda: None) -> ControlSources:
    return ControlSources(status=get_status, events=EventLog(lambda: 0.0, log_level=logging.DEBUG))


def serving(
    path: Path,
    body: Callable[[], Awaitable[None]],
    *,
    get_status: Callable[[], JsonValue] = lambda: STATUS,
    autojump: bool = False,
) -> None:
    """Run ``body`` while the status is served on ``path``."""

    async def main() -> None:
        with trio.fail_after(3600 if autojump else 10):
            async with trio.open_nursery() as nursery:
                await nursery.start(serve_control, path, sources(get_status))
                await body()
                nursery.cancel_scope.cancel()

    clock = trio.testing.MockClock(autojump_threshold=0.01) if autojump else None
    trio.run(main, clock=clock)


async def receive_line(stream: trio.SocketStream) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        data = await stream.receive_some()
        if not data:
            break
        line += data
    return line


def test_status_is_answered_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "s"
    counts = iter(range(10))

    async def body() -> None:
        async with await trio.open_unix_socket(path) as stream:
            for expected in range(3):
                await stream.send_all(ASK)
                assert decode_reply(await receive_line(stream)) == StatusReply(status=expected)

    serving(path, body, get_status=lambda: next(counts))


def test_requests_may_arrive_in_pieces_or_together(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def body() -> None:
        async with await trio.open_unix_socket(path) as stream:
            for byte in ASK:
                await stream.send_all(bytes([byte]))
                await trio.lowlevel.checkpoint()
            assert decode_reply(await receive_line(stream)) == StatusReply(status=STATUS)
            await stream.send_all(ASK * 5)
            answers = b""
            while answers.count(b"\n") < 5:
                answers += await stream.receive_some()
            assert all(
                decode_reply(line) == StatusReply(status=STATUS) for line in answers.splitlines()
            )

    serving(path, body)


def test_asking_side_gets_the_status(tmp_path: Path) -> None:
    path = tmp_path / "mqvpn0.sock"

    async def body() -> None:
        assert await trio.to_thread.run_sync(fetch_status, path) == STATUS
        assert find_socket(tmp_path) == path

    serving(path, body)


def test_large_status_arrives_whole(tmp_path: Path) -> None:
    path = tmp_path / "s"
    large: JsonValue = {"clients": ["x" * 100] * 10_000}

    async def body() -> None:
        assert await trio.to_thread.run_sync(fetch_status, path) == large

    serving(path, body, get_status=lambda: large)


def test_socket_is_for_its_owner_alone_and_goes_with_the_process(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "s"
    before = os.umask(0)

    async def body() -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    try:
        serving(path, body)
        assert os.umask(0) == 0, "the umask is as before"
    finally:
        os.umask(before)
    assert not path.exists()


def test_socket_of_a_dead_process_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()

    async def body() -> None:
        assert await trio.to_thread.run_sync(fetch_status, path) == STATUS

    serving(path, body)


def test_socket_of_a_live_process_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def body() -> None:
        with pytest.raises(HostError, match=f"process {os.getpid()} already serves it"):
            await serve_control(path, sources())
        assert await trio.to_thread.run_sync(fetch_status, path) == STATUS

    serving(path, body)


def test_busy_socket_of_a_live_process_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen(0)
        with socket.socket(socket.AF_UNIX) as waiting:
            waiting.connect(str(path))  # fills the queue
            with pytest.raises(HostError, match="another process already serves it"):
                trio.run(partial(serve_control, path, sources()))
    assert path.exists()


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
def test_other_things_at_the_path_are_not_touched(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "s"
    make(path)
    with pytest.raises(HostError, match="no socket; not touched"):
        trio.run(partial(serve_control, path, sources()))
    assert path.exists()


def test_path_too_long_for_a_socket_is_said(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="longer than 107 bytes"):
        trio.run(partial(serve_control, tmp_path / ("x" * 108), sources()))


def test_directory_that_cannot_be_made_is_said_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="--control-socket off"):
        trio.run(partial(serve_control, tmp_path / "file" / "s", sources()))


def test_successor_keeps_its_socket_when_we_end(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as successor:

        async def body() -> None:
            path.unlink()
            successor.bind(str(path))

        serving(path, body)
        assert path.exists()


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (b"hello\n", "not JSON"),
        (b'{"version":1,"command":"reboot"}\n', "unknown command"),
        (b"x" * (MAX_REQUEST_BYTES * 2), "longer than"),
    ],
)
def test_malformed_request_is_answered_and_the_reader_dismissed(
    tmp_path: Path, sent: bytes, says: str
) -> None:
    path = tmp_path / "s"

    async def body() -> None:
        async with await trio.open_unix_socket(path) as stream:
            await stream.send_all(sent)
            answer = decode_reply(await receive_line(stream))
            assert isinstance(answer, ErrorReply)
            assert says in answer.reason
            with suppress(trio.BrokenResourceError):  # a reset, because of what it left unread
                assert await stream.receive_some() == b""
        assert await trio.to_thread.run_sync(fetch_status, path) == STATUS

    serving(path, body)


def test_silent_reader_is_dismissed(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def body() -> None:
        async with await trio.open_unix_socket(path) as stream:
            start = trio.current_time()
            assert await stream.receive_some() == b""
            assert trio.current_time() - start == pytest.approx(IDLE_TIMEOUT)

    serving(path, body, autojump=True)


def test_reader_that_does_not_take_its_answers_is_dismissed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    large: JsonValue = "x" * 1_000_000

    async def body() -> None:
        async with await trio.open_unix_socket(path) as stream:
            await stream.send_all(ASK * 10)
            await trio.sleep(IDLE_TIMEOUT + 1)
            received = 0
            try:
                while data := await stream.receive_some():
                    received += len(data)
            except trio.BrokenResourceError:
                pass  # reset, because of our unread requests
            assert received < 1_000_000

    serving(path, body, get_status=lambda: large, autojump=True)


def test_reader_that_vanishes_hurts_nobody(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def body() -> None:
        for _ in range(20):
            stream = await trio.open_unix_socket(path)
            await stream.send_all(ASK * 100)
            await stream.aclose()
        assert await trio.to_thread.run_sync(fetch_status, path) == STATUS

    serving(path, body)


def test_readers_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def body() -> None:
        readers = [await trio.open_unix_socket(path) for _ in range(MAX_READERS)]
        for reader in readers:
            await reader.send_all(ASK)
            await receive_line(reader)
        with pytest.raises(HostError):
            await trio.to_thread.run_sync(fetch_status, path)
        await readers[0].aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert await trio.to_thread.run_sync(fetch_status, path) == STATUS
        for reader in readers:
            await reader.aclose()

    serving(path, body)


_STRANGER = """
import os, socket, sys
os.setgid(65534); os.setuid(65534)
with socket.socket(socket.AF_UNIX) as s:
    s.settimeout(5)
    s.connect(sys.argv[1])
    try:
        s.sendall(sys.argv[2].encode() + b"\\n")
        print(s.recv(1000))
    except (BrokenPipeError, ConnectionResetError):
        print(b"")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_other_users_get_nothing_even_when_they_may_connect() -> None:
    path = Path(f"/tmp/mqvpn-test-{os.getpid()}.sock")  # noqa: S108 - others must reach it

    async def body() -> None:
        os.chmod(path, 0o666)  # noqa: PTH101, S103 - for the test to mean anything
        ask = partial(
            subprocess.run,
            [sys.executable, "-c", _STRANGER, str(path), ASK.decode().strip()],
            capture_output=True,
            text=True,
            check=True,
        )
        result = await trio.to_thread.run_sync(ask)
        assert result.stdout == "b''\n"

    serving(path, body)


def test_nobody_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"no such socket; is mqvpn running\?"):
        fetch_status(tmp_path / "gone")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    with pytest.raises(HostError, match="nobody serves this socket any more"):
        fetch_status(tmp_path / "dead")
    with pytest.raises(HostError, match="AF_UNIX path too long"):
        fetch_status(tmp_path / ("x" * 200))


def test_finding_needs_exactly_one(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no mqvpn is running"):
        find_socket(tmp_path / "gone")
    with pytest.raises(HostError, match="no mqvpn is running"):
        find_socket(tmp_path)
    (tmp_path / "mqvpn0.sock").touch()
    (tmp_path / "mqvpn1.sock").touch()
    with pytest.raises(HostError, match="choose one of mqvpn0, mqvpn1 with --tun-name"):
        find_socket(tmp_path)


def test_status_too_large_to_send_is_said(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def body() -> None:
        with pytest.raises(HostError, match="exceeds"):
            await trio.to_thread.run_sync(fetch_status, path)

    serving(path, body, get_status=lambda: "x" * MAX_REPLY_BYTES)


@pytest.mark.slow
def test_a_crowd_is_turned_away_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def body() -> None:
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the number counts
        for _ in range(40):
            crowd = [await trio.open_unix_socket(path) for _ in range(50)]
            for stream in crowd:
                with suppress(trio.BrokenResourceError):
                    await stream.send_all(b'{"version":1,"comm')
            for stream in crowd:
                await stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert await trio.to_thread.run_sync(fetch_status, path) == STATUS
        assert len(os.listdir("/proc/self/fd")) <= before + 1  # noqa: PTH208 - see above

    serving(path, body)
