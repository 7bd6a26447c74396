"""What the lifecycle promises over any course of events."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.tunnel.assignment import Assignment
from mqvpn_core.tunnel.lifecycle import (
    ApplyHost,
    AssignmentChanged,
    AttemptFailed,
    Blocked,
    CloseTunnel,
    Connected,
    Connecting,
    ConnectRequested,
    Disconnected,
    DisconnectRequested,
    Event,
    Failure,
    FailureKind,
    HostRestored,
    Reconnecting,
    RestoreHost,
    StartAttempt,
    State,
    TunnelLost,
    TunnelUp,
    step,
)

A = Assignment(
    addresses=(IPv4Interface("10.0.0.2/32"),),
    routes=(),
    mtu=1380,
    server=IPv4Address("192.0.2.1"),
)
ASSIGNMENTS = st.sampled_from([A, replace(A, mtu=1300)])
FAILURES = st.builds(
    Failure, kind=st.sampled_from(FailureKind), message=st.just("x"), may_retry=st.booleans()
)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(ConnectRequested, reconnect=st.booleans()),
    st.builds(AttemptFailed, failure=FAILURES),
    st.builds(TunnelUp, assignment=ASSIGNMENTS),
    st.builds(AssignmentChanged, assignment=ASSIGNMENTS),
    st.builds(TunnelLost, failure=FAILURES),
    st.builds(DisconnectRequested),
    st.builds(HostRestored),
)


pytestmark = pytest.mark.slow


class Machine:
    """Carries the commands out and keeps the books."""

    def __init__(self) -> None:
        self.state: State = Disconnected()
        self.on_host: Assignment | None = None
        self.attempts = 0

    def feed(self, event: Event) -> None:
        try:
            self.state, commands = step(self.state, event)
        except LocalProtocolError:
            return
        if isinstance(event, AttemptFailed | TunnelLost):
            self.attempts = 0
        for command in commands:
            match command:
                case StartAttempt():
                    self.attempts += 1
                case ApplyHost():
                    self.on_host = command.assignment
                case CloseTunnel():
                    self.attempts = 0
                case RestoreHost():
                    self.on_host = None

    def check(self) -> None:
        assert self.attempts <= 1
        match self.state:
            case Connected() | Reconnecting():
                # The host carries what the state says, through every outage.
                assert self.on_host == self.state.assignment
                assert self.attempts == 1
            case Connecting():
                assert self.attempts == 1
            case Disconnected() | Blocked():
                assert self.attempts == 0
            case _:
                assert self.on_host is None


@given(st.lists(EVENTS, max_size=60))
def test_host_and_attempts_agree_with_the_state(events: list[Event]) -> None:
    machine = Machine()
    for event in events:
        machine.feed(event)
        machine.check()


@given(st.lists(EVENTS, max_size=60))
def test_the_user_can_always_leave(events: list[Event]) -> None:
    machine = Machine()
    for event in events:
        machine.feed(event)
    machine.feed(DisconnectRequested())
    machine.feed(HostRestored())
    assert isinstance(machine.state, Disconnected)
    assert machine.on_host is None


@given(st.lists(FAILURES, max_size=30))
def test_a_tunnel_that_was_up_is_never_given_up(failures: list[Failure]) -> None:
    machine = Machine()
    machine.feed(ConnectRequested(reconnect=True))
    machine.feed(TunnelUp(assignment=A))
    for failure in failures:
        machine.feed(AttemptFailed(failure=failure))
        if failure.kind is not FailureKind.HOST:
            machine.feed(TunnelLost(failure=failure))
        assert isinstance(machine.state, Connected | Reconnecting)
        assert machine.on_host == A
