"""aioquic's events in our words."""

from aioquic.quic import events as aioquic_events

from mqvpn_core.ids import StreamId
from mqvpn_core.quic.events import (
    ConnectionTerminated,
    Event,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)


def translate_event(event: aioquic_events.QuicEvent) -> Event | None:
    """Translate a stream event; others are told in another way and give None."""
    match event:
        case aioquic_events.StreamDataReceived():
            return StreamDataReceived(
                stream_id=StreamId(event.stream_id), data=event.data, end_stream=event.end_stream
            )
        case aioquic_events.StreamReset():
            return StreamReset(stream_id=StreamId(event.stream_id), error_code=event.error_code)
        case aioquic_events.StopSendingReceived():
            return StopSendingReceived(
                stream_id=StreamId(event.stream_id), error_code=event.error_code
            )
        case _:
            return None


def translate_end(cause: aioquic_events.ConnectionTerminated, *, by_peer: bool) -> Event:
    """Translate why a connection ended."""
    return ConnectionTerminated(
        error_code=cause.error_code,
        reason=cause.reason_phrase,
        by_peer=by_peer,
        is_application=cause.frame_type is None,
    )
