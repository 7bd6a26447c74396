"""Translations straight from the files of Qt Linguist: nothing has to be compiled first."""

from collections.abc import Mapping
from importlib.resources import files
from xml.etree import ElementTree as ET

from PySide6.QtCore import QCoreApplication, QLibraryInfo, QLocale, QObject, QTranslator
from typing_extensions import override

_SOURCE_LANGUAGE = "en"


class FileTranslator(QTranslator):
    """Knows the texts of one language."""

    def __init__(self, texts: Mapping[tuple[str, str], str], parent: QObject) -> None:
        """Take the texts.

        Args:
            texts: translations by context and text.
            parent: owner in Qt's sense.
        """
        super().__init__(parent)
        self._texts = texts

    @override
    def isEmpty(self) -> bool:
        return not self._texts

    @override
    def translate(
        self, context: str, text: str, disambiguation: str | None = None, number: int = -1
    ) -> str | None:
        # Nothing makes Qt ask the next translator; an empty text would be shown.
        return self._texts.get((context, text))


def install_translation(language: str, application: QCoreApplication) -> None:
    """Have everything said in a language, also what Qt says itself, as on the buttons of dialogues.

    Args:
        language: code such as ``de``; empty: that of the desktop.
        application: the one of Qt.
    """
    translation = load_translation(language, application)
    if translation is None:
        return
    own = QTranslator(application)
    where = QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)
    if own.load(QLocale(language) if language else QLocale(), "qtbase", "_", where):
        application.installTranslator(own)
    application.installTranslator(translation)


def load_translation(language: str, parent: QObject) -> FileTranslator | None:
    """The translation to a language; None where there is none, or none is needed.

    Args:
        language: code such as ``de``; empty: that of the desktop.
        parent: owner in Qt's sense.
    """
    code = (language or QLocale().name()).partition("_")[0]
    if code == _SOURCE_LANGUAGE or not code.isalpha():
        return None
    source = files("mqvpn_gui.words") / f"mqvpn_{code}.ts"
    if not source.is_file():
        return None
    texts = {}
    root = ET.fromstring(source.read_text(encoding="utf-8"))  # noqa: S314 - a file of ours
    for context in root.iter("context"):
        name = context.findtext("name", "")
        for message in context.iter("message"):
            translated = message.findtext("translation", "")
            if translated:
                texts[name, message.findtext("source", "")] = translated
    return FileTranslator(texts, parent)
