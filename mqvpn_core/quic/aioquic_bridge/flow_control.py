"""What a peer may make us buffer: credit by consumption, and few gaps (RFC 9000 s4, s7.5, s21.7).

aioquic doubles a window once half of it has been *received*, also behind a gap, so a peer could
make us buffer without limit. Here credit follows what has been handed to the application. And it
looks through all gaps of a stream for every frame, however many they are.
"""

from aioquic._buffer import Buffer
from aioquic.quic.connection import Limit, QuicConnection, QuicConnectionError, QuicReceiveContext
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream
from typing_extensions import override

from mqvpn_core.wire.code_points import FrameType, TransportErrorCode

MAX_RECEIVED_RANGES = 256
"""Pieces of one stream that wait for what is missing before them: as many as a whole window has
when every other packet of it is lost."""

_LIMIT_CAPACITY = 1 + 8
_STREAM_LIMIT_CAPACITY = 1 + 8 + 8


class SlidingFlowControl(QuicConnection):
    """Overrides the two places where the engine raises limits, and the two where data comes in."""

    @override
    def _handle_crypto_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        super()._handle_crypto_frame(context, frame_type, buf)
        if _is_scattered(self._crypto_streams[context.epoch]):
            # RFC 9000 s7.5: "it MUST close the connection with a CRYPTO_BUFFER_EXCEEDED error code"
            raise QuicConnectionError(
                error_code=TransportErrorCode.CRYPTO_BUFFER_EXCEEDED,
                frame_type=frame_type,
                reason_phrase="too many gaps in the handshake",
            )

    @override
    def _handle_stream_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        start = buf.tell()
        stream_id = buf.pull_uint_var()
        buf.seek(start)
        super()._handle_stream_frame(context, frame_type, buf)
        stream = self._streams.get(stream_id)
        if stream is not None and _is_scattered(stream):
            # RFC 9000 s21.7: "limiting the size of tracking data structures"
            raise QuicConnectionError(
                error_code=TransportErrorCode.INTERNAL_ERROR,
                frame_type=frame_type,
                reason_phrase="too many gaps in a stream",
            )

    @override
    def _write_connection_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        window = self._configuration.max_data
        max_data = self._local_max_data
        buffered = sum(
            stream.receiver.highest_offset - stream.receiver.starting_offset()
            for stream in self._streams.values()
        )
        consumed = max_data.used - buffered
        if max_data.value - consumed < window // 2:
            max_data.value = consumed + window
        for limit in (max_data, self._local_max_streams_bidi, self._local_max_streams_uni):
            # Streams are granted in batches, once the peer has fewer left than it would get.
            is_worth_it = limit is max_data or limit.sent - limit.used < limit.value - limit.sent
            if limit.value != limit.sent and is_worth_it:
                self._write_limit(builder, limit)

    def _write_limit(self, builder: QuicPacketBuilder, limit: Limit) -> None:
        buffer = builder.start_frame(
            limit.frame_type,
            capacity=_LIMIT_CAPACITY,
            handler=self._on_connection_limit_delivery,
            handler_args=(limit,),
        )
        buffer.push_uint_var(limit.value)
        limit.sent = limit.value

    @override
    def _write_stream_limits(
        self, builder: QuicPacketBuilder, space: QuicPacketSpace, stream: QuicStream
    ) -> None:
        window = self._configuration.max_stream_data
        consumed = stream.receiver.starting_offset()
        may_grow = stream.max_stream_data_local and not stream.receiver.is_finished
        if may_grow and stream.max_stream_data_local - consumed < window // 2:
            stream.max_stream_data_local = consumed + window
        if stream.max_stream_data_local == stream.max_stream_data_local_sent:
            return
        buffer = builder.start_frame(
            FrameType.MAX_STREAM_DATA,
            capacity=_STREAM_LIMIT_CAPACITY,
            handler=self._on_max_stream_data_delivery,
            handler_args=(stream,),
        )
        buffer.push_uint_var(stream.stream_id or 0)
        buffer.push_uint_var(stream.max_stream_data_local)
        stream.max_stream_data_local_sent = stream.max_stream_data_local


def _is_scattered(stream: QuicStream) -> bool:
    return len(stream.receiver._ranges) > MAX_RECEIVED_RANGES
