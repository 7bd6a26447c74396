"""The watch over links: what is bundled, what is urgent, and what happens after lost news."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest
import trio

from mqvpn_core.errors import HostError
from mqvpn_core.ids import IfIndex
from mqvpn_core.runtime.link_watch import LONGEST, QUIET, RETRY_PAUSE, ROUTE_PAUSE, LinkWatch
from mqvpn_core.runtime.netlink_monitor import LinkNews
from mqvpn_core.tunnel.link_table import (
    AddressGone,
    AddressSeen,
    Link,
    LinkGone,
    LinkMessage,
    LinkSeen,
    Way,
    WaysSeen,
)
from mqvpn_helper.interface.host_plan import IPAddress
from tests.runtime.fakes import Gate
from tests.runtime.virtual_time import run_virtual
from tests.unit.tunnel.links import SERVER4, SERVER6, link

ONE, TWO = IfIndex(1), IfIndex(2)


def told(one: Link) -> tuple[LinkMessage, ...]:
    """What the kernel lists of a link."""
    seen = LinkSeen(
        ifindex=one.ifindex,
        is_up=one.is_up,
        has_carrier=one.has_carrier,
        name=one.name,
        medium=one.medium,
        mtu=one.mtu,
    )
    addresses = (AddressSeen(ifindex=one.ifindex, address=each) for each in one.addresses)
    return (seen, *addresses)


class FakeSource:
    """A kernel that knows the ways of ``known`` links."""

    def __init__(self, *known: Link) -> None:
        self.known = {one.ifindex: one for one in known}
        self.list_count = 0
        self.questions: list[float] = []
        self.refusals = 0
        self.question_refusals = 0
        self._news: list[LinkNews] = []
        self._gate = Gate(is_open=False)

    def say(self, *messages: LinkMessage) -> None:
        self.report(LinkNews(messages=messages))

    def report(self, news: LinkNews) -> None:
        self._news.append(news)
        self._gate.open()

    async def wait_readable(self) -> None:
        await self._gate.wait()

    def read(self) -> LinkNews:
        self._gate.shut()
        news, self._news = self._news, []
        return LinkNews(
            messages=tuple(message for each in news for message in each.messages),
            routes_changed=any(each.routes_changed for each in news),
            is_incomplete=any(each.is_incomplete for each in news),
        )

    async def list_all(self) -> tuple[LinkMessage, ...]:
        await trio.lowlevel.checkpoint()
        self.list_count += 1
        if self.refusals:
            self.refusals -= 1
            raise HostError("planted")
        return tuple(message for one in self.known.values() for message in told(one))

    async def find_ways(
        self, links: Sequence[Link], servers: Sequence[IPAddress]
    ) -> tuple[WaysSeen, ...]:
        self.questions.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if self.question_refusals:
            self.question_refusals -= 1
            raise HostError("planted")
        return tuple(
            WaysSeen(ifindex=one.ifindex, ways=self._ways_of(one, servers))
            for one in links
            if one.ifindex in self.known
        )

    def _ways_of(self, one: Link, servers: Sequence[IPAddress]) -> tuple[Way, ...]:
        known = self.known[one.ifindex].known_ways
        return tuple(way for way in known if way.server in servers)


def watched(
    source: FakeSource, play: Callable[[LinkWatch], Awaitable[None]], *, settle: bool = True
) -> None:
    """Play a scene while a watch runs on a source."""

    async def main() -> None:
        watch = LinkWatch(source)
        async with trio.open_nursery() as nursery:
            await nursery.start(watch.run)
            if settle:
                await watch.find_ways([SERVER4, SERVER6])
                await trio.sleep(10)
            await play(watch)
            nursery.cancel_scope.cancel()

    run_virtual(main)


def test_the_table_is_there_when_the_watch_has_started() -> None:
    async def play(watch: LinkWatch) -> None:
        assert watch.table.links[ONE] == replace(link(1, "wlan0"), known_ways=())
        table = await watch.find_ways([SERVER4])
        assert [way.server for way in table.links[ONE].ways] == [SERVER4]
        assert watch.table is table

    watched(FakeSource(link(1, "wlan0")), play, settle=False)


def test_a_new_link_is_told_when_it_is_quiet() -> None:
    source = FakeSource(link(1, "wlan0"))

    async def play(watch: LinkWatch) -> None:
        version, started = watch.version, trio.current_time()
        source.known[TWO] = link(2, "lte0")
        source.say(*told(link(2, "lte0"))[:1])
        await trio.sleep(QUIET / 2)
        source.say(*told(link(2, "lte0"))[1:])
        await watch.wait_change(version)
        assert trio.current_time() == pytest.approx(started + QUIET * 1.5)
        assert watch.table.links[TWO] == link(2, "lte0")
        await trio.sleep(10)
        assert watch.version == version + 1

    watched(source, play)


def test_news_without_end_are_told_all_the_same() -> None:
    source = FakeSource(link(1, "wlan0"))

    async def chatter() -> None:
        for mtu in range(1000, 1100):
            source.say(replace(first_of(link(1, "wlan0")), mtu=mtu))
            await trio.sleep(QUIET / 4)

    async def play(watch: LinkWatch) -> None:
        async with trio.open_nursery() as nursery:
            version, started = watch.version, trio.current_time()
            nursery.start_soon(chatter)
            await watch.wait_change(version)
            assert trio.current_time() == pytest.approx(started + LONGEST)
            nursery.cancel_scope.cancel()

    watched(source, play)


def first_of(one: Link) -> LinkSeen:
    message = told(one)[0]
    assert isinstance(message, LinkSeen)
    return message


@pytest.mark.parametrize(
    "loss",
    [
        LinkGone(ifindex=ONE),
        replace(first_of(link(1, "wlan0")), has_carrier=False),
        *(
            AddressGone(ifindex=ONE, address=address)
            for address in sorted(link(1, "wlan0").addresses, key=str)
        ),
    ],
    ids=repr,
)
def test_losses_are_told_at_once(loss: LinkMessage) -> None:
    source = FakeSource(link(1, "wlan0"), link(2, "lte0"))

    async def play(watch: LinkWatch) -> None:
        version, started = watch.version, trio.current_time()
        source.say(loss)
        await watch.wait_change(version)
        assert trio.current_time() == started
        after = watch.table.links.get(ONE)
        assert after is None or len(after.ways) < 2
        assert len(watch.table.links[TWO].ways) == 2

    watched(source, play)


def test_a_route_that_goes_takes_the_way_with_it() -> None:
    source = FakeSource(link(1, "wlan0"))

    async def play(watch: LinkWatch) -> None:
        version, started = watch.version, trio.current_time()
        source.known[ONE] = replace(link(1, "wlan0"), known_ways=())
        source.report(LinkNews(routes_changed=True))
        await watch.wait_change(version)
        assert trio.current_time() <= started + ROUTE_PAUSE
        assert watch.table.links[ONE].ways == ()

    watched(source, play)


def test_routes_that_never_rest_cost_little() -> None:
    source = FakeSource(link(1, "wlan0"))

    async def play(watch: LinkWatch) -> None:
        before, version = len(source.questions), watch.version
        for _ in range(1000):
            source.report(LinkNews(routes_changed=True))
            await trio.sleep(0.01)
        assert len(source.questions) - before <= 10 / ROUTE_PAUSE + 2
        # What concerns links does not wait behind them.
        source.report(LinkNews(routes_changed=True))
        await trio.sleep(QUIET * 2)
        source.say(replace(first_of(link(1, "wlan0")), mtu=1400))
        started = trio.current_time()
        await watch.wait_change(version)
        assert trio.current_time() - started <= 2 * LONGEST

    watched(source, play)


def test_lost_news_are_made_up_for_by_a_listing() -> None:
    source = FakeSource(link(1, "wlan0"), link(2, "lte0"))

    async def play(watch: LinkWatch) -> None:
        lists, version = source.list_count, watch.version
        del source.known[ONE]
        source.report(LinkNews(is_incomplete=True))
        await watch.wait_change(version)
        assert source.list_count == lists + 1
        assert set(watch.table.links) == {TWO}
        assert watch.table.links[TWO].ways, "a listing does not forget the ways"

    watched(source, play)


def test_a_listing_that_fails_is_repeated(caplog: pytest.LogCaptureFixture) -> None:
    source = FakeSource(link(1, "wlan0"), link(2, "lte0"))

    async def play(watch: LinkWatch) -> None:
        version, started = watch.version, trio.current_time()
        del source.known[ONE]
        source.refusals = 2
        source.report(LinkNews(is_incomplete=True))
        await watch.wait_change(version)
        assert trio.current_time() - started == pytest.approx(2 * RETRY_PAUSE)

    watched(source, play)
    assert caplog.text.count("planted") == 2


def test_a_question_that_fails_is_repeated(caplog: pytest.LogCaptureFixture) -> None:
    """Although no further news come."""
    source = FakeSource(link(1, "wlan0"))

    async def play(watch: LinkWatch) -> None:
        source.known[TWO] = link(2, "lte0")
        source.question_refusals = 2
        source.say(*told(link(2, "lte0")))
        await trio.sleep(2 * RETRY_PAUSE + 4 * LONGEST)
        assert len(watch.table.links[TWO].ways) == 2

    watched(source, play)
    assert caplog.text.count("planted") == 2


def test_a_kernel_that_lists_nothing_is_an_error() -> None:
    source = FakeSource()
    source.refusals = 1

    async def main() -> None:
        await LinkWatch(source).run()

    with pytest.raises(HostError):
        run_virtual(main)


def test_what_changes_nothing_is_not_told() -> None:
    source = FakeSource(link(1, "wlan0"))

    async def play(watch: LinkWatch) -> None:
        version = watch.version
        source.say(*told(link(1, "wlan0")))
        await trio.sleep(10)
        assert watch.version == version

    watched(source, play)
