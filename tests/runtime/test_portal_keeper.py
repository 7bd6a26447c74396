"""An exception from the kill switch comes, is renewed, and goes in time."""

import pytest
import trio
import trio.testing

from mqvpn_core.errors import ConfigError
from mqvpn_core.runtime.plan_keeper import PlanKeeper
from mqvpn_core.runtime.portal_keeper import PortalKeeper
from mqvpn_helper.interface.bus_names import MAX_PORTAL_SECONDS
from tests.runtime.plan_keeper_scene import GUARDED, OPEN, PlanningHost, connect
from tests.runtime.virtual_time import run_virtual


def portals(host: PlanningHost) -> list[str]:
    """The interface that each plan lets through."""
    switches = [plan.kill_switch for plan in host.plans]
    return [each.portal.interface if each and each.portal else "" for each in switches]


def test_it_ends_in_time_and_the_tunnel_has_everything_again() -> None:
    async def main() -> None:
        host = PlanningHost()
        keeper = PlanKeeper(host, GUARDED)
        await connect(keeper)
        before = len(host.plans)
        portal = PortalKeeper(keeper)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(portal.run)
            portal.allow("wlan0", 60)
            await trio.sleep(50)
            assert portals(host)[before:] == ["wlan0"]
            portal.allow("lte0", 60)
            await trio.sleep(50)
            assert portals(host)[before:] == ["wlan0", "lte0"]
            await trio.sleep(15)
            assert portals(host)[before:] == ["wlan0", "lte0", ""]
            portal.allow("lte0", 60)
            await trio.sleep(1)
            portal.allow("lte0", 0)
            await trio.sleep(1000)
            assert portals(host)[before:] == ["wlan0", "lte0", "", "lte0", ""]
            nursery.cancel_scope.cancel()

    run_virtual(main)


def test_what_cannot_be() -> None:
    with pytest.raises(ConfigError, match="no kill switch"):
        PortalKeeper(PlanKeeper(PlanningHost(), OPEN)).allow("wlan0", 60)
    guarded = PortalKeeper(PlanKeeper(PlanningHost(), GUARDED))
    with pytest.raises(ConfigError, match="at most"):
        guarded.allow("wlan0", MAX_PORTAL_SECONDS + 1)
