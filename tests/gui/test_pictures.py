"""Every page can be drawn in every state, in both themes, in both widths, without a complaint."""

from pathlib import Path

import pytest
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication

from tests.gui.photographs import STATES, photograph


@pytest.mark.slow
def test_pictures_of_everything(qapp: QApplication, tmp_path: Path) -> None:
    count = photograph(tmp_path, qapp, "1x")
    pictures = sorted(tmp_path.iterdir())
    assert len(pictures) == count
    names = {path.name for path in pictures}
    for state in STATES:
        for theme in ("light", "dark"):
            assert f"tunnel-{state}-{theme}-360-1x.png" in names
    looks = {path.name: QImage(str(path)) for path in pictures}
    assert all(not picture.isNull() for picture in looks.values())
    light, dark = (
        looks[f"tunnel-up-{theme}-760-1x.png"].pixelColor(2, 2).lightness()
        for theme in ("light", "dark")
    )
    assert light > 200
    assert dark < 60
