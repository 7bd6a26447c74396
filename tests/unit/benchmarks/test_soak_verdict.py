"""What the long run calls good."""

from dataclasses import replace

from benchmarks.soak import MAX_COPIES, MAX_GROWTH_MB, Cycle, judge

GOOD = Cycle(
    minute=1.0,
    client_mb=70.0,
    server_mb=72.0,
    client_files=15,
    server_files=12,
    missing_up=0,
    missing_down=0,
    copies=1,
    unanswered=0,
    key_updates=4,
    reconnections=1,
    failovers=3,
)


def test_an_even_run_is_good() -> None:
    assert judge([GOOD] * 8) == []


def test_what_is_missing_or_doubled_is_named_with_its_cycle() -> None:
    lossy = replace(GOOD, missing_down=1)
    doubled = replace(GOOD, copies=MAX_COPIES + 1)
    complaints = judge([GOOD, lossy, doubled, GOOD])
    assert [each.partition(":")[0] for each in complaints] == ["cycle 2", "cycle 3"]


def test_growth_is_seen_from_quarter_to_quarter() -> None:
    grown = replace(GOOD, server_mb=GOOD.server_mb + MAX_GROWTH_MB + 1, client_files=40)
    assert len(judge([GOOD] * 4 + [grown] * 4)) == 2
    # One that is large for a moment is no growth.
    assert judge([GOOD, GOOD, GOOD, grown, GOOD, GOOD, GOOD, GOOD]) == []


def test_keys_that_never_change_make_it_worthless() -> None:
    assert judge([replace(GOOD, key_updates=0)] * 4) == ["keys never changed"]
