"""The German translation is whole, and shown."""

import re

import pytest
from PySide6.QtWidgets import QApplication

from mqvpn_gui.words import states
from mqvpn_gui.words.translation import load_translation
from tests.gui.samples import CONNECTED
from tests.gui.translatable import translatable, translations

PLACES = re.compile(r"\{\d\}")


def test_every_text_has_a_translation_and_none_is_left_over() -> None:
    known = translations()
    assert {text for text in translatable() if not known.get(text)} == set()
    assert set(known) == translatable(), "run: python -m tests.gui.translatable"


def test_translations_have_the_same_places_and_keys() -> None:
    for (_, text), translation in translations().items():
        assert sorted(PLACES.findall(text)) == sorted(PLACES.findall(translation)), text
        assert text.count("&") == translation.count("&"), text


@pytest.mark.usefixtures("german")
def test_german_is_shown() -> None:
    assert states.tunnel_state(CONNECTED) == "Verbunden"
    assert states.tooltip(CONNECTED).startswith("mqvpn: verbunden mit Frankfurt, 2 von 2 Pfaden")


def test_english_and_unknown_languages_need_none(qapp: QApplication) -> None:
    assert load_translation("en", qapp) is None
    assert load_translation("xx", qapp) is None
    assert load_translation("../../etc", qapp) is None
