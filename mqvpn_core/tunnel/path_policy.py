"""Which paths a connection should have: links and rules against what there is. A pure reducer.

``step(state, event, now)`` gives the next state and the commands to carry out, in order. An event
only notes a fact; after each one the same comparison of wish and reality runs. Rules:

* One path a link. It leads to the first address of the server that the link has a way to; after a
  failure the next address has its turn.
* A path whose link or address went away is broken for good and given up as soon as another path
  works; until then it is kept, because a connection without any path could not come back.
* A link that may be used and has no sound path gets a new one: at once after any news of the link,
  after a failure with growing pauses.
* Where no further path can be opened (no multipath, no free path ID), a broken path is moved.
* Where there is only one path at all, it is moved to a link with a better role that has appeared
  or come back, once for each appearance: a link that leads nowhere must not end every connection.
* A sound path on a link that must not be used is given up when another path works. When there is
  no other link to use, the connection has to end: the user's word counts more than the tunnel.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias, assert_never

from mqvpn_core.config import LinkRole
from mqvpn_core.ids import IfIndex, Instant, PathId
from mqvpn_core.tunnel.link_rules import LinkRules, role_of, ways_in_order
from mqvpn_core.tunnel.link_table import Link, LinkTable
from mqvpn_core.tunnel.path_messages import (
    ClosePath,
    Command,
    EndConnection,
    Event,
    HandshakeDone,
    LinksChanged,
    MigratePath,
    OpeningFailed,
    OpenPath,
    PathEnded,
    PathEvent,
    PathIdsFreed,
    PathProved,
    PathStarted,
    PathView,
    RulesChanged,
    SetPathUse,
    TimeCame,
)
from mqvpn_core.wire.code_points import TransportErrorCode
from mqvpn_helper.interface.host_plan import IPAddress

FIRST_PAUSE = 1.0
"""Seconds before a link is tried again after a failure; doubles with each further one."""
LONGEST_PAUSE = 30.0
"""Most seconds between two tries of one link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTries:
    """What came of trying a link since the last news of it."""

    failures: int
    """Tries in a row that led to no working path."""
    not_before: Instant
    """When to try again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPolicy:
    """What is known and under way."""

    rules: LinkRules
    """What the user wants."""
    table: LinkTable
    """The links."""
    servers: tuple[IPAddress, ...]
    """Addresses of the server, best first."""
    is_confirmed: bool = False
    """The handshake is confirmed: paths may be opened or moved (RFC 9000 s9)."""
    is_multipath: bool = False
    """The connection takes further paths."""
    are_ids_short: bool = False
    """No path ID is free at the moment."""
    paths: Mapping[PathId, PathView] = field(default_factory=lambda: MappingProxyType({}))
    """Paths that are neither given up nor ended."""
    arrivals: frozenset[IfIndex] = frozenset()
    """Links that the only path may be moved to, because there is news of them."""
    opening: frozenset[IfIndex] = frozenset()
    """Links on which a path is being opened."""
    tries: Mapping[IfIndex, LinkTries] = field(default_factory=lambda: MappingProxyType({}))
    """Links with failures."""


Step: TypeAlias = tuple[PathPolicy, tuple[Command, ...]]


def step(state: PathPolicy, event: Event, now: Instant) -> Step:
    """Return the state after ``event`` and the commands to carry out, in order."""
    return _settle(_note(state, event, now), now)


def next_timeout(state: PathPolicy) -> Instant | None:
    """Return when `TimeCame` may be of use."""
    if not state.is_confirmed or not (_can_open(state) or _movable(state) is not None):
        return None
    lacking = (link.ifindex for link in _lacking(state))
    return min(
        (state.tries[ifindex].not_before for ifindex in lacking if ifindex in state.tries),
        default=None,
    )


def _note(state: PathPolicy, event: Event, now: Instant) -> PathPolicy:
    if isinstance(event, PathEvent):
        return _note_path(state, event, now)
    match event:
        case LinksChanged():
            return _note_links(state, event.table)
        case RulesChanged():
            return replace(state, rules=event.rules, arrivals=frozenset(state.table.links))
        case HandshakeDone():
            return replace(state, is_confirmed=True, is_multipath=event.is_multipath)
        case PathIdsFreed():
            return replace(state, are_ids_short=False)
        case TimeCame():
            return state
        case _:
            assert_never(event)


def _note_path(state: PathPolicy, event: PathEvent, now: Instant) -> PathPolicy:
    match event:
        case PathStarted():
            opening = state.opening - {event.view.ifindex}
            paths = _with(state.paths, event.path_id, event.view)
            return _mark_broken(replace(state, opening=opening, paths=paths))
        case OpeningFailed():
            state = replace(state, opening=state.opening - {event.ifindex})
            if event.for_want_of_ids:
                return replace(state, are_ids_short=True)
            return _note_failure(state, event.ifindex, now)
        case PathProved():
            return _note_proof(state, event.path_id)
        case PathEnded():
            return _note_end(state, event.path_id, now)
        case _:
            assert_never(event)


def _note_links(state: PathPolicy, table: LinkTable) -> PathPolicy:
    # Any news of a link make its earlier failures worthless.
    tries = {
        ifindex: tries
        for ifindex, tries in state.tries.items()
        if table.links.get(ifindex) == state.table.links.get(ifindex)
    }
    appeared = {
        ifindex
        for ifindex, link in table.links.items()
        if link.ways and (ifindex not in state.table.links or not state.table.links[ifindex].ways)
    }
    return _mark_broken(
        replace(
            state,
            table=table,
            tries=MappingProxyType(tries),
            arrivals=(state.arrivals | appeared) & table.links.keys(),
        )
    )


def _note_proof(state: PathPolicy, path_id: PathId) -> PathPolicy:
    view = state.paths.get(path_id)
    if view is None:
        return state
    tries = {ifindex: tries for ifindex, tries in state.tries.items() if ifindex != view.ifindex}
    return replace(
        state,
        paths=_with(state.paths, path_id, replace(view, is_validated=True)),
        tries=MappingProxyType(tries),
    )


def _note_end(state: PathPolicy, path_id: PathId, now: Instant) -> PathPolicy:
    view = state.paths.get(path_id)
    # Whatever ends gives its ID back sooner or later.
    state = replace(state, paths=_without(state.paths, path_id), are_ids_short=False)
    if view is None or view.is_broken:
        return state
    return _note_failure(state, view.ifindex, now)


def _note_failure(state: PathPolicy, ifindex: IfIndex, now: Instant) -> PathPolicy:
    failures = _failures(state, ifindex) + 1
    pause = min(FIRST_PAUSE * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE)
    tries = LinkTries(failures=failures, not_before=Instant(now + pause))
    return replace(state, tries=MappingProxyType({**state.tries, ifindex: tries}))


def _mark_broken(state: PathPolicy) -> PathPolicy:
    paths = {
        path_id: view if _is_bearable(state.table, view) else replace(view, is_broken=True)
        for path_id, view in state.paths.items()
    }
    return replace(state, paths=MappingProxyType(paths))


def _is_bearable(table: LinkTable, view: PathView) -> bool:
    """Tell whether a path's packets still leave by its link, with its address, to the server."""
    link = table.links.get(view.ifindex)
    if link is None or view.source not in link.addresses:
        return False
    return any(way.server == view.server for way in link.ways)


def _settle(state: PathPolicy, now: Instant) -> Step:
    """Compare wish and reality."""
    commands: list[Command] = []
    state = _set_roles(state, commands)
    state = _close_needless(state, commands)
    state = _open_missing(state, now, commands)
    state = _move_back(state, commands)
    if (reason := _reason_to_end(state)) is not None:
        commands.append(EndConnection(reason=reason))
    return state, tuple(commands)


def _set_roles(state: PathPolicy, commands: list[Command]) -> PathPolicy:
    paths = dict(state.paths)
    for path_id, view in state.paths.items():
        role = _role(state, view)
        if view.is_broken or role in {view.role, LinkRole.NEVER}:
            continue
        paths[path_id] = replace(view, role=role)
        commands.append(SetPathUse(path_id=path_id, role=role))
    return replace(state, paths=MappingProxyType(paths))


def _close_needless(state: PathPolicy, commands: list[Command]) -> PathPolicy:
    if not any(view.is_validated and _is_wanted(state, view) for view in state.paths.values()):
        return state
    closed = {path_id for path_id, view in state.paths.items() if not _is_wanted(state, view)}
    commands += [_closing(path_id, state.paths[path_id]) for path_id in sorted(closed)]
    kept = {path_id: view for path_id, view in state.paths.items() if path_id not in closed}
    return replace(state, paths=MappingProxyType(kept))


def _closing(path_id: PathId, view: PathView) -> ClosePath:
    if view.is_broken:
        code, reason = TransportErrorCode.PATH_UNSTABLE_OR_POOR, "its link or address is gone"
    else:
        code, reason = TransportErrorCode.APPLICATION_ABANDON_PATH, "its link is not to be used"
    return ClosePath(path_id=path_id, error_code=code, reason=reason)


def _open_missing(state: PathPolicy, now: Instant, commands: list[Command]) -> PathPolicy:
    for link in _lacking(state):
        tries = state.tries.get(link.ifindex)
        if not state.is_confirmed or (tries is not None and now < tries.not_before):
            continue
        command = _opening(state, link) if _can_open(state) else _moving(state, link)
        if command is not None:
            commands.append(command)
            state = replace(state, opening=state.opening | {link.ifindex})
    return state


def _move_back(state: PathPolicy, commands: list[Command]) -> PathPolicy:
    """Move the only path to a link with a better role."""
    if not state.is_confirmed or state.is_multipath or state.opening or len(state.paths) != 1:
        return state
    ((path_id, view),) = state.paths.items()
    if not _is_wanted(state, view) or not view.is_validated:
        return state
    order = list(LinkRole)
    for link in _lacking(state):
        role = role_of(state.rules, link)
        ways = [way for way in link.ways if way.server == view.server]
        if link.ifindex in state.arrivals and order.index(role) < order.index(view.role) and ways:
            commands.append(MigratePath(path_id=path_id, link=link, way=ways[0], role=role))
            return replace(
                state,
                opening=state.opening | {link.ifindex},
                arrivals=state.arrivals - {link.ifindex},
            )
    return state


def _opening(state: PathPolicy, link: Link) -> OpenPath:
    ways = ways_in_order(link, state.servers)
    way = ways[_failures(state, link.ifindex) % len(ways)]
    return OpenPath(link=link, way=way, role=role_of(state.rules, link))


def _moving(state: PathPolicy, link: Link) -> MigratePath | None:
    path_id = _movable(state)
    if path_id is None:
        return None
    # RFC 9000 s9 knows no migration to another address of the server.
    for way in link.ways:
        if way.server == state.paths[path_id].server:
            role = role_of(state.rules, link)
            return MigratePath(path_id=path_id, link=link, way=way, role=role)
    return None


def _can_open(state: PathPolicy) -> bool:
    return state.is_multipath and not state.are_ids_short


def _failures(state: PathPolicy, ifindex: IfIndex) -> int:
    tries = state.tries.get(ifindex)
    return 0 if tries is None else tries.failures


def _lacking(state: PathPolicy) -> list[Link]:
    """Return the links that should have a path and have none, the most wanted first."""
    served = {view.ifindex for view in state.paths.values() if not view.is_broken}
    lacking = [
        link
        for ifindex, link in state.table.links.items()
        if ifindex not in served | state.opening
        and role_of(state.rules, link) is not LinkRole.NEVER
        and ways_in_order(link, state.servers)
    ]
    order = list(LinkRole)
    return sorted(lacking, key=lambda link: (order.index(role_of(state.rules, link)), link.ifindex))


def _movable(state: PathPolicy) -> PathId | None:
    """Return a path that may be moved because nothing works as it is."""
    if state.opening or any(_is_wanted(state, view) for view in state.paths.values()):
        return None
    return min(state.paths, default=None)


def _reason_to_end(state: PathPolicy) -> str | None:
    sound = [view for view in state.paths.values() if not view.is_broken]
    if not sound or any(_is_wanted(state, view) for view in sound):
        return None
    # A link that failed once is no excuse for going on with one that is forbidden.
    if state.opening or any(not _failures(state, link.ifindex) for link in _lacking(state)):
        return None
    names = sorted(state.table.links[view.ifindex].name for view in sound)
    return f"no other link leads to the server, and {', '.join(names)} must not be used"


def _is_wanted(state: PathPolicy, view: PathView) -> bool:
    return not view.is_broken and _role(state, view) is not LinkRole.NEVER


def _role(state: PathPolicy, view: PathView) -> LinkRole:
    link = state.table.links.get(view.ifindex)
    return LinkRole.NEVER if link is None else role_of(state.rules, link)


def _with(
    paths: Mapping[PathId, PathView], path_id: PathId, view: PathView
) -> Mapping[PathId, PathView]:
    return MappingProxyType({**paths, path_id: view})


def _without(paths: Mapping[PathId, PathView], path_id: PathId) -> Mapping[PathId, PathView]:
    return MappingProxyType({other: view for other, view in paths.items() if other != path_id})
