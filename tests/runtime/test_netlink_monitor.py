"""The monitor against a real kernel: links that come, go, flap, are renamed and renumbered."""

import os
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
import trio

from mqvpn_core.ids import IfIndex
from mqvpn_core.runtime.link_watch import LinkWatch
from mqvpn_core.runtime.netlink_monitor import NetlinkMonitor
from mqvpn_core.tunnel.link_table import Link, LinkMedium, LinkTable
from tests.helper.namespaces import fresh_namespace, run

pytestmark = [pytest.mark.netns, pytest.mark.slow]

SERVER4 = ip_address("203.0.113.2")
SERVER6 = ip_address("2001:db8:3::2")
PATIENCE = 10.0


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    with fresh_namespace():
        add_link("wlan0", 1)
        yield


def add_link(name: str, number: int) -> None:
    """A link with both families and default routes; its far end is NAME-far."""
    run(f"ip link add {name} type veth peer name {name}-far")
    for end in (name, f"{name}-far"):
        run(f"ip link set {end} addrgenmode none up")
    give_addresses(name, number)


def give_addresses(name: str, number: int) -> None:
    run(f"ip addr add 192.0.{number}.2/24 dev {name}")
    run(f"ip addr add 2001:db8:{number}::2/64 dev {name} nodad")
    run(f"ip route add default via 192.0.{number}.1 dev {name} metric {number}00")
    run(f"ip route add default via 2001:db8:{number}::1 dev {name} metric {number}00")


def watched(play: Callable[[LinkWatch], Awaitable[None]], monitor: NetlinkMonitor) -> None:
    async def main() -> None:
        watch = LinkWatch(monitor)
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                await nursery.start(watch.run)
                await watch.find_ways([SERVER4, SERVER6])
                await play(watch)
                nursery.cancel_scope.cancel()

    try:
        trio.run(main)
    finally:
        monitor.close()


async def until(watch: LinkWatch, condition: Callable[[LinkTable], bool]) -> None:
    """Wait until the table meets a condition; no longer than a second."""
    with trio.fail_after(1):
        while not condition(watch.table):
            await watch.wait_change(watch.version)


def ways_of(table: LinkTable, name: str) -> dict[str, tuple[str, int]]:
    one = table.named(name)
    ways = () if one is None else one.ways
    return {str(way.server): (str(way.source), way.metric) for way in ways}


def full_ways(number: int) -> dict[str, tuple[str, int]]:
    return {
        str(SERVER4): (f"192.0.{number}.2", number * 100),
        str(SERVER6): (f"2001:db8:{number}::2", number * 100),
    }


def test_links_are_listed_with_their_ways() -> None:
    async def play(watch: LinkWatch) -> None:
        wlan = watch.table.named("wlan0")
        assert wlan == Link(
            ifindex=IfIndex(wlan.ifindex if wlan else 0),
            name="wlan0",
            medium=LinkMedium.WIRELESS,
            is_up=True,
            has_carrier=True,
            mtu=1500,
            addresses=frozenset({ip_address("192.0.1.2"), ip_address("2001:db8:1::2")}),
            known_ways=wlan.known_ways if wlan else (),
        )
        assert ways_of(watch.table, "wlan0") == full_ways(1)
        loopback = watch.table.named("lo")
        assert loopback is not None
        assert loopback.medium is LinkMedium.LOOPBACK
        assert loopback.addresses == frozenset()
        assert ways_of(watch.table, "wlan0-far") == {}

    watched(play, NetlinkMonitor())


def test_a_link_comes_and_goes() -> None:
    async def play(watch: LinkWatch) -> None:
        add_link("wwan0", 2)
        await until(watch, lambda table: ways_of(table, "wwan0") == full_ways(2))
        wwan = watch.table.named("wwan0")
        assert wwan is not None
        assert wwan.medium is LinkMedium.CELLULAR
        run("ip link delete wwan0")
        await until(watch, lambda table: table.named("wwan0") is None)
        assert ways_of(watch.table, "wlan0") == full_ways(1)

    watched(play, NetlinkMonitor())


def test_carrier_flaps() -> None:
    async def play(watch: LinkWatch) -> None:
        for _ in range(3):
            run("ip link set wlan0-far down")
            await until(watch, lambda table: ways_of(table, "wlan0") == {})
            down = watch.table.named("wlan0")
            assert down is not None
            assert down.is_up
            assert not down.has_carrier
            run("ip link set wlan0-far up")
            await until(watch, lambda table: ways_of(table, "wlan0") == full_ways(1))

    watched(play, NetlinkMonitor())


def test_switched_off_and_on() -> None:
    """The kernel forgets the IPv4 routes without a word, and IPv6 loses its addresses."""

    async def play(watch: LinkWatch) -> None:
        run("ip link set wlan0 down")
        await until(watch, lambda table: ways_of(table, "wlan0") == {})
        run("ip link set wlan0 up")
        await until(watch, lambda table: table.named("wlan0-far") is not None)
        await trio.sleep(0.2)
        assert ways_of(watch.table, "wlan0") == {}, "there are no routes yet"
        run("ip addr add 2001:db8:1::2/64 dev wlan0 nodad")
        run("ip route add default via 192.0.1.1 dev wlan0 metric 100")
        run("ip route add default via 2001:db8:1::1 dev wlan0 metric 100")
        await until(watch, lambda table: ways_of(table, "wlan0") == full_ways(1))

    watched(play, NetlinkMonitor())


def test_renaming_keeps_the_index() -> None:
    async def play(watch: LinkWatch) -> None:
        before = watch.table.named("wlan0")
        assert before is not None
        run("ip link set wlan0 down")
        run("ip link set wlan0 name wwan7")
        await until(watch, lambda table: table.named("wwan7") is not None)
        after = watch.table.links[before.ifindex]
        assert after.name == "wwan7"
        assert after.medium is LinkMedium.CELLULAR

    watched(play, NetlinkMonitor())


def test_renumbering() -> None:
    async def play(watch: LinkWatch) -> None:
        run("ip addr delete 192.0.1.2/24 dev wlan0")
        await until(watch, lambda table: str(SERVER4) not in ways_of(table, "wlan0"))
        assert str(SERVER6) in ways_of(watch.table, "wlan0"), "the other family stays"
        run("ip addr add 192.0.9.2/24 dev wlan0")
        run("ip route add default via 192.0.9.1 dev wlan0 metric 100")
        await until(
            watch, lambda table: ways_of(table, "wlan0").get(str(SERVER4)) == ("192.0.9.2", 100)
        )

    watched(play, NetlinkMonitor())


def test_a_lost_default_route_is_a_lost_way() -> None:
    async def play(watch: LinkWatch) -> None:
        run("ip route delete default via 192.0.1.1 dev wlan0")
        await until(watch, lambda table: str(SERVER4) not in ways_of(table, "wlan0"))
        wlan = watch.table.named("wlan0")
        assert wlan is not None
        assert ip_address("192.0.1.2") in wlan.addresses

    watched(play, NetlinkMonitor())


def test_a_routing_table_chosen_by_source_address_leads_there_too() -> None:
    async def play(watch: LinkWatch) -> None:
        run("ip link add eth7 type veth peer name eth7-far")
        run("ip link set eth7-far up")
        run("ip link set eth7 addrgenmode none up")
        run("ip addr add 192.0.7.2/24 dev eth7")
        run("ip addr add 2001:db8:7::2/64 dev eth7 nodad")
        await trio.sleep(0.2)
        assert ways_of(watch.table, "eth7") == {}
        run("ip route add default via 192.0.7.1 dev eth7 table 77")
        run("ip route add default via 2001:db8:7::1 dev eth7 table 77 metric 1024")
        run("ip rule add from 192.0.7.2 lookup 77")
        run("ip -6 rule add from 2001:db8:7::2 lookup 77")
        run("ip route add 198.51.100.0/24 dev eth7")  # rules are not listened to, routes are
        expected = {str(SERVER4): ("192.0.7.2", 0), str(SERVER6): ("2001:db8:7::2", 1024)}
        await until(watch, lambda table: ways_of(table, "eth7") == expected)

    watched(play, NetlinkMonitor())


def test_a_server_on_this_machine_is_reached_by_no_link() -> None:
    async def play(watch: LinkWatch) -> None:
        table = await watch.find_ways([ip_address("192.0.1.2"), ip_address("127.0.0.1"), SERVER4])
        assert ways_of(table, "wlan0") == {str(SERVER4): ("192.0.1.2", 100)}

    watched(play, NetlinkMonitor())


def test_an_address_that_is_still_checked_for_duplicates_is_not_used() -> None:
    run("sysctl -q -w net.ipv6.conf.wlan0.accept_dad=1 net.ipv6.conf.wlan0.dad_transmits=1")

    async def play(watch: LinkWatch) -> None:
        address = ip_address("2001:db8:1::7")
        run(f"ip addr add {address}/64 dev wlan0")
        await trio.sleep(0.3)
        assert address not in addresses_of(watch, "wlan0")
        with trio.fail_after(PATIENCE):
            while address not in addresses_of(watch, "wlan0"):
                await watch.wait_change(watch.version)

    watched(play, NetlinkMonitor())


def addresses_of(watch: LinkWatch, name: str) -> frozenset[object]:
    one = watch.table.named(name)
    return frozenset() if one is None else one.addresses


def test_a_port_that_leaves_a_bridge_is_still_a_link() -> None:
    async def play(watch: LinkWatch) -> None:
        run("ip link add br7 type bridge")
        run("ip link set wlan0-far master br7")
        run("ip link set wlan0-far nomaster")
        run("ip link delete br7")
        run("ip link set wlan0 mtu 1400")
        await until(watch, lambda table: getattr(table.named("wlan0"), "mtu", 0) == 1400)
        assert watch.table.named("wlan0-far") is not None
        assert watch.table.named("br7") is None

    watched(play, NetlinkMonitor())


def test_overrun_notifications_are_made_up_for() -> None:
    """A buffer for a few notifications, and many of them while nobody looks."""
    monitor = NetlinkMonitor(receive_buffer_bytes=4096)
    seen: list[bool] = []

    async def play(watch: LinkWatch) -> None:
        for number in range(2, 60):
            run(f"ip addr add 192.0.{number}.2/24 dev wlan0")
        run("ip addr delete 192.0.7.2/24 dev wlan0")
        add_link("lte0", 99)
        news = monitor.read()
        seen.append(news.is_incomplete)
        await watch._take(news)
        wlan = watch.table.named("wlan0")
        assert wlan is not None
        assert len(wlan.addresses) == 2 + 58 - 1
        await until(watch, lambda table: ways_of(table, "lte0") == full_ways(99))

    watched(play, monitor)
    assert seen == [True]


def test_no_privilege_is_needed() -> None:
    """Neither for listening nor for asking."""

    async def play(watch: LinkWatch) -> None:
        assert ways_of(watch.table, "wlan0") == full_ways(1)
        os.seteuid(0)
        run("ip link delete wlan0")
        os.seteuid(65534)
        await until(watch, lambda table: table.named("wlan0") is None)

    os.seteuid(65534)
    try:
        watched(play, NetlinkMonitor())
    finally:
        os.seteuid(0)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_nothing_is_left_open() -> None:
    before = open_descriptors()
    monitor = NetlinkMonitor()
    assert open_descriptors() == before + 2
    monitor.close()
    monitor.close()
    assert open_descriptors() == before
