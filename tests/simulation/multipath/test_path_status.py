"""PATH_STATUS_AVAILABLE and PATH_STATUS_BACKUP (RFC 10069 s3.3, s4.3)."""

from collections import Counter

import pytest

from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.ids import PathId
from mqvpn_core.quic.events import PathStatusChanged, PathUseChanged
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.wire.code_points import FrameType as F
from mqvpn_core.wire.path_frames import PathStatusAvailable, PathStatusBackup
from tests.simulation.multipath.scene import Liar, Scene, both_roles, opened

STATUS_TYPES = (F.PATH_STATUS_AVAILABLE, F.PATH_STATUS_BACKUP)
ONE, TWO, THREE = PathId(1), PathId(2), PathId(3)


def other(role: str) -> str:
    return "server" if role == "client" else "client"


def statuses(scene: Scene, role: str) -> list[tuple[int, ...]]:
    """Kind, path ID and sequence number of every status frame that an end has sent."""
    return [
        (kind, *fields)
        for packet in scene.rules.wiretap.of(is_from_client=role == "client")
        for kind in STATUS_TYPES
        for fields in packet.fields(kind, 2)
    ]


def backup(path_id: int, number: int) -> PathStatusBackup:
    return PathStatusBackup(path_id=PathId(path_id), sequence_number=number)


def available(path_id: int, number: int) -> PathStatusAvailable:
    return PathStatusAvailable(path_id=PathId(path_id), sequence_number=number)


@both_roles
def test_mp_62_numbers_grow_on_each_path_in_one_space_for_both_kinds(role: str) -> None:
    with opened(3) as scene:
        peer = scene.peer(role)
        for use in (PathUse.BACKUP, PathUse.PRIMARY, PathUse.BACKUP):
            peer.set_path_use(ONE, use)
            scene.run(0.2)
        peer.set_path_use(TWO, PathUse.BACKUP)
        scene.run(0.2)
        assert statuses(scene, role) == [
            (F.PATH_STATUS_BACKUP, 1, 0),
            (F.PATH_STATUS_AVAILABLE, 1, 1),
            (F.PATH_STATUS_BACKUP, 1, 2),
            (F.PATH_STATUS_BACKUP, 2, 0),
        ]
        assert scene.peer(other(role)).events_of(PathStatusChanged) == [
            PathStatusChanged(path_id=ONE, is_backup=True),
            PathStatusChanged(path_id=ONE, is_backup=False),
            PathStatusChanged(path_id=ONE, is_backup=True),
            PathStatusChanged(path_id=TWO, is_backup=True),
        ]
        assert [event.use for event in peer.events_of(PathUseChanged)] == [
            PathUse.BACKUP,
            PathUse.PRIMARY,
            PathUse.BACKUP,
            PathUse.BACKUP,
        ]
        assert scene.peer(other(role)).paths[ONE].peer_is_backup
        assert not peer.paths[ONE].peer_is_backup


def test_a_use_that_is_no_status_is_not_told() -> None:
    with opened(3) as scene:
        scene.client.set_path_use(ONE, PathUse.SECONDARY)
        scene.client.set_path_use(ONE, PathUse.PRIMARY)
        scene.client.set_path_use(ONE, PathUse.PRIMARY)
        scene.run(0.2)
        assert statuses(scene, "client") == []
        with pytest.raises(LocalProtocolError):
            scene.client.set_path_use(PathId(9), PathUse.BACKUP)


@both_roles
def test_mp_63_a_status_that_is_not_newer_is_ignored(role: str) -> None:
    with opened(3, watched=False) as scene:
        liar = Liar(scene, role)
        liar.say(backup(1, 5))
        assert liar.victim.paths[ONE].peer_is_backup
        for frame in (available(1, 5), available(1, 4), available(1, 0)):
            liar.say(frame, seconds=0.05)
            assert liar.victim.paths[ONE].peer_is_backup
        # Each path counts for itself.
        liar.say(backup(2, 1))
        assert liar.victim.paths[TWO].peer_is_backup
        liar.say(available(1, 6))
        assert not liar.victim.paths[ONE].peer_is_backup
        assert liar.victim.paths[TWO].peer_is_backup


@both_roles
def test_mp_64_only_the_last_status_is_sent_again(role: str) -> None:
    """Three changes of mind are lost together: the last one is what the peer must learn."""
    with opened(2) as scene:
        peer = scene.peer(role)
        for index in (0, 1):
            scene.pair.link(index).is_up = False
        for use in (PathUse.BACKUP, PathUse.PRIMARY, PathUse.BACKUP):
            peer.set_path_use(ONE, use)
            scene.run(0.002)
        for index in (0, 1):
            scene.pair.link(index).is_up = True
        scene.until(lambda: scene.peer(other(role)).paths[ONE].peer_is_backup, limit=5.0)
        scene.run(2.0)
        numbers = Counter(number for _, path_id, number in statuses(scene, role) if path_id == ONE)
        assert numbers[0] == 1
        assert max(numbers) >= 2
        assert numbers[max(numbers)] >= 1
        changes = scene.peer(other(role)).events_of(PathStatusChanged)
        assert [event for event in changes if event.path_id == ONE][-1].is_backup


@both_roles
def test_mp_65_a_status_may_come_before_the_path(role: str) -> None:
    with opened(2, watched=False) as scene:
        liar = Liar(scene, role)
        liar.say(backup(2, 0))
        assert scene.pair.open(1) == 2
        scene.run(0.5)
        assert liar.victim.paths[TWO].state == "active"
        assert liar.victim.paths[TWO].peer_is_backup
        assert not liar.own.paths[TWO].peer_is_backup


def test_mp_66_a_broken_path_is_no_longer_recommended() -> None:
    """The peer learns it over the path that works, and when it works again, too."""
    with opened(2) as scene:
        scene.pair.link(0).is_up = False
        scene.ping("client", 0)
        scene.until(lambda: bool(statuses(scene, "client")), limit=2.0)
        (kind, path_id, number) = statuses(scene, "client")[0]
        assert (kind, path_id, number) == (F.PATH_STATUS_BACKUP, 0, 0)
        scene.run(0.2)
        assert scene.server.paths[PathId(0)].peer_is_backup
        scene.pair.link(0).is_up = True
        scene.until(lambda: not scene.server.paths[PathId(0)].peer_is_backup, limit=2.0)
        assert scene.client.paths[PathId(0)].state == "active"
        scene.assert_alive()


def test_mp_66_a_backup_stays_one_when_it_recovers() -> None:
    with opened(2) as scene:
        scene.client.set_path_use(ONE, PathUse.BACKUP)
        scene.pair.link(1).is_up = False
        scene.ping("client", 1)
        scene.run(2.0)
        assert scene.client.paths[ONE].state == "suspect"
        scene.pair.link(1).is_up = True
        scene.until(lambda: scene.client.paths[ONE].state == "active", limit=2.0)
        scene.run(0.5)
        assert scene.server.paths[ONE].peer_is_backup


@both_roles
def test_mp_67_where_all_paths_are_backups_any_is_used(role: str) -> None:
    with opened(3) as scene:
        for path_id in (0, 1, 2):
            scene.peer(other(role)).set_path_use(PathId(path_id), PathUse.BACKUP)
        scene.run(0.5)
        before = {path_id: path.sent_bytes for path_id, path in scene.peer(role).paths.items()}
        scene.say(role, 50, 1000)
        scene.run(0.5)
        assert len(scene.peer(other(role)).received_datagrams) == 50
        used = [
            path_id
            for path_id, path in scene.peer(role).paths.items()
            if path.sent_bytes > before[path_id] + 1000
        ]
        assert used


@both_roles
def test_mp_67_the_wish_counts_for_one_direction(role: str) -> None:
    """The peer of the one who wishes obeys; the other direction is free."""
    with opened(2) as scene:
        wisher, obeyer = scene.peer(role), scene.peer(other(role))
        wisher.set_path_use(PathId(0), PathUse.BACKUP)
        scene.run(0.5)
        assert obeyer.paths[PathId(0)].peer_is_backup
        assert not wisher.paths[PathId(0)].peer_is_backup
        before = obeyer.paths[PathId(0)].sent_bytes
        obeyer.send_datagrams([bytes(1000)] * 20, scene.simulator.now)
        scene.run(0.5)
        assert len(wisher.received_datagrams) == 20
        assert obeyer.paths[PathId(0)].sent_bytes - before < 1000
