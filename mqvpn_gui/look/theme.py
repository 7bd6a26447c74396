"""Colours of our own, light and dark, that follow the system: not every desktop tells Qt."""

import enum
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication, QStyleFactory


class ThemeChoice(enum.Enum):
    """What the user wants."""

    SYSTEM = "system"
    """As the desktop is."""
    LIGHT = "light"
    """Always light."""
    DARK = "dark"
    """Always dark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Colours:
    """The colours that mean something; never the only thing that tells it."""

    window: str
    """Background."""
    card: str
    """Background of a card."""
    border: str
    """Lines around cards."""
    text: str
    """Text."""
    faint: str
    """Text that matters less; still 4.5:1 on a card."""
    accent: str
    """What can be clicked and what is chosen."""
    good: str
    """Works."""
    warning: str
    """Works, but not all of it."""
    bad: str
    """Does not work."""
    paths: tuple[str, ...]
    """Lines of the graph, one for each path; with dashes of their own."""


LIGHT = Colours(
    window="#f4f5f7",
    card="#ffffff",
    border="#d5d9e0",
    text="#1c2127",
    faint="#5a6472",
    accent="#1f5fbf",
    good="#1d7a43",
    warning="#9a5b00",
    bad="#b3261e",
    paths=("#1f5fbf", "#b3541e", "#1d7a43", "#7a3fb0", "#8a6d00", "#00707d"),
)
DARK = Colours(
    window="#1b1f24",
    card="#262b32",
    border="#3b424c",
    text="#e8ebef",
    faint="#a4aebb",
    accent="#7fb2ff",
    good="#6fd39a",
    warning="#ffc163",
    bad="#ff8a80",
    paths=("#7fb2ff", "#ffab7a", "#6fd39a", "#c9a2f2", "#e6cf6a", "#6fd6e0"),
)


def is_dark(choice: ThemeChoice) -> bool:
    """Whether the window is dark now."""
    if choice is ThemeChoice.SYSTEM:
        hints = QApplication.styleHints()
        return hints.colorScheme() is Qt.ColorScheme.Dark
    return choice is ThemeChoice.DARK


def colours(choice: ThemeChoice) -> Colours:
    """The colours for a choice."""
    return DARK if is_dark(choice) else LIGHT


def apply_theme(application: QApplication, choice: ThemeChoice) -> Colours:
    """Dress the whole application; return the colours."""
    chosen = colours(choice)
    if application.style().objectName() != "fusion":
        application.setStyle(QStyleFactory.create("Fusion"))
    sheet = _style_sheet(chosen)
    if application.styleSheet() != sheet:  # it is read anew for every widget there is
        application.setPalette(_palette(chosen))
        application.setStyleSheet(sheet)
    return chosen


def _palette(chosen: Colours) -> QPalette:
    palette = QPalette(QColor(chosen.window))
    roles = {
        QPalette.ColorRole.Window: chosen.window,
        QPalette.ColorRole.WindowText: chosen.text,
        QPalette.ColorRole.Base: chosen.card,
        QPalette.ColorRole.AlternateBase: chosen.window,
        QPalette.ColorRole.Text: chosen.text,
        QPalette.ColorRole.Button: chosen.card,
        QPalette.ColorRole.ButtonText: chosen.text,
        QPalette.ColorRole.ToolTipBase: chosen.card,
        QPalette.ColorRole.ToolTipText: chosen.text,
        QPalette.ColorRole.Highlight: chosen.accent,
        QPalette.ColorRole.HighlightedText: chosen.card,
        QPalette.ColorRole.Link: chosen.accent,
        QPalette.ColorRole.PlaceholderText: chosen.faint,
    }
    for role, colour in roles.items():
        palette.setColor(role, QColor(colour))
    for role in (
        QPalette.ColorRole.Text,
        QPalette.ColorRole.ButtonText,
        QPalette.ColorRole.WindowText,
    ):
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor(chosen.faint))
    return palette


def _style_sheet(chosen: Colours) -> str:
    return f"""
        {_buttons(chosen)}
        QFrame[class="card"] {{
            background: {chosen.card};
            border: 1px solid {chosen.border};
            border-radius: 8px;
        }}
        QFrame[class="banner"] {{
            background: {chosen.card};
            border: 2px solid {chosen.warning};
            border-radius: 8px;
        }}
        QLabel[class="faint"] {{ color: {chosen.faint}; }}
        QLabel[class="good"] {{ color: {chosen.good}; font-weight: 600; }}
        QLabel[class="warning"] {{ color: {chosen.warning}; font-weight: 600; }}
        QLabel[class="bad"] {{ color: {chosen.bad}; font-weight: 600; }}
        QCheckBox::indicator:unchecked {{
            background: {chosen.card};
            border: 1px solid {chosen.faint};
            border-radius: 2px;
        }}
        QLineEdit {{
            background: {chosen.card};
            border: 1px solid {chosen.border};
            border-radius: 4px;
            padding: 3px 5px;
        }}
        QSpinBox QLineEdit {{ border: none; padding: 0; }}
        QLineEdit:focus {{ border-color: {chosen.accent}; }}
        QListWidget::item {{ padding: 7px 6px; }}
        QScrollBar:vertical {{ background: transparent; border: none; width: 10px; margin: 0; }}
        QScrollBar::handle:vertical {{
            background: {chosen.border};
            border-radius: 4px;
            min-height: 32px;
            margin: 1px;
        }}
        QScrollBar::handle:vertical:hover {{ background: {chosen.faint}; }}
        QScrollBar::handle:vertical:disabled {{ background: transparent; }}
        QScrollBar::add-line:vertical, QScrollBar::sub-line:vertical {{ height: 0; }}
        QScrollBar::add-page:vertical, QScrollBar::sub-page:vertical {{ background: transparent; }}
        QToolTip {{
            color: {chosen.text};
            background: {chosen.card};
            border: 1px solid {chosen.border};
        }}
    """


def _buttons(chosen: Colours) -> str:
    return f"""
        QPushButton[class="main"] {{
            background: {chosen.accent};
            color: {chosen.card};
            border: none;
            border-radius: 6px;
            padding: 8px 20px;
            font-weight: 600;
        }}
        QPushButton[class="choice"] {{
            background: {chosen.card};
            color: {chosen.text};
            border: 1px solid {chosen.border};
            border-radius: 5px;
            padding: 4px 10px;
        }}
        QPushButton[class="choice"]:checked {{
            background: {chosen.accent};
            color: {chosen.card};
        }}
        QPushButton[class="choice"]:focus {{ border: 2px solid {chosen.text}; padding: 3px 9px; }}
        QPushButton[class="main"]:focus {{ border: 2px solid {chosen.text}; padding: 6px 18px; }}
        QPushButton[class="small-choice"] {{
            background: {chosen.card};
            color: {chosen.text};
            border: 1px solid {chosen.border};
            border-radius: 4px;
            padding: 2px 6px;
        }}
        QPushButton[class="small-choice"]:checked {{
            background: {chosen.accent};
            color: {chosen.card};
        }}
        QPushButton[class="small-choice"]:disabled {{ color: {chosen.faint}; }}
        QPushButton[class="small-choice"]:focus {{
            border: 2px solid {chosen.text};
            padding: 1px 5px;
        }}
        QPushButton[class="main"]:disabled {{ background: {chosen.border}; color: {chosen.faint}; }}
    """
