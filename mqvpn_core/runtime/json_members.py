"""Reading values of a known shape out of decoded JSON that may have any."""

from collections.abc import Callable
from typing import TypeVar

from mqvpn_core.errors import DecodeError
from mqvpn_core.runtime.control_codec import JsonValue

_T = TypeVar("_T")
_COUNT_LIMIT = 1 << 63


class JsonMembers:
    """Typed access to the members of one JSON object; what is missing or wrong is a DecodeError."""

    def __init__(self, members: dict[str, JsonValue]) -> None:
        """Look at these members."""
        self._members = members

    @classmethod
    def of(cls, value: JsonValue) -> "JsonMembers":
        """Look at a value that must be an object."""
        if not isinstance(value, dict):
            raise DecodeError("expected a JSON object")
        return cls(value)

    def names(self) -> list[str]:
        """Return the names there are."""
        return list(self._members)

    def value(self, name: str) -> JsonValue:
        """Return a member of any type."""
        if name not in self._members:
            raise DecodeError(f"{name} is missing")
        return self._members[name]

    def text(self, name: str) -> str:
        """Return a text."""
        value = self.value(name)
        if not isinstance(value, str):
            raise DecodeError(f"{name} is no text")
        return value

    def count(self, name: str) -> int:
        """Return a whole number of at most 63 bits."""
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise DecodeError(f"{name} is no whole number")
        if abs(value) >= _COUNT_LIMIT:
            raise DecodeError(f"{name} is too large")
        return value

    def number(self, name: str) -> float:
        """Return a number."""
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DecodeError(f"{name} is no number")
        try:
            return float(value)
        except OverflowError:
            raise DecodeError(f"{name} is too large") from None

    def truth(self, name: str) -> bool:
        """Return true or false."""
        value = self.value(name)
        if not isinstance(value, bool):
            raise DecodeError(f"{name} is neither true nor false")
        return value

    def many(self, name: str, decode: Callable[[JsonValue], _T]) -> tuple[_T, ...]:
        """Return a list, each element decoded."""
        value = self.value(name)
        if not isinstance(value, list):
            raise DecodeError(f"{name} is no list")
        return tuple(decode(member) for member in value)


def as_text(value: JsonValue) -> str:
    """Return a value that must be a text."""
    if not isinstance(value, str):
        raise DecodeError("a member of a list is no text")
    return value
