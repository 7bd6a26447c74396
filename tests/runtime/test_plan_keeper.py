"""The machine follows what is known: assignments, addresses of the server, links and names."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_network

import pytest
import trio
import trio.testing

from mqvpn_core.runtime.name_resolution import NameNotFoundError
from mqvpn_core.runtime.plan_keeper import LettingResolver, PlanKeeper, SplitNames
from mqvpn_core.tunnel.host_plan import ClientHostSettings
from mqvpn_helper.interface.host_plan import (
    DnsMethod,
    HostReport,
    IPAddress,
    KillSwitchMode,
)
from tests.runtime.plan_keeper_scene import (
    GIVEN,
    GUARDED,
    NAME_SERVER,
    OPEN,
    OTHER,
    SERVER,
    Answers,
    PlanningHost,
    beside,
    board_of,
    connect,
)
from tests.runtime.virtual_time import run_virtual
from tests.unit.tunnel.links import link


def test_blocks_before_it_connects() -> None:
    async def main() -> None:
        host = PlanningHost()
        keeper = PlanKeeper(host, GUARDED)
        await keeper.let_through([SERVER])
        assert host.log == []  # nothing is in force yet that would hold the server back
        await keeper.prepare(("wlan0",))
        (plan,) = host.plans
        assert host.log[0] == "prepare"
        assert plan.kill_switch is not None
        assert [server.address for server in plan.kill_switch.servers] == [SERVER]
        assert (plan.links, plan.addresses, plan.routes) == (("wlan0",), (), ())

    run_virtual(main)


def test_new_address_of_the_server_is_let_through_before_it_is_returned() -> None:
    async def main() -> None:
        host = PlanningHost()
        keeper = PlanKeeper(host, GUARDED)
        resolver = LettingResolver(Answers(vpn=(str(OTHER),)), keeper)
        await keeper.prepare(())
        assert await resolver.resolve("vpn") == (OTHER,)
        switch = host.plans[-1].kill_switch
        assert switch is not None
        assert [server.address for server in switch.servers] == [OTHER]
        count = len(host.plans)
        await resolver.resolve("vpn")
        assert len(host.plans) == count

    run_virtual(main)


def test_behind_its_own_kill_switch_it_asks_name_servers_itself() -> None:
    async def main() -> None:
        host = PlanningHost()
        host.asked = (NAME_SERVER,)
        keeper = PlanKeeper(host, GUARDED)
        asked: list[tuple[str, tuple[IPAddress, ...]]] = []

        async def ask(name: str, servers: Sequence[IPAddress]) -> tuple[IPAddress, ...]:
            await trio.lowlevel.checkpoint()
            asked.append((name, tuple(servers)))
            return (SERVER,)

        answers = Answers(vpn=(str(OTHER),))
        resolver = LettingResolver(answers, keeper, ask)
        await keeper.prepare(())
        before = host.plans[-1].kill_switch
        assert before is not None
        assert before.name_servers == (NAME_SERVER,)
        assert await resolver.resolve("vpn") == (SERVER,)
        after = host.plans[-1].kill_switch
        assert after is not None
        assert after.name_servers == ()
        # From now on there is the tunnel to ask through.
        assert await resolver.resolve("vpn") == (OTHER,)
        assert asked == [("vpn", (NAME_SERVER,))]

    run_virtual(main)


def test_behind_a_kill_switch_what_is_known_counts() -> None:
    async def main() -> None:
        for settings, is_known in ((GUARDED, True), (OPEN, False)):
            keeper = PlanKeeper(PlanningHost(), settings)
            await keeper.let_through([SERVER])
            resolver = LettingResolver(Answers(), keeper)
            await keeper.prepare(())
            if is_known:
                assert await resolver.resolve("vpn") == (SERVER,)
            else:
                with pytest.raises(NameNotFoundError):
                    await resolver.resolve("vpn")

    run_virtual(main)


@pytest.mark.parametrize("settings", [OPEN, GUARDED])
def test_an_address_is_asked_of_nobody(settings: ClientHostSettings) -> None:
    async def main() -> None:
        host = PlanningHost()
        host.asked = (NAME_SERVER,)
        keeper = PlanKeeper(host, settings)

        async def ask(name: str, servers: Sequence[IPAddress]) -> tuple[IPAddress, ...]:
            raise AssertionError(name, servers)

        await keeper.prepare(())
        answers = Answers(**{str(SERVER): (str(SERVER),)})
        assert await LettingResolver(answers, keeper, ask).resolve(str(SERVER)) == (SERVER,)

    run_virtual(main)


def test_open_client_has_nothing_to_let_through() -> None:
    async def main() -> None:
        host = PlanningHost()
        keeper = PlanKeeper(host, OPEN)
        await connect(keeper)
        count = len(host.plans)
        await keeper.let_through([SERVER, OTHER])
        assert len(host.plans) == count
        assert OTHER in keeper.plan(GIVEN).bypass

    run_virtual(main)


def test_end_by_the_user_takes_the_kill_switch_with_it() -> None:
    async def main() -> None:
        host = PlanningHost()
        keeper = PlanKeeper(host, GUARDED)
        await connect(keeper)
        keeper.leave()
        await keeper.undo()
        assert host.log[-1] == "undo"

    run_virtual(main)


def test_end_by_failure_leaves_it_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        host = PlanningHost()
        keeper = PlanKeeper(host, GUARDED)
        await connect(keeper)
        await keeper.undo()
        await keeper.undo()
        assert host.log[-2:] == ["undo but block", "undo but block"]

    run_virtual(main)
    said = [record for record in caplog.records if "stays in force" in record.message]
    assert len(said) == 1
    assert "mqvpn-core recover" in said[0].message


def test_one_that_is_always_there_is_not_ended_by_the_user(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        host = PlanningHost()
        keeper = PlanKeeper(host, replace(OPEN, kill_switch=KillSwitchMode.ALWAYS))
        await connect(keeper)
        keeper.leave()
        await keeper.undo()
        assert host.log[-1] == "undo"  # the machine knows that it stays

    run_virtual(main)
    assert sum("stays in force" in record.message for record in caplog.records) == 1


def test_nothing_is_applied_after_the_end() -> None:
    async def main() -> None:
        host = PlanningHost()
        keeper = PlanKeeper(host, GUARDED)
        await connect(keeper)
        await keeper.undo()
        await keeper.let_through([OTHER])
        assert host.log[-1] == "undo but block"

    run_virtual(main)


def test_links_that_come_are_told() -> None:
    async def main() -> None:
        host = PlanningHost()
        keeper = PlanKeeper(host, OPEN)
        board = board_of("wlan0")
        await connect(keeper)

        async def story() -> None:
            assert host.latest_links() == ["wlan0"]
            board.links.become(link(1, "wlan0"), link(2, "lte0"), link(3, "mqvpn0"))
            await trio.testing.wait_all_tasks_blocked()
            assert host.latest_links() == ["lte0", "wlan0"]
            count = len(host.plans)
            board.links.become(link(1, "wlan0"), link(2, "lte0"))
            await trio.testing.wait_all_tasks_blocked()
            assert len(host.plans) == count

        await beside(lambda: keeper.follow_links(board), story)

    run_virtual(main)


def test_routes_past_the_tunnel_are_looked_at_whenever_links_change() -> None:
    async def main() -> None:
        host = PlanningHost()
        settings = replace(OPEN, exclude=(ip_network("198.51.100.0/24"),))
        keeper = PlanKeeper(host, settings)
        board = board_of("wlan0")
        await connect(keeper)

        async def story() -> None:
            count = len(host.plans)
            board.links.become(link(1, "wlan0"))
            await trio.testing.wait_all_tasks_blocked()
            assert len(host.plans) == count + 1

        await beside(lambda: keeper.follow_links(board), story)

    run_virtual(main)


def test_refusal_while_links_change_is_told_and_not_fatal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        host = PlanningHost()
        keeper = PlanKeeper(host, OPEN)
        board = board_of("wlan0")
        await connect(keeper)
        host.refusal = "no"

        async def story() -> None:
            host.refusal = None
            board.links.become(link(1, "wlan0"), link(2, "lte0"))
            await trio.testing.wait_all_tasks_blocked()
            assert host.latest_links() == ["lte0", "wlan0"]

        await beside(lambda: keeper.follow_links(board), story)

    run_virtual(main)
    assert any("could not be brought up to date: no" in each.message for each in caplog.records)


def test_names_are_looked_up_when_the_tunnel_is_up_and_again() -> None:
    async def main() -> None:
        host = PlanningHost()
        keeper = PlanKeeper(host, replace(OPEN, only_included=True))
        answers = Answers(inside=("198.51.100.1",), outside=("198.51.100.9",))
        names = SplitNames(exclude=("outside",), include=("inside",))

        async def story() -> None:
            assert answers.asked == []
            await connect(keeper)
            await trio.sleep(1)
            assert ip_network("198.51.100.1/32") in host.plans[-1].routes
            assert host.plans[-1].split is not None
            assert host.plans[-1].split.networks == (ip_network("198.51.100.9/32"),)
            answers.known["inside"] = ("198.51.100.2",)
            await trio.sleep(65)
            # Connections to the first address may still exist.
            assert {ip_network("198.51.100.1/32"), ip_network("198.51.100.2/32")} <= set(
                host.plans[-1].routes
            )

        await beside(lambda: keeper.follow_names(names, answers), story)

    run_virtual(main)


def test_name_that_is_not_found_is_asked_for_soon_again() -> None:
    async def main() -> None:
        host = PlanningHost()
        keeper = PlanKeeper(host, OPEN)
        answers = Answers()

        async def story() -> None:
            await connect(keeper)
            await trio.sleep(11)
            assert len(answers.asked) == 3

        await beside(lambda: keeper.follow_names(SplitNames(exclude=("away",)), answers), story)

    run_virtual(main)


def test_method_of_name_service_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    async def main() -> None:
        host = PlanningHost()
        host.report = HostReport(dns_method=DnsMethod.RESOLVED)
        keeper = PlanKeeper(host, OPEN)
        await connect(keeper)
        assert keeper.dns_method is DnsMethod.RESOLVED

    run_virtual(main)
    assert sum("by systemd-resolved" in record.message for record in caplog.records) == 1
