"""What workers find reaches the window, as long as there is one."""

import threading

from pytestqt.qtbot import QtBot

from mqvpn_gui.app.background import Background
from mqvpn_gui.user.errors import UserError


def test_outcome_and_error_arrive_in_the_thread_of_the_window(qtbot: QtBot) -> None:
    background = Background()
    told: list[object] = []

    def fail() -> None:
        raise UserError("no room", "make some")

    background.run(
        lambda: 7, lambda value: told.append((value, threading.get_ident())), told.append
    )
    qtbot.waitUntil(lambda: told == [(7, threading.get_ident())])
    background.run(fail, told.append, told.append)
    qtbot.waitUntil(lambda: len(told) == 2)
    assert isinstance(told[1], UserError)


def test_outcome_after_the_end_is_delivered_to_nobody(qtbot: QtBot) -> None:
    background = Background()
    told: list[object] = []
    may_end = threading.Event()
    background.run(lambda: may_end.wait(5), told.append, told.append)
    background.run(lambda: 7, told.append, told.append)
    qtbot.waitUntil(lambda: told == [7])
    assert not background.finish(0.05)
    may_end.set()
    assert background.finish(5)
    qtbot.wait(50)
    assert told == [7]
