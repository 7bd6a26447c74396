"""A short piece of the long run; and that it would notice."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from mqvpn_core.dataplane.packets import Parcel
from tests.differential.long_run import DifferenceError, Kernels, compare
from tests.differential.twins import load_twin

PACKETS = 12_000


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    return Kernels(load_twin("native"), load_twin("reference"))


@pytest.mark.slow
def test_no_difference(kernels: Kernels) -> None:
    assert max(compare(kernels, PACKETS, seed=20261122)) >= PACKETS


def test_a_difference_is_found_and_named(kernels: Kernels) -> None:
    def forgetful(packets: Sequence[Parcel], joins_udp: bool) -> list[bytes]:
        return kernels.reference.join_packets(packets, joins_udp)[:-1]

    broken = Kernels(replace(kernels.native, join_packets=forgetful), kernels.reference)
    with pytest.raises(DifferenceError, match=r"frames, batch 1/\d+"):
        list(compare(broken, PACKETS, seed=1))
