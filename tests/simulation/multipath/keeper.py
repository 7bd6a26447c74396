"""A client's policy for its links in simulations: a path over each link that is said to be up."""

from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.ids import PathId
from mqvpn_core.quic.events import PathAbandoned
from mqvpn_core.quic.path_manager import PathUnavailableError
from mqvpn_core.testing.multi_pair import MultiPair, client_address
from mqvpn_core.wire.code_points import TransportErrorCode

INTERVAL = 0.25


class PathKeeper:
    """Opens a path for every link without one, and gives it up when the link is reported down."""

    def __init__(self, pair: MultiPair) -> None:
        """Start with path 0 on link 0."""
        self.is_running = True
        self.opened_count = 0
        self._pair = pair
        self._known_down: set[int] = set()
        self._tick()

    def report(self, index: int, *, is_up: bool) -> None:
        """The kernel says that a link has come or gone."""
        if is_up:
            self._known_down.discard(index)
        else:
            self._known_down.add(index)
            for path_id in self._paths_over(index):
                self._give_up(path_id)
        self._open_missing()

    def stop(self) -> None:
        """Leave everything as it is."""
        self.is_running = False

    def _tick(self) -> None:
        if not self.is_running:
            return
        self._open_missing()
        for index in self._known_down:
            for path_id in self._paths_over(index):
                self._give_up(path_id)
        simulator = self._pair.simulator
        simulator.at(simulator.elapsed + INTERVAL, "look after the paths", self._tick)

    def _open_missing(self) -> None:
        for index in range(self._pair.link_count):
            if index in self._known_down or self._paths_over(index):
                continue
            try:
                self._pair.open(index)
            except PathUnavailableError:
                return
            self.opened_count += 1

    def _paths_over(self, index: int) -> list[PathId]:
        host = client_address(index).host
        return [
            path.path_id
            for path in self._pair.client.paths.values()
            if path.four_tuple.local.host == host and path.state != "abandoning"
        ]

    def _give_up(self, path_id: PathId) -> None:
        connection = self._pair.client.connection
        healthy = [
            path.path_id for path in self._pair.client.paths.values() if path.state == "active"
        ]
        if healthy and healthy != [path_id]:
            try:
                connection.abandon_path(
                    path_id,
                    TransportErrorCode.PATH_UNSTABLE_OR_POOR,
                    self._pair.simulator.now,
                )
            except LocalProtocolError:
                return  # it is the last one after all


def abandoned_by_peer(pair: MultiPair) -> int:
    """How many paths the server has given up first."""
    return sum(event.by_peer for event in pair.client.events_of(PathAbandoned))
