"""Which of several server processes a packet belongs to: a function of its connection ID.

Sockets that share a port deliver by the sender's address, and the paths of a connection come from
several. So every process issues only connection IDs that this function gives to itself, and the
kernel evaluates the same function (`runtime/steering_filter`). Connection IDs that clients choose
for their first packets are random, which spreads new connections evenly.

RFC 9000 s5.1: connection IDs must not help observers to see which of them belong together. The
function is keyed, so that an observer cannot evaluate it; besides it an ID is random. Who has
connections of his own to this server can find out the key, and then knows of two IDs whether the
same process has them, nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mqvpn_core.quic.transport_config import CONNECTION_ID_LENGTH

KEY_BYTES = 12
"""Randomness that a key is made from."""

MAX_WORKERS = 64
"""Most processes that packets can be spread over."""

_WORD = 0xFFFF_FFFF
_KEPT_SHIFT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeringKey:
    """The secret part of the function: three 32-bit numbers, the factors odd."""

    first: int
    """Factor of the first half of the connection ID."""
    second: int
    """Factor of its second half."""
    offset: int
    """What is added."""

    @classmethod
    def from_bytes(cls, random: bytes) -> "SteeringKey":
        """Make a key of `KEY_BYTES` random bytes."""
        assert len(random) == KEY_BYTES
        return cls(
            first=int.from_bytes(random[:4]) | 1,
            second=int.from_bytes(random[4:8]) | 1,
            offset=int.from_bytes(random[8:]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSteering:
    """One process among several. A: ``worker_of``, ``is_own``. C: ``new_connection_id``."""

    key: SteeringKey
    """The same in all of them."""
    count: int
    """How many there are, at most `MAX_WORKERS`."""
    own: int
    """Number of this one, from 0."""

    def worker_of(self, connection_id: bytes) -> int:
        """Return which process a connection ID leads to.

        Only its first bytes count, as many as our own IDs have: those of clients may be longer.
        """
        first = int.from_bytes(connection_id[:4])
        second = int.from_bytes(connection_id[4:8])
        mixed = first * self.key.first + second * self.key.second + self.key.offset & _WORD
        return (mixed >> _KEPT_SHIFT) % self.count

    def is_own(self, connection_id: bytes) -> bool:
        """Tell whether packets for a connection ID are this process's.

        One that is shorter than ours can be in no packet of a connection; who gets it may answer.
        """
        is_short = len(connection_id) < CONNECTION_ID_LENGTH
        return is_short or self.worker_of(connection_id) == self.own

    def new_connection_id(self, entropy: Callable[[int], bytes]) -> bytes:
        """Return a connection ID that leads here: one of all those, each as likely as the other."""
        while True:
            candidate = entropy(CONNECTION_ID_LENGTH)
            if self.is_own(candidate):
                return candidate
