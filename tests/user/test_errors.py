"""Errors say the problem, then the advice."""

from mqvpn_gui.user.errors import UserError


def test_the_text_joins_problem_and_advice() -> None:
    assert str(UserError("no key", "give one")) == "no key; give one"
    assert str(UserError("no key")) == "no key"
