"""The lease table reaches the disk soon after a change, and at the end."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
import trio

from mqvpn_core.errors import HostError
from mqvpn_core.masque.address_pool import AddressPool, LeaseRecord
from mqvpn_core.runtime.lease_keeper import SAVE_DELAY, LeaseKeeper
from mqvpn_core.runtime.lease_store import load_leases


def pools() -> tuple[AddressPool, ...]:
    return (AddressPool(IPv4Network("10.0.0.0/24")), AddressPool(IPv6Network("fd00::/64")))


class Disk:
    """Remembers what was written."""

    def __init__(self) -> None:
        self.tables: list[tuple[LeaseRecord, ...]] = []
        self.is_full = False

    def save(self, path: Path, records: tuple[LeaseRecord, ...]) -> None:
        del path
        if self.is_full:
            raise HostError("lease file: No space left on device")
        self.tables.append(records)


@pytest.mark.slow
def test_changes_are_written_together_and_the_last_ones_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mqvpn_core.runtime.lease_keeper.SAVE_DELAY", 0.05)
    disk = Disk()
    own = pools()
    keeper = LeaseKeeper(Path("leases"), own, disk.save)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keeper.run)
            for number in range(5):
                own[0].acquire(f"user{number}")
                keeper.note_change()
            await trio.sleep(0.3)
            assert [len(table) for table in disk.tables] == [5]
            own[1].acquire("late")
            keeper.note_change()
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert [len(table) for table in disk.tables] == [5, 6]
    assert disk.tables[-1][-1].address.startswith("fd00::")


def test_nothing_changed_writes_nothing() -> None:
    disk = Disk()
    keeper = LeaseKeeper(Path("leases"), pools(), disk.save)

    async def main() -> None:
        with trio.move_on_after(0.05):
            await keeper.run()

    trio.run(main)
    assert disk.tables == []
    assert SAVE_DELAY > 0


def test_a_full_disk_is_reported_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()
    disk.is_full = True
    keeper = LeaseKeeper(Path("leases"), pools(), disk.save)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keeper.run)
            keeper.note_change()
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert "No space left" in caplog.text


def test_an_address_is_found_again_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "leases.json"
    first = pools()
    keeper = LeaseKeeper(path, first)
    given = first[0].acquire("alice")
    assert given is not None
    first[0].acquire("bob")

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keeper.run)
            keeper.note_change()
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert len(load_leases(path)) == 2
    second = pools()
    assert LeaseKeeper(path, second).load() == 2
    again = second[0].acquire("alice")
    assert again is not None
    assert again.address == given.address


def test_without_a_file_leases_stay_in_memory() -> None:
    keeper = LeaseKeeper(None, pools())
    assert keeper.load() == 0

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keeper.run)
            keeper.note_change()
            nursery.cancel_scope.cancel()

    trio.run(main)
