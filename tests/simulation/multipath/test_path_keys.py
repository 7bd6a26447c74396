"""One set of keys for all paths (RFC 10069 s2.4, s2.5; RFC 9001 s6)."""

from itertools import pairwise

import pytest

from mqvpn_core.ids import PathId
from mqvpn_core.quic import key_phases, key_schedule
from mqvpn_core.quic.events import KeysUpdated
from mqvpn_core.quic.key_schedule import AeadLimits
from mqvpn_core.testing.link_elements import Delay
from mqvpn_core.wire.code_points import TransportErrorCode as E
from tests.simulation.multipath.scene import PING, ROLES, Liar, both_roles, opened, scene_over

ONE = PathId(1)
UNEQUAL = [(Delay(0.005),), (Delay(0.15),), (Delay(0.06),)]


def other(role: str) -> str:
    return "server" if role == "client" else "client"


@both_roles
def test_mp_19_the_whole_packet_number_is_in_the_nonce(role: str) -> None:
    """A number far beyond what its four bytes can say opens only if both sides extend it."""
    with opened(2, watched=False) as scene:
        liar = Liar(scene, role)
        liar.deafen()
        path = liar.victim.connection._paths[ONE]
        for number in (1 << 20, 1 << 30, 1 << 31, 3 << 30, (1 << 32) + 7, 5 << 30):
            liar.forge(PING * 20, path_id=1, number=number, seconds=0.05)
            assert path.received.largest == number


@both_roles
def test_mp_20_a_packet_opens_under_its_own_path_id_only(role: str) -> None:
    with opened(3, watched=False) as scene:
        liar = Liar(scene, role)
        before = liar.victim.connection.statistics().undecryptable_packets
        liar.forge(PING * 20, path_id=1, nonce_path_id=2)
        liar.forge(PING * 20, path_id=2, nonce_path_id=0)
        liar.forge(PING * 20, path_id=0, nonce_path_id=1)
        assert liar.victim.connection.statistics().undecryptable_packets == before + 3
        scene.assert_alive()


@pytest.mark.slow
@both_roles
def test_mp_21_the_next_update_waits_for_the_slowest_path(role: str) -> None:
    """Three times the largest PTO after the last one was confirmed, however fast path 0 is."""
    with scene_over(UNEQUAL) as scene:
        peer = scene.peer(role)
        peer.request_key_update(scene.simulator.now)
        for _ in range(100):
            scene.ping("client", 0)
            scene.ping("server", 0)
            peer.request_key_update(scene.simulator.now)
            scene.run(0.05)
        starts: dict[int, float] = {}
        for packet in scene.rules.wiretap.of(is_from_client=role == "client"):
            starts.setdefault(packet.key_phase, packet.sent_at)
        times = [starts[phase] for phase in sorted(starts)][1:]
        assert len(times) >= 2
        largest = max(
            path.current.recovery.probe_timeout() for path in peer.connection._paths.values()
        )
        assert largest > 0.3
        for earlier, later in pairwise(times):
            assert later - earlier >= 2.5 * largest


@pytest.mark.slow
@both_roles
def test_mp_22_packets_of_the_slowest_path_still_open_after_an_update(role: str) -> None:
    """What is in flight when the keys change, in both directions, is not lost."""
    with scene_over(UNEQUAL) as scene:
        before = {
            name: scene.peer(name).connection.statistics().undecryptable_packets for name in ROLES
        }
        for _ in range(12):
            for name in ROLES:
                for path_id in (0, 1, 2):
                    scene.ping(name, path_id)
            scene.peer(role).request_key_update(scene.simulator.now)
            scene.run(0.3)
        scene.run(2.0)
        phases = {packet.key_phase for packet in scene.rules.wiretap.packets}
        assert len(phases) >= 3
        for name in ROLES:
            connection = scene.peer(name).connection
            assert connection.statistics().undecryptable_packets == before[name]
            assert sum(path.lost_packets for path in scene.peer(name).paths.values()) == 0


@both_roles
def test_mp_23_one_update_changes_the_phase_of_all_paths(role: str) -> None:
    with scene_over(UNEQUAL) as scene:
        scene.peer(role).request_key_update(scene.simulator.now)
        scene.run(0.001)
        for path_id in (0, 1, 2):
            scene.ping(role, path_id)
        scene.run(2.0)
        for path_id in (0, 1, 2):
            scene.ping(role, path_id)
            scene.ping(other(role), path_id)
        scene.run(1.0)
        for path_id in (0, 1, 2):
            for is_client in (True, False):
                sent = scene.rules.wiretap.of(is_from_client=is_client, path_id=path_id)
                assert sent[-1].key_phase == 1
                phases = [packet.key_phase for packet in sent]
                assert phases == sorted(phases)
        for name in ROLES:
            (event,) = scene.peer(name).events_of(KeysUpdated)
            assert event.initiated_locally is (name == role)


def test_both_ends_update_at_once_over_unequal_paths() -> None:
    with scene_over(UNEQUAL) as scene:
        for _ in range(6):
            for name in ROLES:
                scene.peer(name).request_key_update(scene.simulator.now)
                for path_id in (0, 1, 2):
                    scene.ping(name, path_id)
            scene.run(1.0)
        for name in ROLES:
            updates = scene.peer(name).events_of(KeysUpdated)
            assert [event.key_phase for event in updates] == list(range(1, len(updates) + 1))
            assert scene.peer(name).connection.statistics().undecryptable_packets == 0
        scene.assert_alive()


def limit_keys(monkeypatch: pytest.MonkeyPatch, *, seals: int, forgeries: int) -> None:
    limits = AeadLimits(confidentiality=seals, integrity=forgeries)
    for module in (key_phases, key_schedule):
        monkeypatch.setattr(module, "aead_limits", lambda _suite: limits)


@pytest.mark.slow
def test_mp_97_the_limits_count_packets_of_all_paths_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each path alone stays far below the limit; together they make an update necessary."""
    limit_keys(monkeypatch, seals=2_400, forgeries=1 << 36)
    with opened(4) as scene:
        for _ in range(340):
            for path_id in range(4):
                scene.ping("client", path_id)
            scene.run(0.02)
        updates = scene.client.events_of(KeysUpdated)
        assert updates
        assert updates[0].initiated_locally
        sent = scene.rules.wiretap.of(is_from_client=True)
        in_phase_0 = [packet for packet in sent if packet.key_phase == 0]
        assert 1_100 < len(in_phase_0) < 1_400
        by_path = [packet for packet in in_phase_0 if packet.path_id == 1]
        assert len(by_path) < 600


def test_mp_97_forgeries_on_any_path_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_keys(monkeypatch, seals=1 << 23, forgeries=30)
    with opened(3, watched=False) as scene:
        liar = Liar(scene, "client")
        for index in range(40):
            path_id = index % 3
            liar.forge(PING * 20, path_id=path_id, nonce_path_id=7, seconds=0.001)
            if scene.server.connection.is_ending:
                break
        scene.run(0.1)
        liar.assert_victim_closes(E.AEAD_LIMIT_REACHED)


@both_roles
def test_mp_105_old_keys_after_new_ones_are_an_error_on_each_path(role: str) -> None:
    """RFC 9001 s6.4, for each packet number space: KEY_UPDATE_ERROR."""
    with opened(3, watched=False) as scene:
        liar = Liar(scene, role)
        protection = liar.connection._protection
        old = protection._send
        assert old is not None
        liar.own.request_key_update(scene.simulator.now)
        scene.run(0.001)
        for path_id in (0, 1, 2):
            scene.ping(role, path_id)
        scene.run(0.1)
        newest = liar.victim.connection._paths[ONE].received.largest
        current, protection._send = protection._send, old
        protection.send_key_phase -= 1
        # A late packet is fine; one with a higher number than a new one is not.
        liar.forge(PING * 20, path_id=2, number=0, seconds=0.01)
        assert liar.victim.termination is None
        liar.forge(PING * 20, path_id=1, number=newest + 10, seconds=0.0)
        protection._send = current
        protection.send_key_phase += 1
        scene.run(0.2)
        liar.assert_victim_closes(E.KEY_UPDATE_ERROR)
