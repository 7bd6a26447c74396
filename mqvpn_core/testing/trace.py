"""What happened in a simulation, as a running hash and the last lines of a log.

Two runs with the same seed must give the same hash; the lines are for the message of a failure.
"""

import hashlib
import zlib
from collections import deque

from mqvpn_core.ids import Instant
from mqvpn_core.testing.link_elements import SIMULATION_START, UdpDatagram

_KEPT_LINES = 60


class Trace:
    """Collects the fate of every datagram and every note of a scenario."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._lines: deque[tuple[Instant, str, UdpDatagram | None]] = deque(maxlen=_KEPT_LINES)

    def record_datagram(self, now: Instant, what: str, datagram: UdpDatagram) -> None:
        """Add one step of a datagram: ``sent``, ``delivered`` or ``lost in ...``."""
        checksum = zlib.crc32(datagram.payload)
        source, destination = datagram.source, datagram.destination
        self._hash.update(
            f"{now!r} {what} {source.host} {source.port} {destination.host} {destination.port} "
            f"{len(datagram.payload)} {checksum} {datagram.ecn}\n".encode()
        )
        self._lines.append((now, what, datagram))

    def record_note(self, now: Instant, note: str) -> None:
        """Add a line of the scenario: a fault, an event of a node."""
        self._hash.update(f"{now!r} {note}\n".encode())
        self._lines.append((now, note, None))

    def digest(self) -> str:
        """Return the hash of everything so far."""
        return self._hash.hexdigest()

    def last_lines(self) -> str:
        """Return the end of the log, readable."""
        return "\n".join(_format_line(*line) for line in self._lines)


def _format_line(now: Instant, what: str, datagram: UdpDatagram | None) -> str:
    stamp = f"{now - SIMULATION_START:12.6f} {what}"
    if datagram is None:
        return stamp
    source, destination = datagram.source, datagram.destination
    return (
        f"{stamp}: {source.host}:{source.port} > {destination.host}:{destination.port}"
        f" {len(datagram.payload)} bytes, first 0x{datagram.payload[:1].hex()}, ecn {datagram.ecn}"
    )
