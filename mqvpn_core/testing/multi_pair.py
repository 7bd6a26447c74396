"""A client with several links and a server, both of ours, with multipath negotiated.

Adds links and commands about paths to `pair.Pair`; faults and assertions are the scenarios'.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from typing_extensions import override

from mqvpn_core.ids import FourTuple, PathId, SocketAddress
from mqvpn_core.quic.events import PathValidated
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.testing.link_elements import Delay, LinkElement
from mqvpn_core.testing.links import Link
from mqvpn_core.testing.pair import SERVER_ADDRESS, Pair, PairConfig, Peer

FIRST_CLIENT_PORT = 5000
MULTIPATH = TransportConfig(initial_max_path_id=4)
"""Settings of both ends unless a scenario says otherwise."""

MULTIPATH_PAIR = PairConfig(client=MULTIPATH, server=MULTIPATH)
"""A pair with plain settings."""

LINK_DELAY = Delay(0.01)
"""What a link is made of unless a scenario says otherwise: a round trip of 20 ms."""


class MultiPair(Pair):
    """A pair whose client has several links, numbered from 0; the handshake runs over the first.

    A: ``link``, ``address``, ``four_tuple``, ``client_connection``, ``server_connection``.
    C: ``open``, ``open_all``, ``abandon``, and what `Pair` has.
    """

    def __init__(
        self,
        seed: int,
        config: PairConfig = MULTIPATH_PAIR,
        links: Sequence[Sequence[LinkElement]] = ((LINK_DELAY,), (LINK_DELAY,)),
    ) -> None:
        """Prepare the hosts.

        Args:
            seed: decides every random choice.
            config: settings of both ends; its client link is ignored.
            links: chain of each of the client's links, nearest to the client first.
        """
        super().__init__(seed, replace(config, client_link=()))
        self._chains = [tuple(chain) for chain in links]

    @override
    def __enter__(self) -> Self:
        """Seed the libraries and set up the hosts."""
        super().__enter__()
        links = [
            Link(link_name(index), client_address(index).host, chain)
            for index, chain in enumerate(self._chains)
        ]
        self.simulator.add_host("client", self.client_node, links)
        return self

    @property
    def link_count(self) -> int:
        """How many links the client has."""
        return len(self._chains)

    def link(self, index: int) -> Link:
        """Return a link of the client, to change or to read it."""
        return self.simulator.link("client", link_name(index))

    def four_tuple(self, index: int) -> FourTuple:
        """Return the network path over a link as the client sees it."""
        return FourTuple(client_address(index), SERVER_ADDRESS)

    @override
    def connect(self) -> None:
        """Start the client's handshake over the first link."""
        self.client.connection.connect(self.four_tuple(0), self.simulator.now)

    def open(self, index: int) -> PathId:
        """Let the client open a path over a link; nothing is waited for."""
        return self.client.connection.open_path(self.four_tuple(index), self.simulator.now)

    def open_all(self, *, limit: float = 10.0) -> list[PathId]:
        """Shake hands, open a path over every link and wait until both ends have validated them."""
        self.handshake()
        self.simulator.run_for(0.5)
        opened = [self.open(index) for index in range(1, self.link_count)]
        self.simulator.run_until(
            lambda: all(
                validated_paths(peer) >= set(opened) for peer in (self.client, self.server)
            ),
            limit=limit,
        )
        return [PathId(0), *opened]

    def abandon(self, path_id: int, error_code: int = 0, *, by_server: bool = False) -> None:
        """Let one end give a path up."""
        peer = self.server if by_server else self.client
        peer.abandon_path(PathId(path_id), error_code, self.simulator.now)


def client_address(index: int) -> SocketAddress:
    """Return the address of one of the client's links."""
    return SocketAddress(f"10.0.{index}.2", FIRST_CLIENT_PORT + index)


def link_name(index: int) -> str:
    """Return what traces call one of the client's links."""
    return f"link{index}"


def validated_paths(peer: Peer) -> set[PathId]:
    """Return the paths that an end has ever validated."""
    return {event.path_id for event in peer.events_of(PathValidated)}
