"""The one error of this room."""


class InstallError(Exception):
    """The helper cannot be installed, or not be removed; the text says what to do."""
