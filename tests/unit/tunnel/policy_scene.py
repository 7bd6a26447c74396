"""A connection that obeys the path policy, for its tests."""

from dataclasses import dataclass, field, replace

from mqvpn_core.config import LinkRole
from mqvpn_core.ids import IfIndex, Instant, PathId
from mqvpn_core.tunnel.link_rules import LinkRules
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
    PathIdsFreed,
    PathProved,
    PathStarted,
    PathView,
    RulesChanged,
    SetPathUse,
    TimeCame,
)
from mqvpn_core.tunnel.path_policy import PathPolicy, next_timeout, step
from tests.unit.tunnel.links import SERVER4, SERVER6, table

ZERO = PathId(0)


@dataclass(slots=True)
class ModelPath:
    """A path as the connection knows it."""

    ifindex: IfIndex
    role: LinkRole
    is_validated: bool = False


@dataclass(slots=True)
class Scene:
    """Feeds events, carries commands out at once, remembers both."""

    state: PathPolicy
    now: float = 100.0
    paths: dict[PathId, ModelPath] = field(default_factory=dict)
    next_id: int = 1
    free_ids: int = 1000
    refuses: set[str] = field(default_factory=set)
    """Links on which no socket can be opened."""
    commands: list[Command] = field(default_factory=list)
    has_ended: bool = False

    @classmethod
    def started(
        cls, *links: Link, rules: LinkRules | None = None, multipath: bool = True
    ) -> "Scene":
        """A connection whose path 0 uses the first of these links."""
        scene = cls.opened(*links, rules=rules)
        scene.feed(HandshakeDone(is_multipath=multipath))
        return scene

    @classmethod
    def opened(cls, *links: Link, rules: LinkRules | None = None) -> "Scene":
        """The same before the handshake is confirmed."""
        first = links[0]
        scene = cls(
            PathPolicy(rules=rules or LinkRules(), table=table(*links), servers=(SERVER4, SERVER6))
        )
        way = first.ways[0]
        scene.paths[ZERO] = ModelPath(first.ifindex, LinkRole.PRIMARY, is_validated=True)
        scene.feed(
            PathStarted(
                path_id=ZERO,
                view=PathView(
                    ifindex=first.ifindex,
                    source=way.source,
                    server=way.server,
                    role=LinkRole.PRIMARY,
                    is_validated=True,
                ),
            )
        )
        return scene

    def feed(self, event: Event) -> list[Command]:
        """Feed an event with all that follows; return the commands."""
        begin = len(self.commands)
        pending = [event]
        while pending:
            self.state, commands = step(self.state, pending.pop(0), Instant(self.now))
            self.commands += commands
            for command in commands:
                answer = self._obey(command)
                if answer is not None:
                    pending.append(answer)
        return self.commands[begin:]

    def links(self, *links: Link) -> list[Command]:
        """The machine has exactly these links now."""
        return self.feed(LinksChanged(table=table(*links)))

    def change(self, one: Link) -> list[Command]:
        """One link is another one now."""
        links = {**self.state.table.links, one.ifindex: one}
        return self.feed(LinksChanged(table=LinkTable(links=links)))

    def rules(self, rules: LinkRules) -> list[Command]:
        return self.feed(RulesChanged(rules=rules))

    def prove(self, path_id: int) -> list[Command]:
        """The server answers on a path."""
        self.paths[PathId(path_id)].is_validated = True
        return self.feed(PathProved(path_id=PathId(path_id)))

    def prove_all(self) -> list[Command]:
        return [
            c for path_id in list(self.paths) if path_id in self.paths for c in self.prove(path_id)
        ]

    def end(self, path_id: int) -> list[Command]:
        """The connection gives a path up."""
        del self.paths[PathId(path_id)]
        return self.feed(PathEnded(path_id=PathId(path_id)))

    def free_id(self) -> list[Command]:
        self.free_ids += 1
        return self.feed(PathIdsFreed())

    def wait(self, seconds: float) -> list[Command]:
        """Let time pass, with wake-ups where the policy wants them."""
        until = self.now + seconds
        begin = len(self.commands)
        while (deadline := next_timeout(self.state)) is not None and deadline <= until:
            before = self.now
            self.now = max(self.now, deadline)
            commands = self.feed(TimeCame())
            assert commands or self.now > before, "woken for nothing, again and again"
        self.now = until
        return self.commands[begin:]

    def on(self, *links: Link) -> list[tuple[int, LinkRole]]:
        """Paths on these links, with their roles."""
        wanted = [link.ifindex for link in links]
        return [
            (int(i), path.role) for i, path in sorted(self.paths.items()) if path.ifindex in wanted
        ]

    def _obey(self, command: Command) -> Event | None:
        match command:
            case OpenPath():
                return self._open(command)
            case MigratePath():
                assert command.path_id in self.paths
                if command.link.name in self.refuses:
                    return OpeningFailed(ifindex=command.link.ifindex, for_want_of_ids=False)
                return self._start(command.path_id, command)
            case ClosePath():
                del self.paths[command.path_id]
            case SetPathUse():
                assert command.role is not LinkRole.NEVER
                self.paths[command.path_id].role = command.role
            case EndConnection():
                self.has_ended = True
        return None

    def _open(self, command: OpenPath) -> Event:
        assert self.state.is_multipath
        if command.link.name in self.refuses:
            return OpeningFailed(ifindex=command.link.ifindex, for_want_of_ids=False)
        if self.free_ids == 0:
            return OpeningFailed(ifindex=command.link.ifindex, for_want_of_ids=True)
        self.free_ids -= 1
        path_id = PathId(self.next_id)
        self.next_id += 1
        return self._start(path_id, command)

    def _start(self, path_id: PathId, command: OpenPath | MigratePath) -> PathStarted:
        assert command.role is not LinkRole.NEVER
        assert command.way in command.link.ways
        self.paths[path_id] = ModelPath(command.link.ifindex, command.role)
        view = PathView(
            ifindex=command.link.ifindex,
            source=command.way.source,
            server=command.way.server,
            role=command.role,
        )
        return PathStarted(path_id=path_id, view=view)


def down(link: Link) -> Link:
    """The link without carrier."""
    return replace(link, has_carrier=False, known_ways=())


def kinds(commands: object) -> list[str]:
    """Return the names of their types."""
    assert isinstance(commands, list)
    return [type(command).__name__ for command in commands]
