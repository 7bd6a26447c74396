"""Which owner a packet goes to."""

from ipaddress import ip_address, ip_network

from mqvpn_core.masque.client_table import ClientTable
from tests.unit.masque.samples import ipv4_packet, ipv6_packet


def table_of(**owned: list[str]) -> ClientTable[str]:
    table: ClientTable[str] = ClientTable()
    for owner, prefixes in owned.items():
        table.assign(owner, [ip_network(prefix) for prefix in prefixes])
    return table


def owner_of(table: ClientTable[str], address: str) -> str | None:
    return table.owner_of(ip_address(address).packed)


def test_packets_are_sorted_by_destination_and_stay_in_order() -> None:
    table = table_of(a=["10.0.0.2/32", "fd00::2/128"], b=["10.0.0.3/32"])
    to_a = [ipv4_packet("8.8.8.8", "10.0.0.2", size=size) for size in (40, 50)]
    to_a.insert(1, ipv6_packet("2001:db8::8", "fd00::2"))
    to_b = ipv4_packet("8.8.8.8", "10.0.0.3")
    stray = ipv4_packet("8.8.8.8", "10.0.0.4")
    batches, strays = table.dispatch([to_a[0], to_b, to_a[1], stray, to_a[2]])
    assert batches == {"a": to_a, "b": [to_b]}
    assert strays == [stray]


def test_what_is_no_ip_packet_is_a_stray() -> None:
    table = table_of(a=["0.0.0.0/0", "::/0"])
    junk = [b"", b"\x45", bytes(60), bytes([0x45]) * 19, bytes([0x60]) * 39, bytes([0x50]) * 60]
    batches, strays = table.dispatch(junk)
    assert batches == {}
    assert strays == junk


def test_the_longest_prefix_wins() -> None:
    table = table_of(
        wide=["10.0.0.0/8", "fd00::/16"],
        narrow=["10.1.0.0/16", "fd00:1::/32"],
        host=["10.1.0.9/32"],
    )
    assert owner_of(table, "10.2.0.1") == "wide"
    assert owner_of(table, "10.1.0.1") == "narrow"
    assert owner_of(table, "10.1.0.9") == "host"
    assert owner_of(table, "fd00:1::1") == "narrow"
    assert owner_of(table, "fd00:2::1") == "wide"
    assert owner_of(table, "11.0.0.1") is None
    batches, strays = table.dispatch([ipv4_packet("8.8.8.8", "10.1.2.3")])
    assert (list(batches), strays) == (["narrow"], [])


def test_a_new_list_replaces_the_old_one() -> None:
    table = table_of(a=["10.0.0.2/32", "10.9.0.0/16"])
    table.assign("a", [ip_network("10.0.0.5/32")])
    assert owner_of(table, "10.0.0.2") is None
    assert owner_of(table, "10.9.0.1") is None
    assert owner_of(table, "10.0.0.5") == "a"
    assert len(table) == 1


def test_an_address_that_moved_stays_with_its_new_owner() -> None:
    table = table_of(old=["10.0.0.2/32", "10.9.0.0/16"], new=["10.0.0.2/32", "10.9.0.0/16"])
    table.remove("old")
    assert owner_of(table, "10.0.0.2") == "new"
    assert owner_of(table, "10.9.0.1") == "new"
    table.remove("new")
    table.remove("new")
    assert len(table) == 0
    assert owner_of(table, "10.0.0.2") is None


def test_an_empty_list_owns_nothing() -> None:
    table = table_of(a=["10.0.0.2/32"])
    table.assign("a", [])
    assert len(table) == 0
