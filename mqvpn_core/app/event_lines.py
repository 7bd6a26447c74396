"""Events as lines for people."""

from mqvpn_core.app.local_time import local_time_text
from mqvpn_core.app.one_line import one_line
from mqvpn_core.errors import DecodeError, HostError
from mqvpn_core.runtime.control_codec import EventsReply
from mqvpn_core.runtime.event_values import CoreEvent, decode_event


def read_events(reply: EventsReply) -> tuple[CoreEvent, ...]:
    """Return the events in an answer.

    Raises:
        HostError: one of them is none that this version knows.
    """
    try:
        return tuple(decode_event(value) for value in reply.events)
    except DecodeError as error:
        raise HostError(f"cannot read an event, is it another version? {error}") from None


def event_line(event: CoreEvent) -> str:
    """Return an event with its time of day here."""
    return f"{local_time_text(event.wall)}  {event.kind.value:<15} {one_line(event.text)}"


def missed_line(count: int) -> str:
    """Return what stands for events that were forgotten before anybody asked for them."""
    return f"... {count} events missed"
