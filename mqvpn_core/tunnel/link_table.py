"""The links of this machine as values: a pure table, fed with what the kernel tells.

``update(table, messages)`` gives a `LinkChange`; a change that changes nothing ends here. Messages
are hints in any order: what they say of links that are unknown is ignored, and repeating them does
no harm. The table knows no sockets and no configuration.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias, assert_never

from mqvpn_core.ids import IfIndex
from mqvpn_helper.interface.host_plan import IPAddress


class LinkMedium(enum.Enum):
    """What a link is made of, as far as one can tell."""

    WIRED = "wired"
    """Ethernet and everything that looks like it."""
    WIRELESS = "wireless"
    """WLAN."""
    CELLULAR = "cellular"
    """A mobile network, or a telephone that shares one: usually metered."""
    TUNNEL = "tunnel"
    """Made by software out of other links."""
    LOOPBACK = "loopback"
    """This machine itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a link leads to one address of the server."""

    server: IPAddress
    """Where it leads."""
    source: IPAddress
    """Address of the link to send from."""
    metric: int
    """Metric of the route; the machine prefers the lowest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One network interface."""

    ifindex: IfIndex
    """Index of the link; a name may move to another one."""
    name: str
    """Name of the link."""
    medium: LinkMedium
    """What it is made of."""
    is_up: bool
    """Switched on by the administrator."""
    has_carrier: bool
    """Plugged in, associated, attached."""
    mtu: int
    """MTU in bytes."""
    addresses: frozenset[IPAddress] = frozenset()
    """Addresses that packets to the world may come from; no link-local ones."""
    known_ways: tuple[Way, ...] = ()
    """What the kernel said last about ways to the server over this link."""

    @property
    def is_running(self) -> bool:
        """Whether packets can leave by it."""
        return self.is_up and self.has_carrier

    @property
    def ways(self) -> tuple[Way, ...]:
        """Ways to the server that hold with the present addresses; none without carrier."""
        if not self.is_running:
            return ()
        return tuple(way for way in self.known_ways if way.source in self.addresses)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTable:
    """All links at one moment."""

    links: Mapping[IfIndex, Link] = field(default_factory=lambda: MappingProxyType({}))
    """The links by index."""

    def named(self, name: str) -> Link | None:
        """Return the link of that name."""
        return next((link for link in self.links.values() if link.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSeen:
    """A link exists; fields that are None were not mentioned."""

    ifindex: IfIndex
    """Index of the link."""
    is_up: bool
    """Switched on by the administrator."""
    has_carrier: bool
    """Plugged in, associated, attached."""
    name: str | None = None
    """Name of the link."""
    medium: LinkMedium | None = None
    """What it is made of."""
    mtu: int | None = None
    """MTU in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkGone:
    """A link does not exist any more."""

    ifindex: IfIndex
    """Index it had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressSeen:
    """A link has an address that can be used."""

    ifindex: IfIndex
    """Index of the link."""
    address: IPAddress
    """The address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressGone:
    """A link has an address no more, or may not use it."""

    ifindex: IfIndex
    """Index of the link."""
    address: IPAddress
    """The address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaysSeen:
    """The kernel's present answer to "does this link lead to the server?"."""

    ifindex: IfIndex
    """Index of the link."""
    ways: tuple[Way, ...]
    """All ways there are."""


LinkMessage: TypeAlias = LinkSeen | LinkGone | AddressSeen | AddressGone | WaysSeen


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChange:
    """What some messages did to the table."""

    old: LinkTable
    """The table before."""
    new: LinkTable
    """The table after."""
    gained: frozenset[IfIndex]
    """Links that are new."""
    lost: frozenset[IfIndex]
    """Links that are gone."""
    changed: frozenset[IfIndex]
    """Links that are in both tables and not the same."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing has changed."""
        return not (self.gained or self.lost or self.changed)

    @property
    def has_loss(self) -> bool:
        """Whether a link, its carrier or one of its addresses went away: no time to lose."""
        return bool(self.lost) or any(
            _has_lost(self.old.links[ifindex], self.new.links[ifindex]) for ifindex in self.changed
        )


def update(table: LinkTable, messages: Iterable[LinkMessage]) -> LinkChange:
    """Return what the messages, taken in order, make of a table."""
    links = dict(table.links)
    for message in messages:
        _apply(links, message)
    return compare(table, LinkTable(links=MappingProxyType(links)))


def resynchronise(table: LinkTable, messages: Iterable[LinkMessage]) -> LinkChange:
    """Return what a complete listing makes of a table; what it does not mention is gone.

    Ways to the server stay as they were known: a listing says nothing about them.
    """
    links: dict[IfIndex, Link] = {}
    for message in messages:
        _apply(links, message)
    kept = {
        ifindex: replace(link, known_ways=table.links[ifindex].known_ways)
        if ifindex in table.links
        else link
        for ifindex, link in links.items()
    }
    return compare(table, LinkTable(links=MappingProxyType(kept)))


def compare(old: LinkTable, new: LinkTable) -> LinkChange:
    """Return the difference between two tables."""
    before, after = old.links, new.links
    return LinkChange(
        old=old,
        new=new,
        gained=frozenset(after.keys() - before.keys()),
        lost=frozenset(before.keys() - after.keys()),
        changed=frozenset(
            ifindex for ifindex in before.keys() & after.keys() if before[ifindex] != after[ifindex]
        ),
    )


def _apply(links: dict[IfIndex, Link], message: LinkMessage) -> None:
    known = links.get(message.ifindex)
    match message:
        case LinkSeen():
            seen = _new_link(message) if known is None else _with_news(known, message)
            if seen is not None:
                links[message.ifindex] = seen
        case LinkGone():
            links.pop(message.ifindex, None)
        case AddressSeen():
            if known is not None:
                addresses = known.addresses | {message.address}
                links[message.ifindex] = replace(known, addresses=addresses)
        case AddressGone():
            if known is not None:
                addresses = known.addresses - {message.address}
                links[message.ifindex] = replace(known, addresses=addresses)
        case WaysSeen():
            if known is not None:
                links[message.ifindex] = replace(known, known_ways=message.ways)
        case _:
            assert_never(message)


def _new_link(message: LinkSeen) -> Link | None:
    if message.name is None:
        # A wireless driver's note about a link that was never introduced.
        return None
    return Link(
        ifindex=message.ifindex,
        name=message.name,
        medium=message.medium or LinkMedium.WIRED,
        is_up=message.is_up,
        has_carrier=message.has_carrier,
        mtu=message.mtu or 0,
    )


def _with_news(known: Link, message: LinkSeen) -> Link:
    is_running = message.is_up and message.has_carrier
    return replace(
        known,
        # Who knows what routes there are when it is back.
        known_ways=known.known_ways if is_running else (),
        is_up=message.is_up,
        has_carrier=message.has_carrier,
        name=known.name if message.name is None else message.name,
        medium=known.medium if message.medium is None else message.medium,
        mtu=known.mtu if message.mtu is None else message.mtu,
    )


def _has_lost(old: Link, new: Link) -> bool:
    return (old.is_running and not new.is_running) or not old.addresses <= new.addresses
