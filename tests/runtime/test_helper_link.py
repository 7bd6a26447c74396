"""The core's side of the control socket: asking, reporting, obeying, and the helper's end."""

import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import IPv4Interface, ip_address, ip_network

import pytest
import trio
import trio.testing

from mqvpn_core.errors import HelperError, HostError
from mqvpn_core.runtime.helper_host import HelperHost, HelperResolver
from mqvpn_core.runtime.helper_link import MAX_WAITING_REPORTS, HelperLink
from mqvpn_core.runtime.host_operations import LinkInfo
from mqvpn_helper.interface.bus_names import TunnelState
from mqvpn_helper.interface.control_messages import (
    CoreMessage,
    Disconnect,
    Done,
    FindLink,
    Hello,
    HelperMessage,
    LeaveNetwork,
    LinkFound,
    Refused,
    Revalidate,
    Start,
    StateReport,
    UseNetwork,
    UseServers,
)
from mqvpn_helper.interface.core_coding import decode_core_message
from mqvpn_helper.interface.helper_coding import encode_helper_message
from mqvpn_helper.interface.host_plan import HostPlan, Split
from mqvpn_helper.interface.profile import Profile

SERVER = ip_address("203.0.113.2")
PLAN = HostPlan(
    tun_name="mqvpn0",
    mtu=1340,
    addresses=(IPv4Interface("10.0.0.2/32"),),
    routes=(ip_network("0.0.0.0/1"), ip_network("128.0.0.0/1")),
    bypass=(SERVER,),
    links=("wlan0",),
)
_DIAL_LIMIT = 10


def _start(**members: object) -> Start:
    return Start(
        profile=Profile.from_mapping({"server": "vpn.example.org", **members}),
        tun_name="mqvpn0",
        ifindex=7,
        instance="instance",
        servers=(),
    )


class _Helper:
    """Plays the helper by a table of answers."""

    def __init__(self, control: socket.socket) -> None:
        control.setblocking(False)
        self.socket = trio.socket.from_stdlib_socket(control)
        self.heard: list[CoreMessage] = []
        self.refuse: str | None = None

    async def hear(self) -> CoreMessage:
        message = decode_core_message(await self.socket.recv(65536))
        self.heard.append(message)
        return message

    async def say(self, message: HelperMessage) -> None:
        await self.socket.send(encode_helper_message(message))

    async def answer_all(self) -> None:
        while True:
            message = await self.hear()
            if not isinstance(message, UseServers | UseNetwork | LeaveNetwork | FindLink):
                continue
            if self.refuse is not None:
                await self.say(Refused(id=message.id, reason=self.refuse))
            elif isinstance(message, FindLink):
                found = LinkFound(id=message.id, ifindex=3, name="wlan0", source=SERVER, mtu=1500)
                await self.say(found)
            else:
                await self.say(Done(id=message.id, warnings=("take care",)))


def _with_link(
    body: Callable[[HelperLink, _Helper, trio.Nursery], Awaitable[None]], *, answering: bool = True
) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link, helper = HelperLink(ours), _Helper(theirs)
        try:
            with trio.fail_after(_DIAL_LIMIT):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(link.run)
                    if answering:
                        nursery.start_soon(helper.answer_all)
                    await body(link, helper, nursery)
                    nursery.cancel_scope.cancel()
        finally:
            link.close()
            helper.socket.close()

    trio.run(main)


def test_greeting() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link, helper = HelperLink(ours), _Helper(theirs)
        started: list[Start] = []

        async def greet() -> None:
            started.append(await link.greet())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(greet)
            assert isinstance(await helper.hear(), Hello)
            await helper.say(_start())
        assert started == [_start()]
        helper.socket.close()
        with pytest.raises(HelperError):
            await link.greet()
        link.close()

    trio.run(main)


def test_the_machine_is_asked_for_what_the_server_gave() -> None:
    async def body(link: HelperLink, helper: _Helper, _nursery: trio.Nursery) -> None:
        host = HelperHost(link, _start(), tun_fd=99)
        handle = await host.open_tun(None)
        assert (handle.fd, handle.name, handle.ifindex) == (99, "mqvpn0", 7)
        assert await host.recover() == ()
        assert (await host.apply(HostPlan(tun_name="mqvpn0", mtu=1280))).warnings == ()
        assert (await host.apply(PLAN)).warnings == ("take care",)
        assert await host.link_towards(SERVER) == LinkInfo(
            ifindex=handle.ifindex.__class__(3), name="wlan0", source=SERVER, mtu=1500
        )
        await host.undo()
        await host.undo()
        asked = [type(message) for message in helper.heard]
        assert asked == [UseNetwork, FindLink, LeaveNetwork]
        network = helper.heard[0]
        assert isinstance(network, UseNetwork)
        assert (network.mtu, network.addresses) == (PLAN.mtu, PLAN.addresses)
        assert (network.routes, network.links) == (PLAN.routes, PLAN.links)

    _with_link(body)


def test_where_names_lead_is_told_apart_from_routes() -> None:
    split = Split(networks=(ip_network("198.51.100.7/32"),))
    plan = replace(PLAN, routes=(ip_network("192.0.2.7/32"),), split=split)
    excluding = _asked(_start(split_exclude=["a.example"]), plan)
    assert (excluding.routes, excluding.included) == (plan.routes, ())
    including = _asked(_start(split_include=["b.example"]), plan)
    assert (including.routes, including.included) == ((), (ip_address("192.0.2.7"),))
    for network in (excluding, including):
        assert network.excluded == (ip_address("198.51.100.7"),)


def _asked(start: Start, plan: HostPlan) -> UseNetwork:
    heard: list[CoreMessage] = []

    async def body(link: HelperLink, helper: _Helper, _nursery: trio.Nursery) -> None:
        await HelperHost(link, start, tun_fd=99).apply(plan)
        heard.extend(helper.heard)

    _with_link(body)
    assert isinstance(heard[0], UseNetwork)
    return heard[0]


def test_a_refusal_is_the_machines() -> None:
    async def body(link: HelperLink, helper: _Helper, _nursery: trio.Nursery) -> None:
        helper.refuse = "not yours"
        with pytest.raises(HostError, match="not yours"):
            await HelperHost(link, _start(), tun_fd=99).apply(PLAN)

    _with_link(body)


def test_servers_are_announced_before_they_are_used() -> None:
    async def body(link: HelperLink, helper: _Helper, _nursery: trio.Nursery) -> None:
        resolver = HelperResolver(link, _start(), lookup=lambda _host: ["203.0.113.9"])
        for _ in range(2):
            assert await resolver.resolve("vpn.example.org") == (ip_address("203.0.113.9"),)
        assert [type(message) for message in helper.heard] == [UseServers]
        only = HelperResolver(link, _start(server_addresses=["203.0.113.7"]))
        assert await only.resolve("vpn.example.org") == (ip_address("203.0.113.7"),)

    _with_link(body)


def test_names_of_split_tunnelling_are_no_servers() -> None:
    async def body(link: HelperLink, helper: _Helper, _nursery: trio.Nursery) -> None:
        for members in ({}, {"server_addresses": ["203.0.113.7"]}):
            start = _start(split_exclude=["bank.example"], **members)
            resolver = HelperResolver(link, start, lookup=lambda _host: ["198.51.100.9"])
            assert await resolver.resolve("bank.example") == (ip_address("198.51.100.9"),)
        assert helper.heard == []

    _with_link(body)


def test_known_addresses_serve_while_nobody_can_be_asked() -> None:
    def fail(_host: str) -> list[str]:
        raise OSError(-3, "no name server")

    async def body(link: HelperLink, helper: _Helper, _nursery: trio.Nursery) -> None:
        answers = iter([["203.0.113.9"]])
        resolver = HelperResolver(
            link, _start(), lookup=lambda host: next(answers, None) or fail(host)
        )
        for _ in range(2):
            assert await resolver.resolve("vpn.example.org") == (ip_address("203.0.113.9"),)
        assert len(helper.heard) == 1

    _with_link(body)


def test_the_end_of_the_helper_ends_every_question() -> None:
    async def body(link: HelperLink, helper: _Helper, nursery: trio.Nursery) -> None:
        async def ask() -> None:
            with pytest.raises(HostError, match="gone"):
                await HelperHost(link, _start(), tun_fd=99).apply(PLAN)

        nursery.start_soon(ask)
        await helper.hear()
        helper.socket.close()
        await link.lost.wait()
        with pytest.raises(HostError, match="gone"):
            await link.ask(lambda number: LeaveNetwork(id=number))
        link.report(StateReport(state=TunnelState.UP))
        await link.wait_sent()
        await trio.testing.wait_all_tasks_blocked()

    _with_link(body, answering=False)


def test_reports_never_wait_and_requests_overtake_them() -> None:
    async def body(link: HelperLink, helper: _Helper, nursery: trio.Nursery) -> None:
        for number in range(MAX_WAITING_REPORTS * 10):
            link.report(StateReport(state=TunnelState.UP, reason=f"{number} {'x' * 500}"))

        async def ask() -> None:
            assert isinstance(await link.ask(lambda number: LeaveNetwork(id=number)), Done)

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(helper.answer_all)
        await link.wait_sent()
        await trio.testing.wait_all_tasks_blocked()
        reports = [each for each in helper.heard if isinstance(each, StateReport)]
        assert len(reports) <= MAX_WAITING_REPORTS
        assert reports[-1].reason.startswith(f"{MAX_WAITING_REPORTS * 10 - 1} ")
        assert isinstance(helper.heard[0], LeaveNetwork)

    _with_link(body, answering=False)


def test_commands_arrive_in_order() -> None:
    async def body(link: HelperLink, helper: _Helper, _nursery: trio.Nursery) -> None:
        await helper.say(Revalidate())
        await helper.say(Disconnect())
        assert [await link.next_command(), await link.next_command()] == [
            Revalidate(),
            Disconnect(),
        ]

    _with_link(body)


@pytest.mark.parametrize("packet", [b"{}", os.fsencode("noise"), encode_helper_message(_start())])
def test_a_helper_that_cannot_be_understood_ends_the_core(packet: bytes) -> None:
    async def body(link: HelperLink, helper: _Helper, _nursery: trio.Nursery) -> None:
        await helper.socket.send(packet)
        await link.lost.wait()

    with pytest.raises(BaseExceptionGroup) as caught:
        _with_link(body, answering=False)
    assert caught.group_contains(HelperError)
