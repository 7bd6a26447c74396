"""Packets that travel together are judged like each of them."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from mqvpn_core.dataplane import kernel
from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.masque.client_table import ClientTable
from mqvpn_core.masque.drop_reasons import DropReason
from mqvpn_core.masque.forwarding import Forwarder, TunnelEnd
from mqvpn_core.masque.packet_filter import FilterRules
from tests.differential.ip_traffic import Draft
from tests.unit.masque.samples import T0, route

DRAFT = Draft(flow=2, payload=bytes(3500))
OTHER = Draft(flow=3, payload=bytes(3500))


def train_of(draft: Draft, segment: int = 1000) -> Parcel:
    (train,) = kernel.split_frames([draft.frame(segment)])
    return train


@pytest.fixture(params=[4, 6])
def version(request: pytest.FixtureRequest) -> int:
    found: int = request.param
    return found


@pytest.fixture
def client(version: int) -> Forwarder:
    """A client that has the address of `DRAFT`."""
    made = Forwarder(TunnelEnd.CLIENT)
    source = ip_address("10.10.10.2" if version == 4 else "a0a:" * 7 + "a02")
    rules = FilterRules(near=(ip_network(source),), far=(route("0.0.0.0/0"), route("::/0")))
    made.change_rules(rules, (source,))
    made.change_mtu(1100)
    return made


def test_a_train_of_a_known_flow_passes_whole(client: Forwarder, version: int) -> None:
    train = train_of(replace(DRAFT, version=version))
    first = client.send_packets([train], T0)
    assert first == expand([train])
    assert client.send_packets([train], T0) == [train]
    assert client.counters.sent_packet_count == 8
    assert client.counters.sent_bytes == 2 * sum(map(len, first))


def test_a_train_with_a_wrong_source_is_dropped(client: Forwarder, version: int) -> None:
    client.send_packets([train_of(replace(DRAFT, version=version))], T0)
    assert client.send_packets([train_of(replace(OTHER, version=version))], T0) == []
    assert client.counters.drops == {DropReason.SPOOFED_SOURCE: 4}


def test_a_train_that_is_too_big_is_refused(client: Forwarder, version: int) -> None:
    train = train_of(replace(DRAFT, version=version))
    client.send_packets([train], T0)
    client.change_mtu(1000)
    (rest,) = client.send_packets([train], T0)
    assert rest == expand([train])[-1]
    assert client.counters.drops == {DropReason.TOO_BIG: 3}


def test_a_train_with_no_hops_left_is_refused(client: Forwarder, version: int) -> None:
    client.send_packets([train_of(replace(DRAFT, version=version))], T0)
    assert client.send_packets([train_of(replace(DRAFT, version=version, hops=0))], T0) == []
    assert client.counters.drops == {DropReason.HOP_LIMIT: 4}


def test_a_train_goes_to_the_owner_of_its_destination(version: int) -> None:
    table = ClientTable[str]()
    table.assign("us", [ip_network("10.10.10.200" if version == 4 else "a0a:" * 7 + "ac8")])
    train = train_of(replace(DRAFT, version=version))
    assert table.dispatch([train]) == ({"us": [train]}, [])
    assert ClientTable[str]().dispatch([train]) == ({}, [train])
