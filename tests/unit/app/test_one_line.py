"""Text for one line."""

import pytest

from mqvpn_core.app.one_line import one_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain ünïcode", "plain ünïcode"),
        ("a\nb\r\x1b[31m\x00", r"a\nb\r\x1b[31m\x00"),
        ("\u2028\u202e", r"\u2028\u202e"),
        ("\udc80", r"\udc80"),
        ("", ""),
    ],
)
def test_control_characters_are_escaped(text: str, line: str) -> None:
    assert one_line(text) == line
