"""A core that was taken over: every attempt that docs/security.md names, and what comes of it."""

import array
import fcntl
import os
import socket
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

import pytest
import trio
from typing_extensions import override

from mqvpn_helper.host.tun import OpenedTun, open_tun
from mqvpn_helper.interface.bus_names import BusError, BusEventKind, TunnelState
from mqvpn_helper.interface.control_messages import (
    MAX_MESSAGE_BYTES,
    MAX_PATHS,
    PROTOCOL_VERSION,
    CoreMessage,
    CoreRequest,
    EventReport,
    FindLink,
    Hello,
    LinkFound,
    PathsReport,
    Refused,
    StateReport,
    UseNetwork,
    UseServers,
)
from mqvpn_helper.interface.core_coding import encode_core_message
from mqvpn_helper.session.core_link import BYTES, PACKETS, REPORTS, REQUESTS
from mqvpn_helper.session.core_run import EXIT_LIMIT, GREETING_LIMIT, LEAVE_LIMIT
from mqvpn_helper.session.events import EventReported, StateChanged
from mqvpn_helper.session.tunnel_session import MAX_DEATHS
from tests.helper.namespaces import fresh_namespace
from tests.session.samples import GATEWAY, LAN, PATH
from tests.session.stage import (
    FakeSessionHost,
    PlayedCore,
    Script,
    Stage,
    perform,
    until_told_to_leave,
)

TUNSETPERSIST = 0x400454CB


def _network(
    address: str = "10.0.0.2/32", routes: tuple[str, ...] = (), links: tuple[str, ...] = ()
) -> UseNetwork:
    return UseNetwork(
        id=1,
        mtu=1340,
        addresses=(ip_interface(address),),
        routes=tuple(ip_network(each) for each in routes),
        links=links,
    )


async def _disconnect_late(stage: Stage) -> None:
    await trio.sleep(600)
    stage.session.disconnect()


@pytest.mark.parametrize(
    "request_",
    [
        UseServers(id=1, addresses=(ip_address("198.51.100.66"),)),
        UseServers(id=1, addresses=(ip_address("127.0.0.1"),)),
        _network(f"{GATEWAY}/32"),
        _network("192.168.1.9/24"),
        _network("127.0.0.1/8"),
        _network("0.0.0.1/0"),
        _network(routes=(LAN,)),
        _network(routes=("127.0.0.0/8",)),
        _network(routes=("224.0.0.0/4",)),
        _network(links=("..",)),
        _network(links=("lo",)),
        replace(_network(), excluded=(ip_address("198.51.100.66"),)),
    ],
)
def test_what_is_outside_the_profile_is_refused_and_changes_nothing(request_: CoreRequest) -> None:
    replies: list[object] = []

    async def ask(core: PlayedCore) -> None:
        await core.greet()
        replies.append(await core.ask(request_))
        await until_told_to_leave(core)

    stage = perform(ask, meanwhile=_disconnect_late, routes="advertised")
    assert isinstance(replies[0], Refused)
    assert len(stage.host.plans) == 1
    assert stage.host.plans[0].addresses == ()


def test_its_own_routes_count_only_where_the_profile_asks_for_them() -> None:
    async def ask(core: PlayedCore) -> None:
        await core.greet()
        await core.ask(_network(routes=("192.168.1.7/32", "8.8.8.8/32")))
        await until_told_to_leave(core)

    stage = perform(ask, meanwhile=_disconnect_late)
    assert [str(each) for each in stage.host.plans[-1].routes] == ["0.0.0.0/1", "128.0.0.0/1"]


def test_a_name_leads_no_neighbour_into_the_tunnel() -> None:
    asked = tuple(map(ip_address, ("192.168.1.7", "198.51.100.7")))

    async def ask(core: PlayedCore) -> None:
        await core.greet()
        for _ in range(2):
            await core.ask(replace(_network(), included=asked))
        await until_told_to_leave(core)

    stage = perform(ask, meanwhile=_disconnect_late, split_include=["work.example.org"])
    assert [str(each) for each in stage.host.plans[-1].routes] == ["198.51.100.7/32"]
    (told,) = (event.detail.get("text") for event in stage.of(EventReported))
    assert told == "a name that leads into a network of this machine is not tunnelled there"


_PACKETS = [
    b"",
    b"\x00" * 100,
    b"{",
    b"[" * 60000,
    b'{"kind":"apply","plan":{"tun_name":"eth0"}}',
    b'{"kind":"run","command":"/bin/sh"}',
    b'{"kind":"open","path":"/etc/shadow"}',
    b'{"kind":"use_network","id":1,"mtu":1340,"addresses":[],"routes":[],"tun_name":"eth0"}',
    b'{"kind":"use_network","id":1,"mtu":1340,"addresses":[],"routes":[],"kill_switch":null}',
    b'{"kind":"use_network","id":1,"mtu":1340,"addresses":[],"routes":[],"dns":["6.6.6.6"]}',
    b'{"kind":"state","state":"off","reason":""}',
    b'{"kind":"event","event":"killswitch","path":"","detail":{"mode":"off"}}',
    b" " * (MAX_MESSAGE_BYTES + 1),
    b'{"kind":"hello","protocol":1}',
]


@pytest.mark.parametrize("packet", _PACKETS, ids=lambda packet: str(packet[:30]))
def test_a_packet_that_is_no_message_ends_the_core(packet: bytes) -> None:
    async def babble(core: PlayedCore) -> None:
        await core.greet()
        with trio.move_on_after(100):
            await core.socket.send(packet)
            await core.wait_end()

    stage = perform(babble)
    assert len(stage.launcher.cores) == MAX_DEATHS + 1
    assert stage.end.error is not None
    assert stage.end.error.kind is BusError.CORE_DIED
    assert {plan.addresses for plan in stage.host.plans} == {()}


def test_helper_words_are_not_for_the_core_to_say() -> None:
    async def lie(core: PlayedCore) -> None:
        await core.greet()
        await core.send(EventReport(kind=BusEventKind.KILLSWITCH, detail={"mode": "off"}))
        await core.wait_end()

    stage = perform(lie)
    kinds = {event.kind for event in stage.of(EventReported)}
    assert kinds == {BusEventKind.CORE_DIED}


async def _never_greets(core: PlayedCore) -> None:
    await trio.sleep(GREETING_LIMIT * 2)
    await core.greet()


async def _another_version(core: PlayedCore) -> None:
    await core.send(Hello(protocol=PROTOCOL_VERSION + 1))
    await trio.sleep_forever()


async def _asks_before_it_greets(core: PlayedCore) -> None:
    await core.send(_network())
    await trio.sleep_forever()


async def _closes_but_stays(core: PlayedCore) -> None:
    await core.greet()
    core.socket.shutdown(socket.SHUT_RDWR)
    await trio.sleep_forever()


@pytest.mark.parametrize(
    "script", [_never_greets, _another_version, _asks_before_it_greets, _closes_but_stays]
)
def test_a_core_that_does_not_play_by_the_rules_is_killed(script: Script) -> None:
    stage = perform(script)
    assert all(core.was_killed for core in stage.launcher.cores)
    assert stage.end.error is not None
    assert stage.end.error.kind is BusError.CORE_DIED


def test_a_core_that_does_not_leave_is_killed() -> None:
    async def clings(core: PlayedCore) -> None:
        await core.greet()
        await trio.sleep_forever()

    ended_at: list[float] = []

    async def leave(stage: Stage) -> None:
        await trio.sleep(5)
        started = trio.current_time()
        stage.session.disconnect()
        while not stage.host.undone:  # noqa: ASYNC110 - in virtual time
            await trio.sleep(0.5)
        ended_at.append(trio.current_time() - started)

    stage = perform(clings, meanwhile=leave)
    assert stage.launcher.cores[0].was_killed
    assert stage.host.undone == [False]
    assert ended_at <= [LEAVE_LIMIT + EXIT_LIMIT + 1]


def test_a_core_that_is_stuck_is_replaced() -> None:
    async def hangs(core: PlayedCore) -> None:
        await core.greet()
        await core.send(StateReport(state=TunnelState.UP))
        await trio.sleep_forever()

    async def lives(core: PlayedCore) -> None:
        await core.greet()
        await until_told_to_leave(core)

    stage = perform(hangs, lives, meanwhile=_disconnect_late)
    assert len(stage.launcher.cores) == 2
    assert stage.launcher.cores[0].was_killed
    texts = [event.detail.get("text") for event in stage.of(EventReported)]
    assert texts == ["the core is stuck"]


def test_a_core_that_reads_nothing_is_given_up() -> None:
    async def deaf(core: PlayedCore) -> None:
        await core.greet()
        with suppress(OSError):  # the helper closes its end
            while True:
                await core.send(FindLink(id=1, address=ip_address("203.0.113.2")))
        await trio.sleep_forever()

    stage = perform(deaf)
    assert stage.launcher.cores[0].was_killed
    assert stage.end.error is not None
    assert stage.end.error.text == "the core does not take messages"


def _flood(message: CoreMessage, seconds: float) -> tuple[Stage, int]:
    sent = 0

    async def flood(core: PlayedCore) -> None:
        nonlocal sent
        await core.greet()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(core.wait_end)
            with trio.move_on_after(seconds):
                while True:
                    await core.send(message)
                    sent += 1
            nursery.cancel_scope.cancel()
        core.socket.shutdown(socket.SHUT_WR)
        await core.wait_end()

    async def disconnect(stage: Stage) -> None:
        await trio.sleep(seconds + LEAVE_LIMIT + 60)
        stage.session.disconnect()

    return perform(flood, until_told_to_leave_after_greeting, meanwhile=disconnect), sent


async def until_told_to_leave_after_greeting(core: PlayedCore) -> None:
    await core.greet()
    await until_told_to_leave(core)


def test_a_flood_of_requests_is_slowed_down() -> None:
    stage, sent = _flood(_network(), 60)
    assert len(stage.host.plans) <= REQUESTS.burst + REQUESTS.rate * 120
    assert sent <= PACKETS.burst + PACKETS.rate * 60 + 2000  # what waits in the socket


def test_a_flood_of_reports_is_thinned_out() -> None:
    event = EventReport(kind=BusEventKind.FAILOVER, detail={"text": "x" * 500})
    stage, sent = _flood(event, 60)
    told = len(stage.of(EventReported))
    assert sent > told
    assert told <= REPORTS.burst + REPORTS.rate * 120


def test_a_flood_of_long_messages_is_slowed_down_by_their_length() -> None:
    paths = tuple(replace(PATH, interface=f"wlan{number}") for number in range(MAX_PATHS))
    message = PathsReport(paths=paths, is_periodic=False)
    length = len(encode_core_message(message))
    waiting = 1 << 20  # what the socket holds
    seconds = 4
    _, sent = _flood(message, seconds)
    assert sent * length <= BYTES.burst + BYTES.rate * seconds + waiting


def test_a_flood_of_states_is_slowed_down() -> None:
    async def flicker(core: PlayedCore) -> None:
        await core.greet()
        states = (TunnelState.UP, TunnelState.RECONNECTING)
        with trio.move_on_after(60):
            for number in range(1_000_000):
                await core.send(StateReport(state=states[number % 2]))
        await until_told_to_leave(core)

    stage = perform(flicker, meanwhile=_disconnect_late)
    assert len(stage.of(StateChanged)) <= PACKETS.burst + PACKETS.rate * 120


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_descriptors_that_it_sends_are_not_taken() -> None:
    before = _open_descriptors()
    held: list[int] = []

    async def give(core: PlayedCore) -> None:
        await core.greet()
        fd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd] * 50))]
        await core.socket.sendmsg([b'{"kind":"find_link","id":1,"address":"203.0.113.2"}'], rights)
        os.close(fd)
        reply = await core.receive()
        assert isinstance(reply, LinkFound)
        held.append(_open_descriptors())
        await until_told_to_leave(core)

    async def disconnect(stage: Stage) -> None:
        await trio.sleep(10)
        stage.session.disconnect()

    perform(give, meanwhile=disconnect, host=FakeSessionHost())
    assert held[0] < before + 20


class _HostWithDevice(FakeSessionHost):
    """A machine with a real TUN device, which a core has told to outlive everybody."""

    @override
    async def open_tun(self, name: str, *, keep_leftovers: bool) -> OpenedTun:
        await trio.lowlevel.checkpoint()
        tun = open_tun(name, vnet_header=True)
        fcntl.ioctl(tun.fd, TUNSETPERSIST, 1)
        return tun


@pytest.mark.netns
def test_a_device_that_was_made_to_stay_goes_with_the_tunnel() -> None:
    async def disconnect(stage: Stage) -> None:
        await trio.sleep(10)
        assert "mqvpn0" in {name for _, name in socket.if_nameindex()}
        stage.session.disconnect()

    with fresh_namespace():
        host = _HostWithDevice()
        perform(until_told_to_leave_after_greeting, meanwhile=disconnect, host=host)
        assert [name for _, name in socket.if_nameindex()] == ["lo"]
