"""Several addresses of one server: the first that answers wins, the others are let go."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

import trio

from mqvpn_core.errors import HostError
from mqvpn_core.ids import IfIndex, SocketAddress
from mqvpn_core.runtime.client_driver import ClientDriver
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.dialing import Candidate, DialLimits, dial
from mqvpn_core.runtime.host_operations import LinkInfo
from mqvpn_core.tunnel.lifecycle import Failure, FailureKind
from tests.runtime.fakes import FakeSocket, FakeTransport, datagram
from tests.runtime.virtual_time import run_virtual


def link(number: int, name: str) -> LinkInfo:
    source = ip_address(f"198.51.100.{number}")
    return LinkInfo(ifindex=IfIndex(number), name=name, source=source, mtu=1500)


WLAN, LTE = link(1, "wlan0"), link(2, "lte0")
A, B, C = (Candidate(remote=SocketAddress(f"192.0.2.{n}", 443), link=WLAN) for n in (1, 2, 3))
A_OVER_LTE = replace(A, link=LTE)
LIMITS = DialLimits()
UNTRUSTED = Failure(kind=FailureKind.CERTIFICATE, message="self-signed")


class FakeDialled:
    """One connection of the race."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.remote = candidate.remote
        self.socket = FakeSocket()
        self.sockets: Sequence[FakeSocket] = [self.socket]
        self.transport = FakeTransport()
        self.driver = ClientDriver(self.transport, self.sockets)
        self.started = read_clock()
        self.is_abandoned = False

    def failure(self) -> Failure | None:
        return UNTRUSTED if self.transport.is_ending else None

    def abandon(self) -> None:
        self.is_abandoned = True
        self.driver.finish()


class Network:
    """Plays the servers: what each address answers, and after how long."""

    def __init__(self, nursery: trio.Nursery, script: dict[Candidate, Sequence[object]]) -> None:
        self.nursery = nursery
        self.script = script
        self.opened: list[FakeDialled] = []

    async def open(self, candidate: Candidate) -> FakeDialled:
        await trio.lowlevel.checkpoint()
        if self.script.get(candidate) == ["no route"]:
            raise HostError("no route to the server")
        dialled = FakeDialled(candidate)
        self.opened.append(dialled)
        self.nursery.start_soon(self._play, dialled)
        return dialled

    async def _play(self, dialled: FakeDialled) -> None:
        for act in self.script.get(dialled.candidate, ()):
            if isinstance(act, float):
                await trio.sleep(act)
            elif isinstance(act, bytes):
                dialled.socket.arrive(datagram(act))


class Outcome:
    """What one dial gave, and what was left of it."""

    def __init__(self, script: dict[Candidate, Sequence[object]]) -> None:
        self.script = script
        self.result: FakeDialled | Failure | None = None
        self.duration = 0.0
        self.opened: list[FakeDialled] = []

    async def play(self) -> None:
        async with trio.open_nursery() as nursery:
            network = Network(nursery, self.script)
            start = read_clock()
            self.result = await dial(list(self.script), network.open, nursery, LIMITS)
            self.duration = read_clock() - start
            self.opened = network.opened
            if isinstance(self.result, FakeDialled):
                assert not self.result.driver.finished.is_set()
                assert not self.result.socket.is_closed
            await trio.sleep(0.001)
            losers = [each for each in self.opened if each is not self.result]
            assert all(each.is_abandoned and each.socket.is_closed for each in losers)
            nursery.cancel_scope.cancel()
            if isinstance(self.result, FakeDialled):
                self.result.abandon()
        assert all(each.socket.is_closed for each in self.opened)


def play(script: dict[Candidate, Sequence[object]]) -> Outcome:
    outcome = Outcome(script)
    run_virtual(outcome.play)
    return outcome


def winner_of(outcome: Outcome) -> Candidate:
    assert isinstance(outcome.result, FakeDialled)
    return outcome.result.candidate


def failure_of(outcome: Outcome) -> Failure:
    assert isinstance(outcome.result, Failure)
    return outcome.result


def test_the_first_address_answers_before_the_second_is_tried() -> None:
    outcome = play({A: [0.1, b"hello"], B: [b"hello"]})
    assert winner_of(outcome) == A
    assert len(outcome.opened) == 1


def test_a_silent_first_address_costs_a_head_start() -> None:
    outcome = play({A: [], B: [0.05, b"hello"]})
    assert winner_of(outcome) == B
    assert outcome.duration < LIMITS.head_start + 0.06


def test_a_silent_first_link_costs_less() -> None:
    outcome = play({A: [], A_OVER_LTE: [0.05, b"hello"]})
    assert winner_of(outcome) == A_OVER_LTE
    assert outcome.duration < LIMITS.link_head_start + 0.06


def test_a_link_that_cannot_be_used_costs_nothing() -> None:
    outcome = play({A: ["no route"], A_OVER_LTE: [0.05, b"hello"]})
    assert winner_of(outcome) == A_OVER_LTE
    assert outcome.duration < 0.06


def test_a_failure_names_the_link() -> None:
    assert "over wlan0" in failure_of(play({A: []})).message
    assert "over lte0" in failure_of(play({A_OVER_LTE: ["no route"]})).message


def test_the_first_address_may_still_win_late() -> None:
    outcome = play({A: [0.5, b"hello"], B: [0.6, b"hello"]})
    assert winner_of(outcome) == A
    assert len(outcome.opened) == 2


def test_an_address_without_a_route_costs_nothing() -> None:
    outcome = play({A: ["no route"], B: [0.01, b"hello"]})
    assert winner_of(outcome) == B
    assert outcome.duration < 0.02


def test_silence_everywhere_is_given_up_early() -> None:
    outcome = play({A: [], B: []})
    failure = failure_of(outcome)
    assert failure.kind is FailureKind.UNREACHABLE
    assert A.remote.host in failure.message
    assert outcome.duration < LIMITS.silence + LIMITS.head_start + 0.01


def test_a_slow_server_that_answers_gets_more_time() -> None:
    outcome = play({A: [1.0, b"initial", 6.0, b"hello"]})
    assert winner_of(outcome) == A


def test_a_handshake_that_never_ends_is_given_up() -> None:
    outcome = play({A: [1.0, b"initial"]})
    assert "does not finish" in failure_of(outcome).message
    assert abs(outcome.duration - LIMITS.handshake) < 0.01


def test_a_refused_certificate_says_more_than_silence() -> None:
    outcome = play({A: [], B: [0.1, b"bye"], C: ["no route"]})
    assert failure_of(outcome) == UNTRUSTED


def test_a_cancelled_dial_leaves_nothing_open() -> None:
    async def main() -> None:
        opened: list[FakeDialled] = []
        for after in (0.0, 0.1, 0.3, 0.4999, 0.5, 0.5001):
            with trio.move_on_after(after) as scope:
                async with trio.open_nursery() as nursery:
                    network = Network(nursery, {A: [0.5, b"hello"], B: []})
                    winner = await dial([A, B], network.open, nursery, LIMITS)
                    scope.cancel()
                    if isinstance(winner, FakeDialled):
                        winner.abandon()
            opened += network.opened
        assert len(opened) > 6
        assert all(each.is_abandoned and each.socket.is_closed for each in opened)

    run_virtual(main)


def test_no_address_at_all() -> None:
    assert failure_of(play({})).kind is FailureKind.UNREACHABLE
