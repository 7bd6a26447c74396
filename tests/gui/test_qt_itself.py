"""What the window takes for granted of Qt for Python."""

import sys

import pytest
from PySide6.QtWidgets import QLabel

CALLS = 1000


@pytest.mark.usefixtures("qapp")
def test_calls_without_a_result_keep_none_alive() -> None:
    """A release that drops a reference of None with each call ends in an abort, hours later."""
    label = QLabel()
    before = sys.getrefcount(None)
    for _ in range(CALLS):
        label.setText("text")
    assert before - sys.getrefcount(None) < CALLS / 2
