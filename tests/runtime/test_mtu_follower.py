"""The server's TUN device follows the smallest tunnel, without hurry and without flapping."""

from collections.abc import Awaitable, Callable
from ipaddress import IPv4Interface

import pytest
import trio

from mqvpn_core.errors import HostError
from mqvpn_core.runtime.mtu_follower import FIRST_MTU, LEAST_MTU, SETTLE_TIME, MtuFollower
from mqvpn_helper.interface.host_plan import HostPlan, HostReport
from tests.runtime.virtual_time import run_virtual

PLAN = HostPlan(tun_name="mqvpn0", mtu=FIRST_MTU, addresses=(IPv4Interface("10.0.0.1/24"),))


class Scene:
    """A follower, its tunnels and its machine."""

    def __init__(self) -> None:
        self.tunnels: list[int] = []
        self.applied: list[HostPlan] = []
        self.refuses = False
        self.follower = MtuFollower(self, PLAN, lambda: min(self.tunnels, default=None))

    async def apply(self, plan: HostPlan) -> HostReport:
        await trio.sleep(0.01)
        if self.refuses:
            raise HostError("no")
        self.applied.append(plan)
        return HostReport()

    async def undo(self) -> None:
        raise AssertionError("not the follower's business")

    async def change(self, *tunnels: int) -> None:
        self.tunnels = list(tunnels)
        self.follower.note_change()
        await trio.sleep(SETTLE_TIME + 0.1)


def follow(story: Callable[[Scene], Awaitable[None]]) -> Scene:
    scene = Scene()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.follower.run)
            await story(scene)
            nursery.cancel_scope.cancel()

    run_virtual(main)
    return scene


def test_it_follows_the_smallest_tunnel_up_and_down() -> None:
    async def story(scene: Scene) -> None:
        await scene.change(1440)
        await scene.change(1440, 1400)
        await scene.change(1440)

    scene = follow(story)
    assert [plan.mtu for plan in scene.applied] == [1440, 1400, 1440]
    assert {plan.addresses for plan in scene.applied} == {PLAN.addresses}
    assert scene.follower.plan.mtu == 1440


def test_a_size_that_is_still_being_found_is_waited_for() -> None:
    async def story(scene: Scene) -> None:
        for mtu in (1168, 1300, 1410, 1440):
            scene.tunnels = [mtu]
            scene.follower.note_change()
            await trio.sleep(SETTLE_TIME / 10)
        await trio.sleep(1.0)

    assert [plan.mtu for plan in follow(story).applied] == [1440]


@pytest.mark.parametrize(("tunnel", "mtu"), [(600, LEAST_MTU), (0, LEAST_MTU), (-1, LEAST_MTU)])
def test_it_never_goes_below_what_ipv6_needs(tunnel: int, mtu: int) -> None:
    async def story(scene: Scene) -> None:
        await scene.change(tunnel)

    assert [plan.mtu for plan in follow(story).applied] == [mtu]


def test_without_tunnels_it_stays() -> None:
    async def story(scene: Scene) -> None:
        await scene.change(1400)
        await scene.change()

    assert [plan.mtu for plan in follow(story).applied] == [1400]


def test_a_refusal_is_reported_and_tried_again_at_the_next_change(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(scene: Scene) -> None:
        scene.refuses = True
        await scene.change(1400)
        assert scene.follower.plan == PLAN
        scene.refuses = False
        await scene.change(1400)

    assert [plan.mtu for plan in follow(story).applied] == [1400]
    assert "stays 1420" in caplog.text
