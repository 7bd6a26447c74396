"""Connection IDs that lead to one of several processes, and say nothing else."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.quic.connection_steering import KEY_BYTES, ConnectionSteering, SteeringKey
from mqvpn_core.testing.entropy import SeededEntropy

KEYS = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES).map(SteeringKey.from_bytes)


def _steering(own: int, count: int = 4) -> ConnectionSteering:
    key = SteeringKey.from_bytes(SeededEntropy(3, "key")(KEY_BYTES))
    return ConnectionSteering(key=key, count=count, own=own)


@given(key=KEYS, count=st.integers(1, 64), data=st.data())
def test_new_ids_lead_to_their_maker(key: SteeringKey, count: int, data: st.DataObject) -> None:
    own = data.draw(st.integers(0, count - 1))
    steering = ConnectionSteering(key=key, count=count, own=own)
    seed = data.draw(st.integers(0, 1000))
    made = steering.new_connection_id(SeededEntropy(seed, "ids"))
    assert len(made) == 8
    assert steering.worker_of(made) == own
    assert steering.is_own(made)


def test_random_ids_spread_evenly() -> None:
    entropy = SeededEntropy(5, "clients")
    found = Counter(_steering(0).worker_of(entropy(8)) for _ in range(4000))
    assert len(found) == 4
    assert min(found.values()) > 900


def test_ids_of_one_process_have_nothing_in_common() -> None:
    """Each bit is as often 1 as 0, so nothing in it says where it leads."""
    steering, entropy = _steering(2), SeededEntropy(6, "ids")
    made = [int.from_bytes(steering.new_connection_id(entropy)) for _ in range(2000)]
    for bit in range(64):
        assert 850 < sum(each >> bit & 1 for each in made) < 1150


def test_longer_ids_count_by_their_beginning_and_shorter_ones_are_anybodys() -> None:
    made = _steering(3).new_connection_id(SeededEntropy(8, "ids"))
    assert _steering(3).is_own(made + b"more")
    assert not _steering(1).is_own(made)
    assert all(_steering(own).is_own(made[:7]) for own in range(4))
