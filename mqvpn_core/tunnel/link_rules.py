"""Which links the tunnel may use, for what, and in which order: the user's word as pure functions.

Patterns are those of a shell (``wwan*``); a name without a star means one link and is stronger.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

from mqvpn_core.config import AUTO_PATHS, DEFAULT_IGNORED_LINKS, LinkRole
from mqvpn_core.tunnel.link_table import Link, LinkMedium, LinkTable, Way
from mqvpn_helper.interface.host_plan import IPAddress

T = TypeVar("T")

_ORDER = {LinkRole.PRIMARY: 0, LinkRole.SECONDARY: 1, LinkRole.BACKUP: 2, LinkRole.NEVER: 3}
_NO_LINKS = frozenset({LinkMedium.TUNNEL, LinkMedium.LOOPBACK})


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRules:
    """What the user wants of his links."""

    paths: tuple[str, ...] = (AUTO_PATHS,)
    """Patterns of links to use, or `AUTO_PATHS`."""
    ignored: tuple[str, ...] = DEFAULT_IGNORED_LINKS
    """Patterns of links that `AUTO_PATHS` leaves out."""
    roles: tuple[tuple[str, LinkRole], ...] = ()
    """Roles by pattern; the first that fits counts, a plain name before any pattern."""
    rate_limits: tuple[tuple[str, int], ...] = ()
    """Bytes a second in each direction, by name or pattern."""
    used_up: frozenset[str] = frozenset()
    """Names of links whose data cap is reached."""
    own_device: str = ""
    """Name of our TUN device, which is never a path of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialTarget:
    """One way to try at the start of a connection."""

    link: Link
    """Link to leave by."""
    way: Way
    """Source address and address of the server."""


def role_of(rules: LinkRules, link: Link) -> LinkRole:
    """Return what a link is for; `LinkRole.NEVER` when it is not to be used."""
    if link.name == rules.own_device or link.name in rules.used_up:
        return LinkRole.NEVER
    asked = asked_role(rules, link.name)
    if not _is_chosen(rules, link):
        return LinkRole.NEVER
    if asked is not None:
        return asked
    return LinkRole.BACKUP if link.medium is LinkMedium.CELLULAR else LinkRole.PRIMARY


def asked_role(rules: LinkRules, name: str) -> LinkRole | None:
    """Return the role that the user gave a link by name or pattern."""
    return value_for(rules.roles, name)


def value_for(values: Iterable[tuple[str, T]], name: str) -> T | None:
    """Return what was said about a link: a plain name counts before any pattern."""
    fitting = [(pattern, value) for pattern, value in values if fnmatchcase(name, pattern)]
    exact = [value for pattern, value in fitting if pattern == name]
    return next(iter(exact or [value for _, value in fitting]), None)


def dial_targets(
    table: LinkTable, rules: LinkRules, servers: Iterable[IPAddress]
) -> tuple[DialTarget, ...]:
    """Return the ways to start a connection by, best first.

    Every link has its turn with one address of the server before the second address is tried:
    a dead link is likelier than a dead address.

    Args:
        table: the links.
        rules: which to use.
        servers: addresses of the server, best first.
    """
    chosen = [link for link in table.links.values() if role_of(rules, link) is not LinkRole.NEVER]
    chosen.sort(key=lambda link: _rank(rules, link))
    turns: list[list[DialTarget]] = []
    for link in chosen:
        for turn, way in enumerate(ways_in_order(link, servers)):
            if turn == len(turns):
                turns.append([])
            turns[turn].append(DialTarget(link=link, way=way))
    return tuple(target for turn in turns for target in turn)


def ways_in_order(link: Link, servers: Iterable[IPAddress]) -> tuple[Way, ...]:
    """Return the ways of a link to the server, in the order of its addresses."""
    ways = {way.server: way for way in link.ways}
    return tuple(ways[server] for server in dict.fromkeys(servers) if server in ways)


def _rank(rules: LinkRules, link: Link) -> tuple[int, int, int, int]:
    # Links that the user named come in the order he named them.
    named = next(
        (at for at, pattern in enumerate(rules.paths) if fnmatchcase(link.name, pattern)),
        len(rules.paths),
    )
    metric = min((way.metric for way in link.ways), default=0)
    return _ORDER[role_of(rules, link)], named, metric, link.ifindex


def _is_chosen(rules: LinkRules, link: Link) -> bool:
    name = link.name
    if any(fnmatchcase(name, pattern) for pattern in rules.paths if pattern != AUTO_PATHS):
        return True
    if AUTO_PATHS not in rules.paths:
        return False
    if any(pattern == name for pattern, _ in rules.roles):
        return True
    is_ignored = any(fnmatchcase(name, pattern) for pattern in rules.ignored)
    return not is_ignored and link.medium not in _NO_LINKS
