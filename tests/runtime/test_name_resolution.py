"""Names to addresses: families take turns, failures say why, a slow name server holds up nobody."""

import socket
import threading
from collections.abc import Sequence
from ipaddress import ip_address

import pytest
import trio

from mqvpn_core.runtime.name_resolution import (
    NameNotFoundError,
    NameResolver,
    alternate_families,
    socket_address,
    system_lookup,
)


def addresses(*texts: str) -> list[object]:
    return [ip_address(text) for text in texts]


def resolve(resolver: NameResolver, host: str) -> Sequence[object]:
    return trio.run(resolver.resolve, host)


def test_addresses_need_no_look_up() -> None:
    def refuse(host: str) -> Sequence[str]:
        raise AssertionError(host)

    resolver = NameResolver(refuse)
    assert list(resolve(resolver, "192.0.2.1")) == addresses("192.0.2.1")
    assert list(resolve(resolver, "2001:db8::1")) == addresses("2001:db8::1")


def test_families_take_turns_in_the_resolvers_order() -> None:
    answers = ["2001:db8::1", "2001:db8::2", "2001:db8::1", "192.0.2.1"]
    resolver = NameResolver(lambda host: answers if host == "vpn.test" else [])
    expected = addresses("2001:db8::1", "192.0.2.1", "2001:db8::2")
    assert list(resolve(resolver, "vpn.test")) == expected


def test_failures_name_host_and_reason() -> None:
    def unknown(host: str) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, f"nothing known about {host}")

    with pytest.raises(NameNotFoundError, match=r"vpn\.test: nothing known about"):
        resolve(NameResolver(unknown), "vpn.test")
    with pytest.raises(NameNotFoundError, match="no address"):
        resolve(NameResolver(lambda _host: []), "vpn.test")


def test_a_name_that_is_none() -> None:
    with pytest.raises(NameNotFoundError, match="not a host name"):
        resolve(NameResolver(system_lookup), "a" * 64 + ".test")


def test_a_slow_look_up_can_be_left_behind() -> None:
    release = threading.Event()

    def slow(host: str) -> Sequence[str]:
        release.wait(10.0)
        return [host]

    async def main() -> None:
        resolver = NameResolver(slow)
        with trio.move_on_after(0.02) as scope:
            await resolver.resolve("vpn.test")
        assert scope.cancelled_caught
        release.set()

    trio.run(main)


def test_system_lookup_knows_localhost() -> None:
    assert {"127.0.0.1", "::1"} & set(system_lookup("localhost"))


def test_alternate_families_without_addresses() -> None:
    assert alternate_families([]) == ()


def test_mapped_addresses_become_ipv4() -> None:
    assert socket_address(ip_address("::ffff:192.0.2.1"), 1) == ("192.0.2.1", 1)
    assert socket_address(ip_address("2001:db8::1"), 2) == ("2001:db8::1", 2)
