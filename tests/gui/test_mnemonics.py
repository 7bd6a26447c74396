"""A letter with Alt leads to one thing, on every page and in every language."""

from collections import defaultdict
from collections.abc import Iterator

import pytest
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QTabBar, QWidget

from mqvpn_gui.look.theme import LIGHT
from mqvpn_gui.words.translation import load_translation
from tests.gui.photographs import scenes

pytestmark = pytest.mark.slow


@pytest.fixture(params=["en", "de"])
def language(request: pytest.FixtureRequest, qapp: QApplication) -> Iterator[None]:
    translator = load_translation(request.param, qapp)
    if translator is not None:
        qapp.installTranslator(translator)
    yield
    if translator is not None:
        qapp.removeTranslator(translator)


def labels(widget: QWidget) -> Iterator[str]:
    """Texts in which a letter may be marked."""
    for child in widget.findChildren(QWidget):
        if not child.isVisibleTo(widget):
            continue
        is_for_another = isinstance(child, QLabel) and child.buddy() is not None
        if isinstance(child, QAbstractButton) or (isinstance(child, QLabel) and is_for_another):
            yield child.text()
        elif isinstance(child, QTabBar):
            yield from (child.tabText(index) for index in range(child.count()))


@pytest.mark.usefixtures("language")
def test_no_two_things_on_a_page_have_the_same_letter() -> None:
    clashes: dict[str, set[str]] = {}
    for name, make in scenes(LIGHT):
        widget = make()
        found = defaultdict(set)
        for label in labels(widget):
            letter = QKeySequence.mnemonic(label).toString()
            if letter:
                found[letter].add(label)
        clashes |= {f"{name} {key}": texts for key, texts in found.items() if len(texts) > 1}
        widget.deleteLater()
    assert clashes == {}
