"""Whether a server answers at a UDP port, asked from wherever this runs. It takes no key.

A packet of a QUIC version that exists for this alone makes any server say which versions it speaks
(RFC 9000 s6.1, s15). It learns nothing from it, and keeps nothing.
"""

import enum
import secrets
import socket
import time
from dataclasses import dataclass

_RESERVED_VERSION = 0x1A2A3A4A  # RFC 9000 s15: 0x?a?a?a?a forces a negotiation
_LONG_HEADER = 0xC0  # RFC 9000 s17.2: header form and fixed bit
_DATAGRAM_BYTES = 1200  # RFC 9000 s14.1: a server need not answer less
_ID_BYTES = 8
_TRIES = 3
_PATIENCE = 1.0


class Answer(enum.Enum):
    """What came back."""

    VERSIONS = "versions"
    """A QUIC server."""
    REFUSAL = "refusal"
    """The machine is there, and nobody listens."""
    SILENCE = "silence"
    """Nothing."""
    NO_WAY = "no way"
    """This machine has no route there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How one address was asked, and what came of it."""

    address: str
    """Which."""
    answer: Answer
    """What came back."""
    seconds: float = 0.0
    """After how long."""


def addresses_of(host: str, port: int) -> list[tuple[str, int]]:
    """Look up where a server is.

    Raises:
        OSError: nobody knows the name.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    return list(dict.fromkeys((str(where[0]), port) for *_, where in found))


def ask_port(address: str, port: int, patience: float = _PATIENCE) -> Probe:
    """Ask a server which versions of QUIC it speaks.

    Args:
        address: an IP address.
        port: of UDP.
        patience: seconds to wait after each of three packets.
    """
    own, other = secrets.token_bytes(_ID_BYTES), secrets.token_bytes(_ID_BYTES)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, port))
            for _ in range(_TRIES):
                began = time.perf_counter()
                probe.send(question(own, other))
                if _is_answered(probe, own, other, began + patience):
                    seconds = time.perf_counter() - began
                    return Probe(address=address, answer=Answer.VERSIONS, seconds=seconds)
    except ConnectionRefusedError:
        return Probe(address=address, answer=Answer.REFUSAL)
    except OSError:
        return Probe(address=address, answer=Answer.NO_WAY)
    return Probe(address=address, answer=Answer.SILENCE)


def question(own: bytes, other: bytes) -> bytes:
    """Return the packet.

    Args:
        own: connection ID of who asks.
        other: made up for the server.
    """
    ids = b"".join(bytes([len(each)]) + each for each in (other, own))
    head = bytes([_LONG_HEADER]) + _RESERVED_VERSION.to_bytes(4, "big") + ids
    return head.ljust(_DATAGRAM_BYTES, b"\0")


def is_answer(datagram: bytes, own: bytes, other: bytes) -> bool:
    """Whether this is the server's: version 0, and both IDs the other way round (RFC 8999 s6)."""
    ids = b"".join(bytes([len(each)]) + each for each in (own, other))
    return datagram[:1] >= b"\x80" and datagram[1:].startswith(bytes(4) + ids)


def _is_answered(probe: socket.socket, own: bytes, other: bytes, deadline: float) -> bool:
    while (left := deadline - time.perf_counter()) > 0:
        probe.settimeout(left)
        try:
            if is_answer(probe.recv(_DATAGRAM_BYTES), own, other):
                return True
        except TimeoutError:
            return False
    return False
