"""Server: web requests of one connection that are waiting for their answer or getting it."""

from typing import Final

from mqvpn_core.ids import StreamId
from mqvpn_core.masque.http3_port import (
    Headers,
    Http3,
    send_data_if_open,
    send_headers_if_open,
)
from mqvpn_core.wire.code_points import Http3ErrorCode

_HIGH_WATER_BYTES: Final = 256 * 1024
"""Unacknowledged content of one answer above which there is no room."""


class SiteAnswers:
    """Open answers; what is sent to a stream that is not open goes nowhere.

    A: ``room``, ``in``
    C: ``open``, ``respond``, ``send_body``, ``cancel``, ``forget``, ``forget_all``
    """

    def __init__(self, http3: Http3) -> None:
        """Start with none."""
        self._http3 = http3
        self._open: set[StreamId] = set()

    def __contains__(self, stream_id: StreamId) -> bool:
        """Tell whether an answer is still to be completed."""
        return stream_id in self._open

    def room(self, stream_id: StreamId) -> int:
        """Return how many bytes of content an answer takes now."""
        if stream_id not in self._open:
            return 0
        return max(0, _HIGH_WATER_BYTES - self._http3.unsent_bytes(stream_id))

    def open(self, stream_id: StreamId) -> None:
        """A request came that wants an answer."""
        self._open.add(stream_id)

    def respond(
        self, stream_id: StreamId, status: int, headers: Headers, *, end_stream: bool
    ) -> None:
        """Send the header section of an answer."""
        if stream_id not in self._open:
            return
        section = ((b":status", b"%d" % status), *headers)
        taken = send_headers_if_open(self._http3, stream_id, section, end_stream=end_stream)
        if end_stream or not taken:
            self._open.discard(stream_id)

    def send_body(self, stream_id: StreamId, chunk: bytes, *, end_stream: bool) -> None:
        """Send content of an answer."""
        if stream_id not in self._open:
            return
        taken = send_data_if_open(self._http3, stream_id, chunk, end_stream=end_stream)
        if end_stream or not taken:
            self._open.discard(stream_id)

    def cancel(self, stream_id: StreamId, error_code: Http3ErrorCode) -> None:
        """Break off an answer."""
        if self.forget(stream_id):
            self._http3.abort_stream(stream_id, error_code)

    def forget(self, stream_id: StreamId) -> bool:
        """The client gave up; tell whether an answer was open."""
        was_open = stream_id in self._open
        self._open.discard(stream_id)
        return was_open

    def forget_all(self) -> frozenset[StreamId]:
        """The connection is over; return the answers that were open."""
        streams = frozenset(self._open)
        self._open.clear()
        return streams
