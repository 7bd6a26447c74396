"""Nothing gets out beside the tunnel, whatever happens; and the test can tell.

``python -m benchmarks.leaks`` does the same two hundred times, with outages of a minute.
"""

import pytest

from benchmarks.leak_capture import summary
from benchmarks.leak_story import Course
from benchmarks.leaks import run_course
from tests.bus.conftest import need_bus

pytestmark = [pytest.mark.netns, pytest.mark.slow]

_LEAST_TRIES = 3000


@pytest.mark.parametrize(("kind", "transitions"), [("helper", 16), ("program", 6)])
def test_no_packet_leaves_beside_the_tunnel(kind: str, transitions: int) -> None:
    """To the helper everything that may happen happens once."""
    need_bus()
    finding = run_course(Course(transitions=transitions, seed=20, longest_outage=1.0), kind)
    assert len(set(finding.happened)) == transitions
    assert not finding.leaks, f"{finding.happened}\n{summary(finding.leaks)}"
    assert finding.is_clean
    assert not finding.complaints
    assert finding.try_count > _LEAST_TRIES
    assert finding.packet_count > 100
    assert finding.tunnels > 1
    if kind == "helper":
        assert finding.question_count > 10


def test_without_a_kill_switch_the_same_course_finds_leaks() -> None:
    """The proof that the first test could fail: each kind of attempt gets through somewhere."""
    need_bus()
    course = Course(transitions=3, seed=20, longest_outage=1.0, has_kill_switch=False)
    finding = run_course(course)
    kinds = {leak.what.split()[0] for leak in finding.leaks}
    assert {"UDP", "TCP", "ICMP"} <= kinds
    assert any(leak.is_name_service for leak in finding.leaks)
    assert any("2001:db8" in leak.what for leak in finding.leaks)
    assert {leak.link for leak in finding.leaks} == {"w0", "l0"}
    assert finding.is_clean
