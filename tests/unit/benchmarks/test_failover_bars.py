"""When the failover benchmark says that a kind of loss is within its bars."""

from collections import Counter

from benchmarks.failover import IN_TIME_MS, Result, _summary
from benchmarks.outage_cycle import CycleResult, Target
from benchmarks.outages import Outage


def cycle(gap: float, *, report: float | None = 1.0, back: float | None = 500.0) -> CycleResult:
    return CycleResult(
        link="wlan0",
        gap_up=gap / 2,
        gap_down=gap,
        report=report,
        usable=100.0,
        back=back,
        sender_stall=10.0,
        srtt=12.0,
    )


def summary(
    *cycles: CycleResult, kind: Outage = Outage.LINK_DOWN, resets: int = 0, messages: int = 9
) -> Result:
    talk = Counter(resets=resets, messages=messages)
    return _summary(kind, Target.PRIMARY, list(cycles), talk)


def test_the_worse_direction_of_all_cycles_counts() -> None:
    result = summary(cycle(60.0), cycle(90.0))
    assert result.gap_ms is not None
    assert (result.gap_ms.p50, result.gap_ms.max) == (60.0, 90.0)
    assert result.passed
    assert not summary(cycle(60.0), cycle(101.0)).passed


def test_a_loss_that_the_kernel_reports_late_is_a_silent_one() -> None:
    late = cycle(180.0, report=IN_TIME_MS + 1)
    result = summary(cycle(90.0), late, cycle(150.0, report=None))
    assert result.late_reports == 2
    assert result.gap_ms is not None
    assert result.gap_ms.max == 180.0
    assert result.gap_in_time_ms is not None
    assert result.gap_in_time_ms.max == 90.0
    assert result.passed
    assert not summary(cycle(90.0), cycle(301.0, report=None)).passed
    assert not summary(late).passed, "nothing was seen of what it is about"


def test_nobody_reports_a_black_hole() -> None:
    result = summary(cycle(290.0, report=None), kind=Outage.BLACK_HOLE)
    assert result.late_reports == 0
    assert result.passed


def test_resets_and_links_that_stay_empty_fail() -> None:
    assert not summary(cycle(50.0), resets=1).passed
    assert not summary(cycle(50.0), messages=0).passed
    assert not summary(cycle(50.0, back=None)).passed
    assert not summary(cycle(50.0, back=2001.0)).passed
