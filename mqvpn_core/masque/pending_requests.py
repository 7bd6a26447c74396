"""Server: granted requests that wait for a name, with what their clients send meanwhile."""

from dataclasses import dataclass, field
from typing import Final

from mqvpn_core.ids import StreamId
from mqvpn_core.masque.tunnel_requests import Grant

_MAX_EARLY_BYTES: Final = 16_384
"""Capsules a client may send while the name in its request is being resolved."""


@dataclass(slots=True, kw_only=True)
class PendingRequest:
    """One request."""

    grant: Grant
    """What it may have."""
    data: bytearray = field(default_factory=bytearray)
    """Content of its stream so far."""
    end_stream: bool = False
    """Its client finished already."""


class PendingRequests:
    """The requests of one connection.

    A: ``len()``, ``in``. B: ``receive_data``. C: ``add``, ``take``, ``clear``.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._requests: dict[StreamId, PendingRequest] = {}

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._requests)

    def __contains__(self, stream_id: StreamId) -> bool:
        """Tell whether the request of this stream waits."""
        return stream_id in self._requests

    def add(self, stream_id: StreamId, grant: Grant) -> None:
        """Let a request wait."""
        self._requests[stream_id] = PendingRequest(grant=grant)

    def receive_data(self, stream_id: StreamId, data: bytes, *, end_stream: bool) -> bool:
        """Keep content for later; False when it is too much, and the request is forgotten."""
        request = self._requests[stream_id]
        request.data += data
        request.end_stream = end_stream
        if len(request.data) <= _MAX_EARLY_BYTES:
            return True
        del self._requests[stream_id]
        return False

    def take(self, stream_id: StreamId) -> PendingRequest | None:
        """Return a request that waits no more; None when it does not wait any longer."""
        return self._requests.pop(stream_id, None)

    def clear(self) -> None:
        """Forget all."""
        self._requests.clear()
