"""What a camera reads from a QR code on a terminal is the link."""

from collections.abc import Iterable

import pytest

from mqvpn_core.app.invitations import qr_code
from mqvpn_gui.user.qr_codes import qr_lines

zxingcpp = pytest.importorskip("zxingcpp")

LINK = "mqvpn://alice@vpn.example.org/?name=Office&pin=sha256/" + "A" * 43 + "#" + "k" * 43
_SCALE = 4
_HALVES = {"\u2588": (255, 255), "\u2580": (255, 0), "\u2584": (0, 255), " ": (0, 0)}


@pytest.mark.parametrize("is_inverted", [False, True], ids=["dark terminal", "light terminal"])
def test_a_camera_reads_the_link(is_inverted: bool) -> None:
    assert seen(qr_lines(LINK), is_inverted=is_inverted) == LINK


def test_a_camera_reads_what_a_server_prints() -> None:
    assert seen((qr_code(LINK) or "").splitlines(), is_inverted=False) == LINK


def seen(lines: Iterable[str], *, is_inverted: bool) -> str:
    """What a camera in front of a terminal reads."""
    rows: list[bytes] = []
    for line in lines:
        for half in (0, 1):
            values = (255 - v if is_inverted else v for v in (_HALVES[mark][half] for mark in line))
            rows += [b"".join(bytes([value]) * _SCALE for value in values)] * _SCALE
    picture = memoryview(b"".join(rows)).cast("B", shape=[len(rows), len(rows[0])])
    (found,) = zxingcpp.read_barcodes(picture)
    return str(found.text)
