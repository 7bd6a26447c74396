"""Random operations on a pair in any order: whatever happens, both ends come to rest.

``MQVPN_SIM_EXAMPLES=2000 pytest tests/simulation/test_random_interaction.py`` looks further, with
examples of its own; without it the same 50 are run every time.
"""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from typing_extensions import override

from mqvpn_core.quic.events import ConnectionTerminated
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.testing.link_elements import (
    Aggregate,
    Delay,
    Direction,
    Duplicate,
    EcnMark,
    Jitter,
    LinkElement,
    Loss,
    Mtu,
    OneWay,
    RateLimit,
    Reorder,
)
from mqvpn_core.testing.nat import Nat
from mqvpn_core.testing.pair import Pair, PairConfig, Peer
from tests.simulation.rules import PairRules

EXAMPLES_VARIABLE = "MQVPN_SIM_EXAMPLES"
HOSTS = ("203.0.113.1", "203.0.113.9")
QUIET = TransportConfig(keep_alive=None, idle_timeout=60.0)

elements = st.one_of(
    st.builds(Delay, st.floats(0.0, 0.3)),
    st.builds(Loss, st.floats(0.0, 0.5)),
    st.builds(Jitter, st.floats(0.0, 0.1)),
    st.builds(Reorder, st.floats(0.0, 0.5), st.floats(0.0, 0.1)),
    st.builds(Duplicate, st.floats(0.0, 0.5), st.floats(0.0, 0.1)),
    st.builds(RateLimit, st.floats(20_000, 1_000_000), st.integers(5_000, 100_000)),
    st.builds(Mtu, st.integers(1228, 1500)),
    st.builds(EcnMark, st.floats(0.0, 1.0)),
    st.builds(Aggregate, st.floats(0.001, 0.05)),
)
chains = st.lists(
    st.one_of(elements, st.builds(OneWay, st.sampled_from(Direction), elements)), max_size=4
)


class RandomInteraction(RuleBasedStateMachine):
    """Two ends of one connection and a hand that does things to them."""

    def __init__(self) -> None:
        super().__init__()
        config = PairConfig(client=QUIET, server=QUIET)
        self.pair = Pair(1, config)
        self.pair.__enter__()
        self.watch = PairRules(self.pair)
        self.chain: list[LinkElement] = []
        self.public_port = 40_000
        self.sent: dict[tuple[bool, int], bytearray] = {}
        self.finished: set[tuple[bool, int]] = set()
        self.opened_count = {True: 0, False: 0}
        self.is_closed = False

    @initialize(chain=chains, is_connected=st.sampled_from([True, True, True, False]))
    def start(self, chain: list[LinkElement], is_connected: bool) -> None:
        """Begin with an idle connection, or in the middle of a handshake."""
        self.change_network([Delay(0.02)], 0)
        if is_connected:
            self.pair.handshake()
        else:
            self.pair.connect()
        self.change_network(chain, 0)

    @rule(seconds=st.floats(0.0, 2.0))
    def let_time_pass(self, seconds: float) -> None:
        self.pair.simulator.run_for(seconds)

    @rule(chain=chains, host=st.integers(0, 1))
    def change_network(self, chain: list[LinkElement], host: int) -> None:
        """Another network, behind a NAT with a fresh mapping."""
        self.public_port += 1
        nat = Nat(HOSTS[host], first_port=self.public_port)
        self.chain = [*chain, nat]
        self.pair.simulator.link("client", "wifi").replace(self.chain)

    @rule(is_up=st.booleans())
    def switch_link(self, is_up: bool) -> None:
        self.pair.simulator.link("client", "wifi").is_up = is_up

    @precondition(lambda self: self.may_talk)
    @rule(by_client=st.booleans(), size=st.integers(0, 20_000), ends=st.booleans())
    def open_stream(self, by_client: bool, size: int, ends: bool) -> None:
        # Even streams are the client's, odd ones the server's (bidirectional, RFC 9000 s2.1).
        stream_id = 4 * self.opened_count[by_client] + (not by_client)
        self.opened_count[by_client] += 1
        self.write(by_client, stream_id, size, ends)

    @precondition(lambda self: self.may_talk)
    @rule(by_client=st.booleans(), size=st.integers(0, 20_000), ends=st.booleans(), data=st.data())
    def write_stream(self, by_client: bool, size: int, ends: bool, data: st.DataObject) -> None:
        """Go on with a stream of our own, or answer on one of the other end."""
        local = self.end(is_client=by_client)
        answerable = {stream_id for stream_id in range(40) if local.received_stream(stream_id)}
        own = {stream_id for is_client, stream_id in self.sent if is_client == by_client}
        done = {stream_id for is_client, stream_id in self.finished if is_client == by_client}
        candidates = sorted((answerable | own) - done)
        if candidates:
            self.write(by_client, data.draw(st.sampled_from(candidates)), size, ends)

    def write(self, by_client: bool, stream_id: int, size: int, ends: bool) -> None:
        content = bytes((stream_id + index) % 251 for index in range(size))
        self.sent.setdefault((by_client, stream_id), bytearray()).extend(content)
        if ends:
            self.finished.add((by_client, stream_id))
        self.end(is_client=by_client).send_stream(stream_id, content, end_stream=ends)

    @precondition(lambda self: self.may_talk)
    @rule(by_client=st.booleans(), sizes=st.lists(st.integers(0, 1500), max_size=20))
    def send_datagrams(self, by_client: bool, sizes: list[int]) -> None:
        payloads = [bytes(size) for size in sizes]
        self.end(is_client=by_client).send_datagrams(payloads, self.pair.simulator.now)

    @precondition(lambda self: self.may_talk)
    @rule(by_client=st.booleans())
    def update_keys(self, by_client: bool) -> None:
        self.end(is_client=by_client).request_key_update(self.pair.simulator.now)

    # Late, or most runs would be short.
    @precondition(lambda self: self.may_talk and len(self.sent) > 4)
    @rule(by_client=st.booleans())
    def close(self, by_client: bool) -> None:
        self.is_closed = True
        self.end(is_client=by_client).close(0x100, "random")

    @invariant()
    def streams_arrive_unchanged(self) -> None:
        for (by_client, stream_id), data in self.sent.items():
            received = self.end(is_client=not by_client).received_stream(stream_id)
            assert data.startswith(received)

    @property
    def may_talk(self) -> bool:
        """Both ends are connected."""
        client = self.pair.client
        node = self.pair.server_node
        return (
            not self.is_closed
            and client.connection.handshake_complete
            and client.termination is None
            and bool(node.peers)
            and self.pair.server.connection.handshake_complete
            and self.pair.server.termination is None
        )

    def end(self, *, is_client: bool) -> Peer:
        return self.pair.client if is_client else self.pair.server

    @override
    def teardown(self) -> None:
        """Heal the network: everything must arrive, fall silent and end."""
        try:
            self.come_to_rest()
        finally:
            self.pair.__exit__(None, None, None)

    def come_to_rest(self) -> None:
        simulator = self.pair.simulator
        simulator.link("client", "wifi").is_up = True
        self.change_network([Delay(0.01)], 0)
        if self.may_talk:
            # A word from the client shows the server where it is now.
            self.pair.client.send_datagrams([b"here I am"], simulator.now)
        simulator.run_until_quiet(quiet=5.0, limit=400.0)
        if self.may_talk:
            self.watch.assert_idle()
            for by_client, stream_id in self.sent:
                received = self.end(is_client=not by_client).received_stream(stream_id)
                assert received == self.sent[by_client, stream_id]
            self.pair.client.close(0x100, "enough")
        simulator.run_for(300.0)
        assert self.pair.client.connection.is_closed
        assert not self.pair.server_node.endpoint.connections
        assert len(self.pair.client.events_of(ConnectionTerminated)) == 1
        self.watch.finish()


RandomInteraction.TestCase.settings = settings(
    max_examples=int(os.environ.get(EXAMPLES_VARIABLE, "50")),
    stateful_step_count=30,
    deadline=None,
    derandomize=EXAMPLES_VARIABLE not in os.environ,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
TestRandomInteraction = pytest.mark.slow(RandomInteraction.TestCase)
