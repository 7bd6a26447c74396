"""Text that must not be shown."""

import re
from typing import NoReturn

from typing_extensions import override

from mqvpn_gui.user.errors import SecretError

MAX_KEY_LENGTH = 512
"""Longest key in characters, as servers take it."""

_KEY = re.compile(rf"[!-~]{{1,{MAX_KEY_LENGTH}}}", re.ASCII)


class SecretText:
    """A key; ``repr``, ``str`` and ``format`` hide it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Wrap a key.

        Raises:
            SecretError: no server would take it as a key; the message does not quote it.
        """
        if _KEY.fullmatch(value) is None:
            raise SecretError(
                f"a key has 1 to {MAX_KEY_LENGTH} visible ASCII characters without blanks",
                "copy it whole, as the server printed it",
            )
        self._value = value

    def reveal(self) -> str:
        """Return the key itself, for the one place that needs it."""
        return self._value

    @override
    def __repr__(self) -> str:
        return "SecretText(hidden)"

    @override
    def __str__(self) -> str:
        return "(hidden)"

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretText) and self._value == other._value

    @override
    def __hash__(self) -> int:
        return hash((SecretText, self._value))

    @override
    def __reduce__(self) -> NoReturn:
        raise TypeError("a SecretText cannot be pickled or copied into another process")
