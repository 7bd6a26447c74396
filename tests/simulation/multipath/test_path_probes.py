"""Asking every path at once whether it works, as a client does after the machine was asleep."""

from mqvpn_core.quic.statistics import PathStatistics
from mqvpn_core.testing.pair import Peer
from mqvpn_core.wire.code_points import FrameType as F
from tests.simulation.multipath.scene import opened

QUIET = 3.0


def test_every_path_is_asked_and_answers() -> None:
    with opened(3) as scene:
        scene.run(QUIET)
        before = {path.path_id: path.last_received_at for path in _paths(scene.client)}
        sent = len(scene.rules.wiretap.of(is_from_client=True, frame_type=F.PING))
        asked_at = scene.simulator.now
        scene.client.connection.probe_paths()
        scene.client._on_command()
        scene.run(0.5)
        pings = scene.rules.wiretap.of(is_from_client=True, frame_type=F.PING)[sent:]
        assert {packet.path_id for packet in pings} == {0, 1, 2}
        for path in _paths(scene.client):
            assert path.last_received_at > max(asked_at, before[path.path_id])


def _paths(peer: Peer) -> tuple[PathStatistics, ...]:
    return peer.connection.statistics().paths
