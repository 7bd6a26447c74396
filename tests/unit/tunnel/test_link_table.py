"""The table of links: what messages make of it, and what counts as a change."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.ids import IfIndex
from mqvpn_core.tunnel.link_table import (
    AddressGone,
    AddressSeen,
    LinkGone,
    LinkMedium,
    LinkMessage,
    LinkSeen,
    LinkTable,
    Way,
    WaysSeen,
    compare,
    resynchronise,
    update,
)
from tests.unit.tunnel.links import SERVER4, link, table

ONE = IfIndex(1)
ADDRESS = ip_address("192.0.1.2")
WLAN = link(1, "wlan0", medium=LinkMedium.WIRELESS)
SEEN = LinkSeen(
    ifindex=ONE, is_up=True, has_carrier=True, name="wlan0", medium=LinkMedium.WIRELESS, mtu=1500
)
FULL_STORY: tuple[LinkMessage, ...] = (
    SEEN,
    *(AddressSeen(ifindex=ONE, address=address) for address in WLAN.addresses),
    WaysSeen(ifindex=ONE, ways=WLAN.known_ways),
)


def test_a_link_is_put_together_from_messages() -> None:
    change = update(LinkTable(), FULL_STORY)
    assert change.new == table(WLAN)
    assert change.gained == {ONE}
    assert not change.is_empty
    assert not change.has_loss


def test_the_same_again_changes_nothing() -> None:
    assert update(table(WLAN), FULL_STORY).is_empty


def test_a_link_without_medium_and_mtu_is_taken_for_a_wire() -> None:
    new = update(LinkTable(), [replace(SEEN, medium=None, mtu=None)]).new
    assert new.links[ONE].medium is LinkMedium.WIRED
    assert new.links[ONE].mtu == 0


def test_notes_about_unknown_links_are_ignored() -> None:
    messages: list[LinkMessage] = [
        replace(SEEN, name=None),
        AddressSeen(ifindex=ONE, address=ADDRESS),
        AddressGone(ifindex=ONE, address=ADDRESS),
        WaysSeen(ifindex=ONE, ways=()),
        LinkGone(ifindex=ONE),
    ]
    assert update(LinkTable(), messages).is_empty


def test_a_short_note_keeps_what_it_does_not_mention() -> None:
    note = LinkSeen(ifindex=ONE, is_up=True, has_carrier=True)
    assert update(table(WLAN), [note]).is_empty


@pytest.mark.parametrize(
    "message",
    [
        LinkGone(ifindex=ONE),
        replace(SEEN, has_carrier=False),
        replace(SEEN, is_up=False),
        AddressGone(ifindex=ONE, address=ADDRESS),
    ],
    ids=lambda message: type(message).__name__,
)
def test_losses_are_urgent(message: LinkMessage) -> None:
    change = update(table(WLAN), [message])
    assert change.has_loss
    assert change.lost == ({ONE} if isinstance(message, LinkGone) else set())


@pytest.mark.parametrize(
    "message",
    [
        replace(SEEN, name="renamed"),
        replace(SEEN, mtu=1400),
        AddressSeen(ifindex=ONE, address=ip_address("192.0.1.9")),
        WaysSeen(ifindex=ONE, ways=()),
    ],
    ids=["renamed", "mtu", "address", "ways"],
)
def test_other_changes_are_not_urgent(message: LinkMessage) -> None:
    change = update(table(WLAN), [message])
    assert change.changed == {ONE}
    assert not change.has_loss


def test_a_replaced_address_is_a_loss_even_in_one_batch() -> None:
    change = update(
        table(WLAN),
        [
            AddressSeen(ifindex=ONE, address=ip_address("192.0.1.9")),
            AddressGone(ifindex=ONE, address=ADDRESS),
        ],
    )
    assert change.has_loss


def test_a_link_without_carrier_gains_and_loses_nothing_more() -> None:
    down = replace(WLAN, has_carrier=False)
    assert not update(table(down), [replace(SEEN, is_up=False, has_carrier=False)]).has_loss


def test_ways_hold_only_with_carrier_and_address() -> None:
    way = Way(server=SERVER4, source=ADDRESS, metric=100)
    assert way in WLAN.ways
    assert replace(WLAN, has_carrier=False).ways == ()
    assert replace(WLAN, is_up=False).ways == ()
    assert way not in replace(WLAN, addresses=WLAN.addresses - {ADDRESS}).ways


def test_a_link_that_comes_back_has_to_be_asked_for_its_ways_again() -> None:
    flapped = update(table(WLAN), [replace(SEEN, has_carrier=False), SEEN]).new.links[ONE]
    assert flapped.addresses == WLAN.addresses
    assert flapped.ways == ()


def test_links_are_found_by_name() -> None:
    both = table(WLAN, link(2, "lte0"))
    assert both.named("lte0") == link(2, "lte0")
    assert both.named("eth0") is None


def test_a_listing_forgets_what_it_does_not_mention() -> None:
    listing = [message for message in FULL_STORY if not isinstance(message, WaysSeen)]
    change = resynchronise(table(WLAN, link(2, "lte0")), listing)
    assert change.new == table(WLAN)
    assert change.lost == {2}
    assert resynchronise(LinkTable(), listing).new == table(replace(WLAN, known_ways=()))


INDEXES = st.integers(1, 3).map(IfIndex)
ADDRESSES = st.sampled_from([ADDRESS, ip_address("192.0.2.2"), ip_address("2001:db8::2")])
MESSAGES = st.one_of(
    st.builds(
        LinkSeen,
        ifindex=INDEXES,
        is_up=st.booleans(),
        has_carrier=st.booleans(),
        name=st.sampled_from([None, "a", "b"]),
        mtu=st.sampled_from([None, 1500, 1400]),
    ),
    st.builds(LinkGone, ifindex=INDEXES),
    st.builds(AddressSeen, ifindex=INDEXES, address=ADDRESSES),
    st.builds(AddressGone, ifindex=INDEXES, address=ADDRESSES),
    st.builds(
        WaysSeen,
        ifindex=INDEXES,
        ways=st.lists(
            st.builds(Way, server=st.just(SERVER4), source=ADDRESSES, metric=st.integers(0, 2)),
            max_size=2,
        ).map(tuple),
    ),
)


@given(st.lists(MESSAGES, max_size=20), st.lists(MESSAGES, max_size=20))
def test_batches_add_up(first: list[LinkMessage], second: list[LinkMessage]) -> None:
    """How messages fall into batches makes no difference; a change is what the tables say."""
    middle = update(LinkTable(), first).new
    apart = update(middle, second)
    assert apart.new == update(LinkTable(), [*first, *second]).new
    assert apart == compare(middle, apart.new)
    assert apart.is_empty == (middle == apart.new)
    assert not (apart.is_empty and apart.has_loss)


@given(st.lists(MESSAGES, max_size=30))
def test_a_link_never_offers_a_way_it_cannot_go(messages: list[LinkMessage]) -> None:
    for one in update(LinkTable(), messages).new.links.values():
        assert all(way.source in one.addresses and one.is_running for way in one.ways)
