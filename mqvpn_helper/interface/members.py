"""Reading settings of a known shape out of a mapping that came from somebody else.

Used for what a user's program hands to the helper (over D-Bus, or out of a file) and for what
passes between helper and core. Every text and every list is bounded; what is unknown is refused,
because a setting that is silently ignored may have been the one that keeps somebody safe.
"""

import enum
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from typing import TypeVar

from mqvpn_helper.interface.host_plan import IPAddress, IPNetwork

_T = TypeVar("_T")
_E = TypeVar("_E", bound=enum.Enum)

_MAX_KEYS = 64
_SHOWN = 40


class MemberError(ValueError):
    """A member is missing, unknown, of another type or out of its range; the message says which."""


class MemberReader:
    """Takes members out of one mapping; `finish` refuses what was not taken."""

    def __init__(self, members: Mapping[str, object], what: str) -> None:
        """Look at these members.

        Args:
            members: names and values.
            what: what they make up, for messages.
        """
        self._what = what
        self._left = dict(members)
        if len(self._left) > _MAX_KEYS:
            raise MemberError(f"{what}: more than {_MAX_KEYS} members")

    def finish(self) -> None:
        """Refuse members that nobody has taken."""
        for name in self._left:
            raise MemberError(f"{self._what}: unknown member {_shown(name)}")

    def truth(self, name: str, *, default: bool) -> bool:
        """Take true or false."""
        value = self._left.pop(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, "is neither true nor false")
        return value

    def whole(self, name: str, low: int, high: int, *, default: int | None = None) -> int:
        """Take a whole number of a range."""
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._wrong(name, f"is not a whole number from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float, *, default: float | None = None) -> float:
        """Take a number of a range."""
        value = self._take(name, default)
        # Not-a-number compares false with everything and is refused thereby.
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
        ):
            raise self._wrong(name, f"is not a number from {low:g} to {high:g}")
        return float(value)

    def text(
        self, name: str, pattern: re.Pattern[str], limit: int, *, default: str | None = None
    ) -> str:
        """Take a text that follows a pattern as a whole; the default is not checked."""
        if name not in self._left and default is not None:
            return default
        return self.checked(name, self._take(name, None), pattern, limit)

    def choice(self, name: str, kind: type[_E], *, default: _E | None = None) -> _E:
        """Take the value of an enumeration."""
        if name not in self._left and default is not None:
            return default
        value = self._take(name, None)
        for member in kind:
            if isinstance(value, str) and member.value == value:
                return member
        allowed = ", ".join(str(member.value) for member in kind)
        raise self._wrong(name, f"is not one of: {allowed}")

    def texts(
        self, name: str, pattern: re.Pattern[str], limit: int, *, count: int
    ) -> tuple[str, ...]:
        """Take a list of texts; empty when it is missing."""
        return self.many(name, lambda each: self.checked(name, each, pattern, limit), count=count)

    def addresses(self, name: str, *, count: int) -> tuple[IPAddress, ...]:
        """Take a list of IP addresses without zone; empty when it is missing."""
        return self.many(name, lambda each: self._address(name, each), count=count)

    def networks(self, name: str, *, count: int) -> tuple[IPNetwork, ...]:
        """Take a list of IP networks; empty when it is missing."""
        return self.many(name, lambda each: self._network(name, each), count=count)

    def many(self, name: str, read: Callable[[object], _T], *, count: int) -> tuple[_T, ...]:
        """Take a list, each element read by a function; empty when it is missing."""
        value = self._left.pop(name, ())
        if not isinstance(value, list | tuple):
            raise self._wrong(name, "is no list")
        if len(value) > count:
            raise self._wrong(name, f"has more than {count} elements")
        return tuple(dict.fromkeys(read(each) for each in value))

    def table(
        self,
        name: str,
        key: re.Pattern[str],
        read: Callable[["MemberReader", str], _T],
        *,
        count: int,
    ) -> tuple[tuple[str, _T], ...]:
        """Take a mapping from names to values; empty when it is missing.

        Args:
            name: name of the member.
            key: what the names in it follow.
            read: takes the value of one name out of a reader.
            count: how many there may be.
        """
        value = self._left.pop(name, {})
        if not isinstance(value, Mapping):
            raise self._wrong(name, "is no table")
        if len(value) > count:
            raise self._wrong(name, f"has more than {count} elements")
        members: dict[str, object] = {}
        for each, content in value.items():
            if not isinstance(each, str) or key.fullmatch(each) is None:
                raise self._wrong(name, f"has the name {_shown(each)}, which cannot be one")
            members[each] = content
        reader = MemberReader(members, f"{self._what}: {name}")
        return tuple((each, read(reader, each)) for each in members)

    def any(self, name: str) -> object:
        """Take a value of whatever type."""
        return self._take(name, None)

    def checked(self, name: str, value: object, pattern: re.Pattern[str], limit: int) -> str:
        """Return a value if it is a text that follows a pattern as a whole."""
        if not isinstance(value, str):
            raise self._wrong(name, "is no text")
        if len(value) > limit:
            raise self._wrong(name, f"is longer than {limit} characters")
        if pattern.fullmatch(value) is None:
            raise self._wrong(name, f"cannot be {_shown(value)}")
        return value

    def _take(self, name: str, default: object) -> object:
        value = self._left.pop(name, default)
        if value is None:
            raise self._wrong(name, "is missing")
        return value

    def _address(self, name: str, value: object) -> IPAddress:
        try:
            if isinstance(value, str) and "%" not in value:
                return ip_address(value)
        except ValueError:
            pass
        raise self._wrong(name, f"has {_shown(value)}, which is no IP address")

    def _network(self, name: str, value: object) -> IPNetwork:
        try:
            if isinstance(value, str) and "%" not in value:
                return ip_network(value)
        except ValueError:
            pass
        raise self._wrong(name, f"has {_shown(value)}, which is no IP network")

    def _wrong(self, name: str, why: str) -> MemberError:
        return MemberError(f"{self._what}: {name} {why}")


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else f"a value of type {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
