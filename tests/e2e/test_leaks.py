"""Nothing gets out beside the tunnel, whatever happens; and the test can tell.

``python -m benchmarks.leaks`` does the same two hundred times, with outages of a minute.
"""

import pytest

from benchmarks.leak_capture import summary
from benchmarks.leaks import Course, run_course

pytestmark = [pytest.mark.netns, pytest.mark.slow]

_LEAST_TRIES = 3000


def test_no_packet_leaves_beside_the_tunnel() -> None:
    finding = run_course(Course(transitions=12, seed=20, longest_outage=2.0))
    assert not finding.leaks, f"{finding.happened}\n{summary(finding.leaks)}"
    assert finding.is_clean
    assert finding.try_count > _LEAST_TRIES
    assert finding.packet_count > 100


def test_without_a_kill_switch_the_same_course_finds_leaks() -> None:
    """The proof that the first test could fail: each kind of attempt gets through somewhere."""
    finding = run_course(Course(transitions=3, seed=20, longest_outage=1.0, has_kill_switch=False))
    kinds = {leak.what.split()[0] for leak in finding.leaks}
    assert {"UDP", "TCP", "ICMP"} <= kinds
    assert any(leak.is_name_service for leak in finding.leaks)
    assert any("2001:db8" in leak.what for leak in finding.leaks)
    assert {leak.link for leak in finding.leaks} == {"w0", "l0"}
    assert finding.is_clean
