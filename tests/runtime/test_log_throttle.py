"""Strangers cannot fill the log."""

import logging

import pytest

from mqvpn_core.ids import Instant
from mqvpn_core.runtime.log_throttle import LogThrottle

LOG = logging.getLogger("test")


def test_a_flood_is_counted_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    throttle = LogThrottle(per_minute=3.0)
    for number in range(100):
        throttle.warn(LOG, "line %d", number, now=Instant(100.0 + number / 1000))
    assert caplog.messages == ["line 0", "line 1", "line 2"]
    throttle.warn(LOG, "later", now=Instant(121.0))
    assert caplog.messages[3:] == ["later", "97 more like this were not logged"]
    throttle.warn(LOG, "at once", now=Instant(121.1))
    assert len(caplog.messages) == 5


def test_a_trickle_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    throttle = LogThrottle(per_minute=6.0)
    for number in range(50):
        throttle.warn(LOG, "line", now=Instant(10.0 * number))
    assert len(caplog.messages) == 50
