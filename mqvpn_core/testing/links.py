"""A link of a simulated host: an address and a chain of elements; it may change at any time."""

from collections.abc import Sequence

from mqvpn_core.testing.link_elements import Direction, LinkElement, Stage
from mqvpn_core.testing.nat import Nat


class Link:
    """A running link of one host: an address and a chain of elements between it and the network.

    The first element is nearest to the host. ``is_up`` may be cleared and ``replace`` called at
    any time; datagrams already past a stage keep their fate.
    """

    def __init__(self, name: str, host: str, elements: Sequence[LinkElement] = ()) -> None:
        """Open the elements.

        Args:
            name: what scenarios and traces call it, like ``wifi``.
            host: the address of the link, which its host's four-tuples use as local address.
            elements: the chain, nearest to the host first.
        """
        self.name = name
        self.host = host
        self.is_up = True
        self.public_hosts: set[str] = {host}
        self._stages: dict[Direction, list[tuple[str, Stage]]] = {}
        self.replace(elements)

    def replace(self, elements: Sequence[LinkElement]) -> None:
        """Put another chain in place, with fresh state."""
        stages = [(type(element).__name__, *element.new_stages()) for element in elements]
        self._stages[Direction.UP] = [(name, up) for name, up, _ in stages]
        self._stages[Direction.DOWN] = [(name, down) for name, _, down in reversed(stages)]
        for element in elements:
            if isinstance(element, Nat):
                self.public_hosts |= element.public_hosts

    def stage(self, direction: Direction, index: int) -> tuple[str, Stage] | None:
        """Return the name and running half of an element, or nothing past the last one."""
        stages = self._stages[direction]
        return stages[index] if index < len(stages) else None
