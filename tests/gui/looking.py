"""What a person sees of a window, and how they press its buttons."""

from PySide6.QtWidgets import QLabel, QPushButton, QWidget


def shown(widget: QWidget) -> str:
    """Every text that can be seen."""
    return "\n".join(
        each.text() for each in widget.findChildren(QLabel) if each.isVisibleTo(widget)
    )


def button(widget: QWidget, label: str) -> QPushButton:
    """The one button of this label."""
    buttons = [each for each in widget.findChildren(QPushButton) if each.text() == label]
    assert len(buttons) == 1, [each.text() for each in widget.findChildren(QPushButton)]
    return buttons[0]


def press(widget: QWidget, label: str) -> None:
    """Click the one button of this label."""
    found = button(widget, label)
    assert found.isEnabled()
    found.click()
