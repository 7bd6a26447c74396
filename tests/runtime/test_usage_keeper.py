"""Usage: counted at sockets, kept over restarts, measured against caps."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from mqvpn_core.errors import HostError
from mqvpn_core.runtime.rule_board import RuleBoard
from mqvpn_core.runtime.udp_sockets import UdpCounters
from mqvpn_core.runtime.usage_keeper import INTERVAL, SAVE_INTERVAL, UsageKeeper, UsageSettings
from mqvpn_core.tunnel.link_rules import LinkRules
from mqvpn_core.tunnel.link_usage import Usage
from tests.runtime.virtual_time import run_virtual

MEGA = 1_000_000


@dataclass
class FakeSocket:
    """Counts what a test says."""

    counters: UdpCounters = field(default_factory=UdpCounters)
    is_closed: bool = False

    def carry(self, size: int, *, count: int = 1) -> None:
        self.counters.sent_bytes += size
        self.counters.sent_count += count


class Scene:
    """A keeper with a calendar of its own; the file is written at once, without a thread."""

    def __init__(self, *caps: tuple[str, int], file: Path | None = None) -> None:
        self.month = "2026-11"
        self.written: list[dict[str, object]] = []
        self.refusal: OSError | None = None
        self.board = RuleBoard(LinkRules())
        settings = UsageSettings(file=file, caps=caps, month=lambda: self.month, save=self._save)
        self.keeper = UsageKeeper(settings, self.board)
        self.wwan, self.eth = FakeSocket(), FakeSocket()
        self.keeper.watch("wwan0", self.wwan, is_ipv6=False)
        self.keeper.watch("eth0", self.eth, is_ipv6=True)

    async def _save(self, path: Path, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if self.refusal is not None:
            raise self.refusal
        self._write(path, data)

    def _write(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        self.written.append(json.loads(data))

    @property
    def used_up(self) -> frozenset[str]:
        return self.board.rules.used_up

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.keeper.run)
            yield
            nursery.cancel_scope.cancel()


def test_packets_are_counted_with_their_headers() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            scene.wwan.carry(1000)
            scene.wwan.counters.received_bytes += 500
            scene.wwan.counters.received_count += 2
            scene.eth.carry(1000)
            await trio.sleep(2 * INTERVAL)
            assert scene.keeper.usage.bytes_by_link == {"wwan0": 1500 + 3 * 28, "eth0": 1048}
            await trio.sleep(10)
            assert scene.keeper.usage.bytes_by_link["eth0"] == 1048

    run_virtual(main)


def test_what_a_socket_carried_last_counts_although_it_is_closed() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            scene.wwan.carry(1000)
            scene.wwan.is_closed = True
            await trio.sleep(2 * INTERVAL)
            assert scene.keeper.usage.bytes_by_link["wwan0"] == 1028
            assert len(scene.keeper._meters) == 1

    run_virtual(main)


def test_a_cap_warns_then_ends_the_use_of_the_link(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        scene = Scene(("wwan*", 10 * MEGA))
        async with scene.running():
            scene.wwan.carry(8 * MEGA, count=0)
            scene.eth.carry(100 * MEGA)
            await trio.sleep(10)
            assert caplog.messages == ["wwan0 has carried 80 % of its 10 MB a month"]
            assert scene.used_up == frozenset()
            scene.wwan.carry(2 * MEGA, count=0)
            await trio.sleep(10)
            assert caplog.messages[1:] == [
                "wwan0 has carried its 10 MB of this month and is not used any more"
            ]
            assert scene.used_up == {"wwan0"}
            scene.month = "2026-12"
            await trio.sleep(2 * INTERVAL)
            assert scene.used_up == frozenset()

    run_virtual(main)


def test_caps_change_while_running() -> None:
    async def main() -> None:
        scene = Scene(("wwan0", MEGA))
        async with scene.running():
            scene.wwan.carry(2 * MEGA)
            await trio.sleep(2 * INTERVAL)
            assert scene.used_up == {"wwan0"}
            scene.keeper.set_cap("wwan0", 5 * MEGA)
            assert scene.used_up == frozenset()
            scene.keeper.set_cap("wwan*", MEGA)
            assert scene.used_up == frozenset(), "a plain name counts before any pattern"
            scene.keeper.set_cap("wwan0", None)
            assert scene.used_up == {"wwan0"}

    run_virtual(main)


def test_usage_is_saved_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "usage.json"

    async def main() -> None:
        scene = Scene(file=file)
        async with scene.running():
            scene.wwan.carry(972)
            await trio.sleep(SAVE_INTERVAL + 1.5 * INTERVAL)
            assert [each["bytes"] for each in scene.written] == [{"eth0": 0, "wwan0": 1000}]
            await trio.sleep(3 * SAVE_INTERVAL)
            assert len(scene.written) == 1, "nothing has changed"
            scene.eth.carry(952)
        assert scene.written[-1]["bytes"] == {"eth0": 1000, "wwan0": 1000}
        again = Scene(file=file)
        again.keeper.load()
        assert again.keeper.usage == scene.keeper.usage

    run_virtual(main)


def test_reaching_a_cap_is_saved_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        scene = Scene(("wwan0", MEGA), file=tmp_path / "usage.json")
        async with scene.running():
            scene.wwan.carry(MEGA)
            await trio.sleep(2 * INTERVAL)
            assert len(scene.written) == 1

    run_virtual(main)


def test_a_disk_that_refuses_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        scene = Scene(file=tmp_path / "usage.json")
        scene.refusal = OSError(28, "No space left on device")
        async with scene.running():
            scene.wwan.carry(1)
            await trio.sleep(SAVE_INTERVAL * 1.5)
            assert "No space left" in caplog.text
            scene.refusal = None
        assert len(scene.written) == 1

    run_virtual(main)


def test_without_a_file_nothing_is_written() -> None:
    async def main() -> None:
        scene = Scene()
        scene.keeper.load()
        async with scene.running():
            scene.wwan.carry(1)
            await trio.sleep(SAVE_INTERVAL * 2)
        assert scene.written == []

    run_virtual(main)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 100_000,
        "[]",
        '{"version": 0, "month": "2026-11", "bytes": {}}',
        '{"version": 1, "month": 11, "bytes": {}}',
        '{"version": 1, "month": "2026-11", "bytes": []}',
        '{"version": 1, "month": "2026-11", "bytes": {"a": -1}}',
        '{"version": 1, "month": "2026-11", "bytes": {"a": true}}',
        '{"version": 1, "month": "2026-11", "bytes": {"a": "1"}}',
        '{"version": 1, "month": "2026-11", "bytes": {"a": 1e300}}',
        '{"version": 1, "month": "2026-11", "bytes": {"a": 99999999999999999999}}',
        " " * (1 << 20) + "{}",
    ],
    ids=lambda text: text[:60].strip() or "blank",
)
def test_a_damaged_file_begins_anew(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "usage.json"
    file.write_text(text)
    scene = Scene(file=file)
    scene.keeper.load()
    assert scene.keeper.usage.bytes_by_link == {}
    assert "cannot be used" in caplog.text


def test_a_file_of_a_newer_version_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "usage.json"
    file.write_text('{"version": 2, "bytes": "otherwise"}')
    Scene(file=file).keeper.load()
    assert f"written by a newer mqvpn, kept as {file}.newer" in caplog.text
    assert "otherwise" in (tmp_path / "usage.json.newer").read_text()


def test_a_file_that_is_not_there_is_no_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Scene(file=tmp_path / "usage.json").keeper.load()
    assert caplog.text == ""


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="--usage-file"):
        Scene(file=tmp_path).keeper.load()


def test_the_real_file_is_private(tmp_path: Path) -> None:
    file = tmp_path / "new" / "usage.json"

    async def main() -> None:
        keeper = UsageKeeper(UsageSettings(file=file, month=lambda: "m"), RuleBoard(LinkRules()))
        with trio.move_on_after(0.01):
            await keeper.run()

    trio.run(main)
    assert json.loads(file.read_text()) == {"version": 1, "month": "m", "bytes": {}}
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_usage_of_earlier_runs_can_be_handed_over() -> None:
    scene = Scene(("wwan0", 100 * MEGA))
    scene.wwan.carry(10 * MEGA)
    earlier = Usage(month="2026-11", bytes_by_link={"wwan0": 95 * MEGA, "eth0": 1})
    scene.keeper.adopt(earlier)
    assert scene.keeper.usage.bytes_by_link["wwan0"] > 105 * MEGA
    assert scene.keeper.usage.bytes_by_link["eth0"] == 1
    assert scene.used_up == {"wwan0"}


def test_usage_of_another_month_does_not_count() -> None:
    scene = Scene(("wwan0", 100 * MEGA))
    scene.keeper.adopt(Usage(month="2026-10", bytes_by_link={"wwan0": 95 * MEGA}))
    assert scene.keeper.usage.bytes_by_link.get("wwan0", 0) == 0
    assert scene.used_up == frozenset()
