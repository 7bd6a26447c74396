"""One of two links is lost in every way there is; what runs in the tunnel goes on."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from benchmarks.outages import Outage
from benchmarks.probe import wall_clock
from mqvpn_core.demo.topology import WLAN
from tests.e2e.multipath_lab import BACK_WITHIN, GAP, MultipathLab, open_multipath_lab
from tests.e2e.topology import current_status, eventually
from tests.linkem.emulated_link import Direction

pytestmark = [pytest.mark.netns, pytest.mark.slow]

DOWNLOAD_SECONDS = 4


@pytest.fixture(scope="module")
def shared_lab() -> Iterator[MultipathLab]:
    """One tunnel for the tests that leave both links as they found them."""
    with open_multipath_lab() as laboratory:
        yield laboratory


@pytest.fixture
def lab(shared_lab: MultipathLab) -> MultipathLab:
    """Both links work."""
    assert shared_lab.tunnel.wait_for_paths(*shared_lab.names), "the test before broke the links"
    return shared_lab


@pytest.mark.parametrize("outage", list(Outage))
@pytest.mark.parametrize("name", ["wlan", "lte"])
def test_transfer_and_probe_go_on_when_a_link_is_lost(
    lab: MultipathLab, outage: Outage, name: str
) -> None:
    link = lab.wlan if name == "wlan" else lab.lte
    with lab.traffic() as traffic:
        download = lab.download(DOWNLOAD_SECONDS)
        time.sleep(0.5)
        assert download.is_running()
        lost_at = wall_clock()
        outage.begin(link)
        try:
            if outage is not Outage.BLACK_HOLE:
                lab.wait_until_lost(link)
            time.sleep(1)
            traffic.wait_until_calm(5)
            gap = traffic.gap(lost_at)
            assert lab.other(link).name in lab.tunnel.usable_links()
        finally:
            outage.end(link)
        assert gap < GAP[outage]
        lab.wait_until_usable(link, BACK_WITHIN)
        download.wait_until_whole()


def test_silence_in_one_direction_is_noticed(lab: MultipathLab) -> None:
    """What the client sends arrives, but no answer comes back: only silence tells."""
    with lab.traffic() as traffic:
        lost_at = wall_clock()
        lab.wlan.link.set_black_hole(on=True, direction=Direction.DOWN)
        try:
            lab.wait_until_lost(lab.wlan)
            traffic.wait_until_calm(5)
            assert traffic.gap(lost_at) < GAP[Outage.BLACK_HOLE]
        finally:
            lab.wlan.link.set_black_hole(on=False)
        lab.wait_until_usable(lab.wlan, BACK_WITHIN)


def test_interface_is_switched_off_and_on(lab: MultipathLab) -> None:
    """Linux takes routes and IPv6 addresses along; they come back as with DHCP."""
    client = lab.tunnel.links.world.client
    with lab.traffic() as traffic:
        lost_at = wall_clock()
        client.set_link("wlan0", up=False)
        lab.wait_until_lost(lab.wlan)
        traffic.wait_until_calm(5)
        assert traffic.gap(lost_at) < GAP[Outage.ADDRESS_REMOVED]
        client.set_link("wlan0", up=True)
        lab.wlan.add_addresses()
        lab.wait_until_usable(lab.wlan, BACK_WITHIN)


def test_interface_vanishes_and_appears_again(lab: MultipathLab) -> None:
    with lab.traffic() as traffic:
        lost_at = wall_clock()
        lab.lte.unplug()
        lab.wait_until_lost(lab.lte)
        traffic.wait_until_calm(5)
        assert traffic.gap(lost_at) < GAP[Outage.ADDRESS_REMOVED]
        lab.lte.plug()
        lab.wait_until_usable(lab.lte, BACK_WITHIN)


def test_link_gets_another_address(lab: MultipathLab) -> None:
    """As after roaming to another network: the old address is gone for good."""
    with lab.traffic() as traffic:
        changed_at = wall_clock()
        lab.wlan.renumber(replace(WLAN, ipv4="192.0.0", ipv6="2001:db8:11"))
        try:
            eventually(
                lambda: any(
                    path.local.startswith("192.0.0.2:") and path.state == "active"
                    for path in lab.tunnel.paths()
                ),
                BACK_WITHIN,
                "path from the new address",
            )
            eventually(
                lambda: not any(p.local.startswith("192.0.2.2:") for p in lab.tunnel.paths()),
                5,
                "end of the path from the old address",
            )
            traffic.wait_until_calm(5)
            assert traffic.gap(changed_at) < GAP[Outage.ADDRESS_REMOVED]
        finally:
            lab.wlan.renumber(WLAN)
        eventually(
            lambda: any(path.local.startswith("192.0.2.2:") for path in lab.tunnel.paths()),
            BACK_WITHIN,
            "path from the old address",
        )


def test_both_links_lost_and_back_within_the_idle_timeout(lab: MultipathLab) -> None:
    """Device, routes and connection stay; TCP inside only waits."""
    client = lab.tunnel.links.world.client
    connected_for = current_status(lab.tunnel.server).clients[0].seconds_connected
    with lab.traffic() as traffic:
        routes = {line for line in client.host_state() if "mqvpn0" in line}
        for link in (lab.wlan, lab.lte):
            Outage.BLACK_HOLE.begin(link)
        time.sleep(3)
        assert {line for line in client.host_state() if "mqvpn0" in line} == routes
        for link in (lab.wlan, lab.lte):
            Outage.BLACK_HOLE.end(link)
        traffic.wait_until_calm(BACK_WITHIN)
        for link in (lab.wlan, lab.lte):
            lab.wait_until_usable(link, BACK_WITHIN)
    assert current_status(lab.tunnel.server).clients[0].seconds_connected > connected_for + 3


def test_path_0_is_lost_like_any_other() -> None:
    """The path of the handshake is abandoned for good; its link comes back with another."""
    with open_multipath_lab() as lab:
        first = next(path for path in lab.tunnel.paths() if path.id == 0)
        link = lab.wlan if first.interface == lab.wlan.name else lab.lte
        with lab.traffic() as traffic:
            lost_at = wall_clock()
            Outage.ADDRESS_REMOVED.begin(link)
            eventually(
                lambda: all(path.id != 0 for path in lab.tunnel.paths()), 10, "end of path 0"
            )
            traffic.wait_until_calm(5)
            assert traffic.gap(lost_at) < GAP[Outage.ADDRESS_REMOVED]
            Outage.ADDRESS_REMOVED.end(link)
            lab.wait_until_usable(link, BACK_WITHIN)
            assert 0 not in {path.id for path in lab.tunnel.paths()}
