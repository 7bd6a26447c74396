"""Every transition of the tunnel's life, and what it tells the shell to do."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.tunnel.assignment import Assignment
from mqvpn_core.tunnel.lifecycle import (
    ApplyHost,
    AssignmentChanged,
    AttemptFailed,
    Blocked,
    CloseTunnel,
    Command,
    Connected,
    Connecting,
    ConnectRequested,
    Disconnected,
    Disconnecting,
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
    routes=(IPv4Network("0.0.0.0/0"),),
    mtu=1380,
    server=IPv4Address("192.0.2.1"),
)
B = replace(A, addresses=(IPv4Interface("10.0.0.9/32"),))
LOST = Failure(kind=FailureKind.LOST, message="gone")
SILENT = Failure(kind=FailureKind.UNREACHABLE, message="no answer")
WRONG_KEY = Failure(kind=FailureKind.CREDENTIALS, message="the key is wrong")
NO_ROOT = Failure(kind=FailureKind.HOST, message="not allowed")
FINAL = Failure(kind=FailureKind.REFUSED, message="status 404", may_retry=False)

DISCONNECTED = Disconnected()
CONNECTING = Connecting(attempt=1, reconnect=True)
ONE_SHOT = Connecting(attempt=1, reconnect=False)
CONNECTED = Connected(assignment=A, reconnect=True)
RECONNECTING = Reconnecting(assignment=A, attempt=1)
DISCONNECTING = Disconnecting()
BLOCKED = Blocked(cause=WRONG_KEY)

TABLE: list[tuple[State, Event, State, tuple[Command, ...]]] = [
    (DISCONNECTED, ConnectRequested(reconnect=True), CONNECTING, (StartAttempt(attempt=1),)),
    (DISCONNECTED, DisconnectRequested(), DISCONNECTED, ()),
    (
        CONNECTING,
        AttemptFailed(failure=SILENT),
        Connecting(attempt=2, reconnect=True),
        (StartAttempt(attempt=2),),
    ),
    (CONNECTING, AttemptFailed(failure=WRONG_KEY), Blocked(cause=WRONG_KEY), ()),
    (CONNECTING, AttemptFailed(failure=NO_ROOT), Blocked(cause=NO_ROOT), ()),
    (CONNECTING, AttemptFailed(failure=FINAL), Blocked(cause=FINAL), ()),
    (ONE_SHOT, AttemptFailed(failure=SILENT), Blocked(cause=SILENT), ()),
    (CONNECTING, TunnelUp(assignment=A), CONNECTED, (ApplyHost(assignment=A),)),
    (CONNECTING, DisconnectRequested(), DISCONNECTING, (CloseTunnel(), RestoreHost())),
    (CONNECTED, AssignmentChanged(assignment=A), CONNECTED, ()),
    (
        CONNECTED,
        AssignmentChanged(assignment=B),
        Connected(assignment=B, reconnect=True),
        (ApplyHost(assignment=B),),
    ),
    (CONNECTED, TunnelLost(failure=LOST), RECONNECTING, (StartAttempt(attempt=1),)),
    (CONNECTED, TunnelLost(failure=NO_ROOT), Blocked(cause=NO_ROOT), ()),
    (
        Connected(assignment=A, reconnect=False),
        TunnelLost(failure=LOST),
        Blocked(cause=LOST),
        (),
    ),
    (CONNECTED, DisconnectRequested(), DISCONNECTING, (CloseTunnel(), RestoreHost())),
    (
        RECONNECTING,
        AttemptFailed(failure=SILENT),
        Reconnecting(assignment=A, attempt=2),
        (StartAttempt(attempt=2),),
    ),
    (
        RECONNECTING,
        AttemptFailed(failure=WRONG_KEY),
        Reconnecting(assignment=A, attempt=2),
        (StartAttempt(attempt=2),),
    ),
    (RECONNECTING, TunnelUp(assignment=A), CONNECTED, ()),
    (
        RECONNECTING,
        TunnelUp(assignment=B),
        Connected(assignment=B, reconnect=True),
        (ApplyHost(assignment=B),),
    ),
    (RECONNECTING, DisconnectRequested(), DISCONNECTING, (CloseTunnel(), RestoreHost())),
    (DISCONNECTING, HostRestored(), DISCONNECTED, ()),
    (DISCONNECTING, AttemptFailed(failure=SILENT), DISCONNECTING, ()),
    (DISCONNECTING, TunnelUp(assignment=A), DISCONNECTING, ()),
    (DISCONNECTING, AssignmentChanged(assignment=B), DISCONNECTING, ()),
    (DISCONNECTING, TunnelLost(failure=LOST), DISCONNECTING, ()),
    (DISCONNECTING, DisconnectRequested(), DISCONNECTING, ()),
    (BLOCKED, ConnectRequested(reconnect=False), ONE_SHOT, (StartAttempt(attempt=1),)),
    (BLOCKED, DisconnectRequested(), DISCONNECTING, (RestoreHost(),)),
]

EVENTS: list[Event] = [
    ConnectRequested(reconnect=True),
    AttemptFailed(failure=SILENT),
    TunnelUp(assignment=A),
    AssignmentChanged(assignment=A),
    TunnelLost(failure=LOST),
    DisconnectRequested(),
    HostRestored(),
]
STATES: list[State] = [DISCONNECTED, CONNECTING, CONNECTED, RECONNECTING, DISCONNECTING, BLOCKED]


@pytest.mark.parametrize(("state", "event", "after", "commands"), TABLE)
def test_transition(
    state: State, event: Event, after: State, commands: tuple[Command, ...]
) -> None:
    assert step(state, event) == (after, commands)


def test_every_pair_outside_the_table_is_refused() -> None:
    listed = {(type(state), type(event)) for state, event, _, _ in TABLE}
    refused = 0
    for state in STATES:
        for event in EVENTS:
            if (type(state), type(event)) not in listed:
                with pytest.raises(LocalProtocolError):
                    step(state, event)
                refused += 1
    assert refused == len(STATES) * len(EVENTS) - len(listed)


def test_an_outage_with_the_same_address_never_touches_the_host() -> None:
    state: State = CONNECTED
    issued: list[Command] = []
    script: list[Event] = [
        TunnelLost(failure=LOST),
        AttemptFailed(failure=SILENT),
        AttemptFailed(failure=WRONG_KEY),
        TunnelUp(assignment=A),
    ]
    for event in script:
        state, commands = step(state, event)
        issued.extend(commands)
    assert state == CONNECTED
    assert issued == [
        StartAttempt(attempt=1),
        StartAttempt(attempt=2),
        StartAttempt(attempt=3),
    ]
