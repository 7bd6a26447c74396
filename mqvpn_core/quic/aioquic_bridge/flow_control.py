"""Flow control credit by consumption: what aioquic doubles without bound, we slide (RFC 9000 s4).

aioquic doubles a window once half of it has been *received*, also behind a gap, so a peer could
make us buffer without limit. Here credit follows what has been handed to the application.
"""

from aioquic.quic.connection import Limit, QuicConnection
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream
from typing_extensions import override

from mqvpn_core.wire.code_points import FrameType

_LIMIT_CAPACITY = 1 + 8
_STREAM_LIMIT_CAPACITY = 1 + 8 + 8


class SlidingFlowControl(QuicConnection):
    """Overrides the two places where the engine raises limits."""

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
