"""Special addresses, at the edges of their blocks."""

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from mqvpn_core.wire.ip_addresses import (
    is_limited_broadcast,
    is_link_local,
    is_loopback,
    is_multicast,
    is_reserved,
    is_single_host,
    is_unspecified,
)

Predicate = Callable[[bytes], bool]

INSIDE: list[tuple[Predicate, tuple[str, ...]]] = [
    (is_unspecified, ("0.0.0.0", "0.255.255.255", "::")),  # noqa: S104 - an address, not a bind
    (is_loopback, ("127.0.0.1", "127.255.255.255", "::1")),
    (is_multicast, ("224.0.0.0", "239.255.255.255", "ff00::", "ffff::1")),
    (is_reserved, ("240.0.0.0", "255.255.255.255")),
    (is_limited_broadcast, ("255.255.255.255",)),
    (is_link_local, ("169.254.0.0", "169.254.255.255", "fe80::", "febf:ffff::")),
    (is_single_host, ("1.0.0.0", "223.255.255.255", "2001:db8::1", "fe80::1", "fec0::1")),
]
OUTSIDE: list[tuple[Predicate, tuple[str, ...]]] = [
    (is_unspecified, ("1.0.0.0", "::1", "8000::")),
    (is_loopback, ("126.255.255.255", "128.0.0.0", "::2", "7f00:1::")),
    (is_multicast, ("223.255.255.255", "240.0.0.0", "feff::", "e000::")),
    (is_reserved, ("239.255.255.255", "ffff::")),
    (is_limited_broadcast, ("255.255.255.254", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")),
    (is_link_local, ("169.253.255.255", "169.255.0.0", "fe7f::", "fec0::", "a9fe::")),
    (is_single_host, ("0.1.2.3", "127.0.0.1", "::", "::1", "224.0.0.1", "ff02::1", "240.0.0.1")),
]


@pytest.mark.parametrize(("predicate", "addresses"), INSIDE)
def test_inside(predicate: Predicate, addresses: tuple[str, ...]) -> None:
    assert [address for address in addresses if predicate(ip_address(address).packed)] == [
        *addresses
    ]


@pytest.mark.parametrize(("predicate", "addresses"), OUTSIDE)
def test_outside(predicate: Predicate, addresses: tuple[str, ...]) -> None:
    assert [address for address in addresses if predicate(ip_address(address).packed)] == []
