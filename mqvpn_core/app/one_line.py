"""Text of unknown origin made fit for one line of a terminal or a log."""


def one_line(text: str) -> str:
    """Return ``text`` with every control character, line end and lone surrogate escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
