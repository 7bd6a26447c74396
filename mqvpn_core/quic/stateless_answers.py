"""Answers to datagrams that belong to no connection, as far as a rate limit allows.

Nothing is remembered about whoever gets one. RFC 9000 s6, s8.1, s10.3.
"""

from collections.abc import Callable

from mqvpn_core.ids import FourTuple, Instant
from mqvpn_core.quic.packet_receiver import SMALLEST_RESET
from mqvpn_core.quic.transport_config import CONNECTION_ID_LENGTH
from mqvpn_core.quic.udp_datagrams import Transmit

RESET_TOKEN_LENGTH = 16
"""Bytes of a stateless reset token (RFC 9000 s10.3)."""

_BURST = 200
_LARGEST_RESET = 42


class StatelessAnswers:
    """C: `queue`, `queue_reset`. D: `take`."""

    def __init__(
        self, entropy: Callable[[int], bytes], reset_token: Callable[[bytes], bytes]
    ) -> None:
        """Start with a full burst.

        Args:
            entropy: returns that many random bytes.
            reset_token: stateless reset token of a connection ID.
        """
        self.per_second = 0.0
        """Most answers a second in the long run."""
        self._entropy = entropy
        self._reset_token = reset_token
        self._queued: list[Transmit] = []
        self._tokens = float(_BURST)
        self._tokens_at: Instant | None = None

    def queue(self, four_tuple: FourTuple, data: bytes, now: Instant) -> None:
        """Send a datagram, unless there have been too many."""
        if self._tokens_at is not None:
            refill = (now - self._tokens_at) * self.per_second
            self._tokens = min(_BURST, self._tokens + refill)
        self._tokens_at = now
        if self._tokens < 1:
            return
        self._tokens -= 1
        self._queued.append(
            Transmit(four_tuple=four_tuple, data=data, segment_size=len(data), ecn=0)
        )

    def queue_reset(self, packet: bytes, four_tuple: FourTuple, now: Instant) -> None:
        """Tell a peer that its connection is unknown here (RFC 9000 s10.3)."""
        if len(packet) <= SMALLEST_RESET or not packet[0] & 0x40:
            # RFC 9000 s10.3.3: smaller than what triggered it, so that two endpoints never loop
            return
        size = min(len(packet) - 1, _LARGEST_RESET)
        body = bytearray(self._entropy(size - RESET_TOKEN_LENGTH))
        body[0] = 0x40 | (body[0] & 0x3F)
        token = self._reset_token(packet[1 : 1 + CONNECTION_ID_LENGTH])
        self.queue(four_tuple, bytes(body) + token, now)

    def take(self) -> list[Transmit]:
        """Return what was queued, once."""
        queued, self._queued = self._queued, []
        return queued
