"""Asks given name servers for the addresses of one host, past the machine's own resolver.

Behind a kill switch that resolver is cut off like everybody else; only this process may ask, and
only these servers.
"""

import secrets
from collections.abc import Sequence

import trio

from mqvpn_core.errors import DecodeError, LocalProtocolError
from mqvpn_core.runtime.name_resolution import NameNotFoundError, alternate_families
from mqvpn_core.wire.dns_messages import AddressAnswer, RecordType, decode_answer, encode_query
from mqvpn_helper.interface.host_plan import IPAddress

PORT = 53
"""UDP port of name servers."""
PATIENCE = 1.0
"""Seconds a name server has to answer before the next one is asked as well."""
_SO_MARK = 36
_MAX_PACKETS = 64
_MAX_MESSAGE = 4096


async def ask_directly(
    host: str, name_servers: Sequence[IPAddress], *, port: int = PORT, mark: int | None = None
) -> tuple[IPAddress, ...]:
    """Return the addresses of a host.

    Args:
        host: its name.
        name_servers: whom to ask, one after the other.
        port: their UDP port.
        mark: by which a kill switch knows the questions (takes CAP_NET_ADMIN); None: no mark.

    Raises:
        NameNotFoundError: there are none, or nobody answers.
    """
    for server in name_servers:
        answers: list[AddressAnswer] = []
        async with trio.open_nursery() as nursery:
            for kind in RecordType:
                nursery.start_soon(_ask, (str(server), port, mark), host, kind, answers)
        found = [address for answer in answers for address in answer.addresses]
        if found:
            return alternate_families(sorted(found, key=lambda address: -address.version))
        if any(answer.does_not_exist for answer in answers):
            raise NameNotFoundError(f"cannot resolve {host}: the name does not exist")
    raise NameNotFoundError(f"cannot resolve {host}: no name server has an address for it")


async def _ask(
    server: tuple[str, int, int | None], host: str, kind: RecordType, answers: list[AddressAnswer]
) -> None:
    family = trio.socket.AF_INET6 if ":" in server[0] else trio.socket.AF_INET
    number = secrets.randbelow(1 << 16)
    try:
        query = encode_query(number, host, kind)
        with trio.socket.socket(family, trio.socket.SOCK_DGRAM) as socket:
            if server[2] is not None:
                socket.setsockopt(trio.socket.SOL_SOCKET, _SO_MARK, server[2])
            # A connected socket has a random port and hears nobody else (RFC 5452 s9.2).
            await socket.connect(server[:2])
            with trio.move_on_after(PATIENCE):
                await socket.send(query)
                for _ in range(_MAX_PACKETS):
                    message = await socket.recv(_MAX_MESSAGE)
                    try:
                        answers.append(decode_answer(message, number, host, kind))
                    except DecodeError:
                        continue
                    return
    except (OSError, LocalProtocolError):
        return  # the other servers may do better
