"""Host names to addresses, without ever holding up the loop.

``getaddrinfo`` runs in a thread that is left behind when its answer comes too late; a limiter of
its own keeps a dead name server from collecting threads without bound.
"""

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address
from itertools import zip_longest
from typing import TypeAlias

import trio

from mqvpn_core.errors import HostError
from mqvpn_core.ids import SocketAddress
from mqvpn_helper.interface.host_plan import IPAddress

RESOLVE_LIMIT = 5.0
"""Seconds that callers give a name to resolve."""
MAX_THREADS = 8
"""Look-ups under way in one `NameResolver`."""

Lookup: TypeAlias = Callable[[str], Sequence[str]]
"""Returns the addresses of a name, in order of preference; raises OSError."""


class NameNotFoundError(HostError):
    """The name has no address, or nobody would say."""


class NameResolver:
    """Looks names up in threads."""

    def __init__(self, lookup: Lookup | None = None) -> None:
        """Prepare.

        Args:
            lookup: blocking look-up; the system's when absent.
        """
        self._lookup: Lookup = system_lookup if lookup is None else lookup
        self._limiter = trio.CapacityLimiter(MAX_THREADS)

    async def resolve(self, host: str) -> tuple[IPAddress, ...]:
        """Return the addresses of a host, the families taking turns (RFC 8305 s4).

        Raises:
            NameNotFoundError: there are none; the message says why.
        """
        try:
            return (ip_address(host),)
        except ValueError:
            pass
        try:
            texts = await trio.to_thread.run_sync(
                self._lookup, host, abandon_on_cancel=True, limiter=self._limiter
            )
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not a host name"
            raise NameNotFoundError(f"cannot resolve {host}: {reason}") from error
        addresses = alternate_families([ip_address(text) for text in texts])
        if not addresses:
            raise NameNotFoundError(f"cannot resolve {host}: the name has no address")
        return addresses


def system_lookup(host: str) -> list[str]:
    """Ask the system's resolver; link-local answers are useless without their zone and left out."""
    answers = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    return [str(answer[4][0]) for answer in answers if "%" not in str(answer[4][0])]


def alternate_families(addresses: Sequence[IPAddress]) -> tuple[IPAddress, ...]:
    """Order addresses so that the families take turns, the first one's family first."""
    unique = list(dict.fromkeys(addresses))
    if not unique:
        return ()
    first_version = unique[0].version
    own = [address for address in unique if address.version == first_version]
    others = [address for address in unique if address.version != first_version]
    return tuple(a for pair in zip_longest(own, others) for a in pair if a is not None)


def socket_address(address: IPAddress, port: int) -> SocketAddress:
    """Return the UDP address; an IPv4-mapped IPv6 address becomes IPv4."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return SocketAddress(str(address.ipv4_mapped), port)
    return SocketAddress(str(address), port)
