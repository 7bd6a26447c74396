"""What the window takes for granted of Qt for Python."""

import sys

from PySide6.QtWidgets import QApplication, QLabel

CALLS = 1000


def test_calls_without_a_result_keep_none_alive(qapp: QApplication) -> None:
    """A release that drops a reference of None with each call ends in an abort, hours later."""
    label = QLabel()
    before = sys.getrefcount(None)
    for _ in range(CALLS):
        label.setText("text")
    assert before - sys.getrefcount(None) < CALLS / 2
