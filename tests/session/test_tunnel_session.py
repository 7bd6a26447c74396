"""A session from its beginning to its end, with cores that live, die, fail and are replaced."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import ip_address

import trio
from typing_extensions import override

from mqvpn_helper.interface.bus_names import BusError, BusEventKind, TunnelState
from mqvpn_helper.interface.control_messages import (
    Done,
    FindLink,
    HelperMessage,
    LinkFound,
    LinkUsage,
    Refused,
    Revalidate,
    SetPath,
    StateReport,
    UsageReport,
    UseServers,
    WantStats,
)
from mqvpn_helper.interface.host_plan import FIREWALL_IS_BACK, CaptivePortal, KillSwitchMode
from mqvpn_helper.interface.tunnel_settings import (
    DnsSettings,
    PathPolicy,
    PathRole,
    SplitSettings,
)
from mqvpn_helper.session.events import (
    AddressesAssigned,
    Ended,
    EventReported,
    KillSwitchChanged,
    PathStats,
    SecretsNeeded,
    SessionError,
)
from tests.session.samples import PATH
from tests.session.stage import (
    CORE_UID,
    SECRET,
    FakeSessionHost,
    PlayedCore,
    Stage,
    perform,
    secret_pipe,
    until_told_to_leave,
    up,
)
from tests.session.stories import CREDENTIALS, NETWORK, disconnect_soon, whole_tunnel


def test_a_tunnel_comes_and_goes() -> None:
    stage = perform(whole_tunnel, meanwhile=disconnect_soon)
    assert stage.states == [TunnelState.CONNECTING, TunnelState.UP, TunnelState.OFF]
    assert stage.launcher.cores[0].secret == SECRET
    assert not stage.launcher.cores[0].was_killed
    assert [plan.addresses for plan in stage.host.plans] == [(), NETWORK.addresses, ()]
    assert stage.host.undone == [False]
    assigned = stage.of(AddressesAssigned)
    assert [each.addresses for each in assigned] == [NETWORK.addresses, ()]
    assert stage.of(PathStats) == [PathStats(paths=(PATH,), is_periodic=False)]
    assert stage.of(EventReported)[0].kind is BusEventKind.PATH_UP
    assert stage.end == Ended(error=None)


def test_the_core_is_told_what_it_needs_and_no_more() -> None:
    async def look(core: PlayedCore) -> None:
        start = await core.greet()
        assert start.profile.host == "203.0.113.2"
        assert start.servers == (ip_address("203.0.113.2"),)
        assert start.profile.dns == DnsSettings()
        assert start.profile.name == ""
        assert (start.tun_name, start.instance) == ("mqvpn0", "instance")
        await until_told_to_leave(core)

    stage = perform(look, meanwhile=disconnect_soon, name="home", dns=["10.0.0.53"])
    assert stage.end.error is None


def test_the_kill_switch_is_there_before_the_core() -> None:
    async def look(core: PlayedCore) -> None:
        assert len(stages) == 1
        await up(core)

    host = FakeSessionHost()
    stages = host.plans
    stage = perform(look, meanwhile=disconnect_soon, host=host, kill_switch="standard")
    switch = host.plans[0].kill_switch
    assert switch is not None
    assert switch.core_uid == CORE_UID
    assert [(str(each.address), each.port) for each in switch.servers] == [("203.0.113.2", 443)]
    assert host.kept_leftovers is True
    modes = [event.mode for event in stage.of(KillSwitchChanged)]
    assert modes == [KillSwitchMode.STANDARD, KillSwitchMode.OFF]


def test_servers_are_let_through_when_their_name_is_known() -> None:
    async def resolve(core: PlayedCore) -> None:
        start = await core.greet()
        assert start.servers == ()
        reply = await core.ask(UseServers(id=1, addresses=(ip_address("203.0.113.9"),)))
        assert reply == Done(id=1)
        await until_told_to_leave(core)

    stage = perform(
        resolve, meanwhile=disconnect_soon, server="vpn.example.org", kill_switch="standard"
    )
    servers = [
        [str(server.address) for server in plan.kill_switch.servers]
        for plan in stage.host.plans
        if plan.kill_switch is not None
    ]
    assert servers == [[], ["203.0.113.9"]]


def test_a_dead_core_is_replaced_while_everything_stays() -> None:
    async def dies(core: PlayedCore) -> None:
        await core.greet()
        await core.ask(NETWORK)
        await core.send(StateReport(state=TunnelState.UP))
        await trio.sleep(100)

    stage = perform(dies, up, meanwhile=_after(200))
    assert len(stage.launcher.cores) == 2
    assert stage.launcher.cores[1].secret == SECRET
    assert len(stage.host.plans) == 2  # before the first core, and for its network
    assert stage.states == [
        TunnelState.CONNECTING,
        TunnelState.UP,
        TunnelState.RECONNECTING,
        TunnelState.UP,
        TunnelState.OFF,
    ]
    assert BusEventKind.CORE_DIED in [event.kind for event in stage.of(EventReported)]


def _after(seconds: float) -> Callable[[Stage], Awaitable[None]]:
    async def disconnect(stage: Stage) -> None:
        await trio.sleep(seconds)
        stage.session.disconnect()

    return disconnect


def test_a_refused_secret_is_asked_for_and_used() -> None:
    async def refused(core: PlayedCore) -> None:
        await core.greet()
        await core.send(CREDENTIALS)

    async def answer(stage: Stage) -> None:
        while not stage.of(SecretsNeeded):  # noqa: ASYNC110 - in virtual time
            await trio.sleep(1)
        stage.session.provide_secrets(secret_pipe(b"another"))
        await trio.sleep(10)
        stage.session.disconnect()

    stage = perform(refused, up, meanwhile=answer)
    assert [core.secret for core in stage.launcher.cores] == [SECRET, b"another"]
    assert stage.end == Ended(error=None)


def test_wishes_reach_the_core_and_the_ones_after_it() -> None:
    heard: list[list[HelperMessage]] = []

    async def listen(core: PlayedCore) -> None:
        await core.greet()
        await core.send(StateReport(state=TunnelState.UP))
        heard.append([])
        with trio.move_on_after(10):
            while (message := await core.receive()) is not None:
                heard[-1].append(message)

    async def wish(stage: Stage) -> None:
        await trio.sleep(1)
        stage.session.set_path_policy("wlan0", PathPolicy(role=PathRole.BACKUP))
        stage.session.set_path_policy("wlan0", PathPolicy(cap_bytes=5))
        stage.session.request_stats(0.5)
        stage.session.revalidate_paths()
        await trio.sleep(12)
        stage.session.disconnect()

    perform(listen, meanwhile=wish)
    assert heard[0] == [
        SetPath(interface="wlan0", policy=PathPolicy(role=PathRole.BACKUP)),
        SetPath(interface="wlan0", policy=PathPolicy(cap_bytes=5)),
        WantStats(interval=0.5),
        Revalidate(),
    ]
    both = PathPolicy(role=PathRole.BACKUP, cap_bytes=5)
    assert heard[1][:2] == [SetPath(interface="wlan0", policy=both), WantStats(interval=0.5)]


def test_settings_change_while_the_tunnel_is_up() -> None:
    async def wish(stage: Stage) -> None:
        await trio.sleep(1)
        stage.session.set_kill_switch(KillSwitchMode.STANDARD)
        await trio.sleep(1)
        stage.session.set_portal(CaptivePortal(interface="wlan0", until=100.0))
        await trio.sleep(1)
        stage.session.set_dns(DnsSettings(servers=(ip_address("10.0.0.53"),)))
        stage.session.set_split(SplitSettings(allow_lan=True))
        await trio.sleep(1)
        stage.host.refusal = "not now"
        stage.session.set_kill_switch(KillSwitchMode.OFF)
        await trio.sleep(1)
        stage.session.disconnect()

    stage = perform(whole_tunnel, meanwhile=wish)
    up_plans = [plan for plan in stage.host.plans if plan.addresses]
    assert [plan.kill_switch is not None for plan in up_plans] == [False, True, True, True]
    assert up_plans[2].kill_switch is not None
    assert up_plans[2].kill_switch.portal == CaptivePortal(interface="wlan0", until=100.0)
    assert up_plans[3].kill_switch is not None
    assert up_plans[3].kill_switch.allow_lan
    assert up_plans[3].dns == (ip_address("10.0.0.53"),)
    texts = [event.detail.get("text") for event in stage.of(EventReported)]
    assert "not now" in texts


def test_the_machine_refuses() -> None:
    for refused_at, kind in ((0, BusError.NO_TUN), (1, BusError.HOST)):
        host = _RefusingHost(refused_at)
        stage = perform(up, host=host)
        assert stage.end.error == SessionError(kind=kind, text="refused")
        assert not stage.launcher.cores


class _RefusingHost(FakeSessionHost):
    def __init__(self, place: int) -> None:
        super().__init__()
        self._left = place

    @override
    async def _begin(self) -> None:
        self._left -= 1
        self.refusal = "refused" if self._left == -1 else None
        await super()._begin()


def test_a_refused_network_leaves_the_core_to_decide() -> None:
    async def ask(core: PlayedCore) -> None:
        await core.greet()
        stage_host.refusal = "no such route"
        assert await core.ask(NETWORK) == Refused(id=NETWORK.id, reason="no such route")
        assert await core.ask(replace(NETWORK, id=4)) == Done(id=4)
        found = await core.ask(FindLink(id=5, address=ip_address("203.0.113.2")))
        assert found == LinkFound(id=5, ifindex=0)
        await until_told_to_leave(core)

    stage_host = FakeSessionHost()
    assert perform(ask, meanwhile=disconnect_soon, host=stage_host).end == Ended(error=None)


def test_usage_goes_from_core_to_core_and_to_the_next_tunnel() -> None:
    told: list[LinkUsage] = []
    counted = LinkUsage(month="2026-11", bytes_by_link=(("wlan0", 5),))

    async def count(core: PlayedCore) -> None:
        told.append((await core.greet()).usage)
        await core.send(StateReport(state=TunnelState.UP))
        await core.send(UsageReport(usage=counted))

    async def look(core: PlayedCore) -> None:
        told.append((await core.greet()).usage)
        await until_told_to_leave(core)

    host = FakeSessionHost()
    perform(count, look, meanwhile=disconnect_soon, host=host)
    assert told == [LinkUsage(), counted]
    assert host.usage == counted
    perform(look, meanwhile=disconnect_soon, host=host)
    assert told[-1] == counted


def test_an_emptied_firewall_is_put_right_at_once_and_told() -> None:
    async def empty(stage: Stage) -> None:
        await trio.sleep(1)
        before = len(stage.host.plans)
        stage.host.was_emptied = True
        stage.host.removal.set()
        await trio.sleep(0.001)
        assert len(stage.host.plans) == before + 1
        stage.session.disconnect()

    stage = perform(whole_tunnel, meanwhile=empty, kill_switch="standard")
    texts = [event.detail.get("text") for event in stage.of(EventReported)]
    assert texts.count(FIREWALL_IS_BACK) == 1


def test_name_servers_of_the_machine_find_the_server_through_the_kill_switch() -> None:
    async def finds_its_server(core: PlayedCore) -> None:
        await core.greet()
        found = UseServers(id=1, addresses=(ip_address("203.0.113.9"),))
        assert await core.ask(found) == Done(id=1)
        await until_told_to_leave(core)

    host = FakeSessionHost()
    host.name_servers_of_machine = (ip_address("192.0.2.53"),)
    stage = perform(
        finds_its_server,
        meanwhile=disconnect_soon,
        host=host,
        server="vpn.example.org",
        kill_switch="standard",
    )
    switch = stage.host.plans[0].kill_switch
    assert switch is not None
    assert switch.name_servers == (ip_address("192.0.2.53"),)
    # Once the server is known, nobody has to be asked past the tunnel any more.
    later = stage.host.plans[-1].kill_switch
    assert later is not None
    assert later.name_servers == ()
