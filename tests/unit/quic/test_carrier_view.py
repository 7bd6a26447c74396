from dataclasses import replace

import pytest

from mqvpn_core.ids import PathId
from mqvpn_core.quic.carrier_view import CarrierView, usable_paths
from mqvpn_core.quic.path_use import PathUse
from tests.unit.quic.scheduler_samples import A, B, C, suspect, view


def usable(*views: CarrierView) -> list[PathId]:
    return [each.path_id for each in usable_paths(views)]


def test_the_fastest_comes_first() -> None:
    assert usable(view(A, rtt=0.03), view(B, rtt=0.01), view(C, rtt=0.02)) == [B, C, A]
    assert usable(view(B), view(A)) == [A, B]


def test_secondary_paths_come_behind_primary_ones() -> None:
    assert usable(view(A, use=PathUse.SECONDARY, rtt=0.01), view(B)) == [B, A]


@pytest.mark.parametrize(
    "backup", [view(A, use=PathUse.BACKUP), replace(view(A, rtt=0.01), peer_is_backup=True)]
)
def test_a_backup_stands_in_only_for_paths_that_are_not_healthy(backup: CarrierView) -> None:
    assert usable(backup, view(B)) == [B]
    assert usable(backup, view(B, use=PathUse.SECONDARY)) == [B]
    assert usable(backup, suspect(view(B))) == [A]
    assert usable(backup) == [A]


def test_a_full_path_is_no_reason_to_use_a_backup() -> None:
    assert usable(view(A, use=PathUse.BACKUP), view(B, budget=0)) == [B]


def test_suspects_are_used_when_nothing_else_is_there() -> None:
    assert usable(suspect(view(A)), view(B, rtt=1.0)) == [B]
    assert usable(suspect(view(A)), suspect(view(B))) == [A, B]
    assert usable(suspect(view(A)), suspect(view(B, use=PathUse.BACKUP))) == [A]
    assert usable() == []


def test_an_unknown_rate_is_guessed_from_the_round_trip_time() -> None:
    assert view(rate=5.0).expected_rate == 5.0
    near, far = view(rate=0.0, rtt=0.01).expected_rate, view(rate=0.0, rtt=0.1).expected_rate
    assert near == pytest.approx(10 * far)
    assert view(rate=0.0, rtt=0.0).expected_rate > near
