"""A method call as handlers see it, and the errors they may answer with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from mqvpn_helper.interface.bus_names import BusError
from mqvpn_helper.service.message_stream import Incoming


class CallError(Exception):
    """A typed error for the caller."""

    def __init__(self, kind: BusError, text: str) -> None:
        """Take what is wrong and say it in one line."""
        super().__init__(text)
        self.kind = kind
        """What is wrong."""
        self.text = text
        """It in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls."""

    sender: str
    """Its name on the bus."""
    uid: int
    """Its user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call whose arguments have the types of the table."""

    caller: Caller
    """Who calls."""
    arguments: tuple[object, ...]
    """What it hands over."""
    incoming: Incoming
    """The message; it owns the descriptors that nobody takes."""

    def text(self, index: int) -> str:
        """Return an argument that is a text."""
        value = self.arguments[index]
        assert isinstance(value, str)
        return value

    def number(self, index: int) -> int:
        """Return an argument that is a number, or a descriptor."""
        value = self.arguments[index]
        assert isinstance(value, int)
        return value


Results: TypeAlias = tuple[object, ...]
"""What a method returns."""
Action: TypeAlias = Callable[[], Awaitable[Results]]
"""A call that is known to be valid and only waits for permission."""
Handler: TypeAlias = Callable[[Call], Action]
"""Checks the arguments of a call without doing anything; raises `CallError` if they are wrong."""
