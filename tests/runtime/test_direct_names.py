"""Asking name servers past the machine's resolver: who answers, who does not, who lies."""

import socket
import struct
from collections.abc import Callable
from ipaddress import ip_address

import pytest
import trio

from mqvpn_core.runtime.direct_names import ask_directly
from mqvpn_core.runtime.name_resolution import NameNotFoundError

LOOPBACK = ip_address("127.0.0.1")
Answer = Callable[[bytes], list[bytes]]


def _ask(answer: Answer, host: str = "vpn.example.org") -> tuple[str, ...]:
    async def main() -> tuple[str, ...]:
        with trio.fail_after(20), trio.socket.socket(type=socket.SOCK_DGRAM) as server:
            await server.bind(("127.0.0.1", 0))
            port = server.getsockname()[1]

            async def serve() -> None:
                while True:
                    query, peer = await server.recvfrom(4096)
                    for reply in answer(query):
                        await server.sendto(reply, peer)

            outcome: list[tuple[str, ...] | NameNotFoundError] = []
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve)
                try:
                    found = await ask_directly(host, [LOOPBACK], port=port)
                    outcome.append(tuple(str(each) for each in found))
                except NameNotFoundError as error:
                    outcome.append(error)
                nursery.cancel_scope.cancel()
        if isinstance(outcome[0], NameNotFoundError):
            raise outcome[0]
        return outcome[0]

    return trio.run(main)


def _reply(query: bytes, *, flags: int = 0x8180, number: bytes | None = None) -> bytes:
    kind = query[-4:-2]
    data = bytes([192, 0, 2, 1]) if kind == b"\0\1" else ip_address("2001:db8::1").packed
    header = (number or query[:2]) + struct.pack("!HHHHH", flags, 1, 1, 0, 0)
    record = b"\xc0\x0c" + kind + struct.pack("!HIH", 1, 60, len(data)) + data
    return header + query[12:] + record


def test_both_families_are_found() -> None:
    assert _ask(lambda query: [_reply(query)]) == ("2001:db8::1", "192.0.2.1")


def test_forged_answers_are_passed_over() -> None:
    assert _ask(lambda query: [b"noise", _reply(query, number=b"\0\0"), _reply(query)]) == (
        "2001:db8::1",
        "192.0.2.1",
    )


def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(NameNotFoundError, match="does not exist"):
        _ask(lambda query: [_reply(query, flags=0x8183)])


@pytest.mark.slow
def test_nobody_answers() -> None:
    with pytest.raises(NameNotFoundError, match="no name server"):
        _ask(lambda _query: [])


def test_a_name_that_cannot_be_asked() -> None:
    with pytest.raises(NameNotFoundError):
        _ask(lambda query: [_reply(query)], "x" * 64)
