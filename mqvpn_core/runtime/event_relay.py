"""Events of another process of this server, told as our own."""

from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.control_asking import ControlAsker
from mqvpn_core.runtime.control_codec import EventsReply, EventsRequest
from mqvpn_core.runtime.event_log import EventLog, EventSubject
from mqvpn_core.runtime.event_values import decode_event


async def relay_events(asker: ControlAsker, log: EventLog) -> None:
    """Follow the events of a process until it ends, and record them here; it logs them itself.

    Args:
        asker: a conversation with the process.
        log: where to record.

    Raises:
        HostLostError: it has ended.
        DecodeError: it says what is no event.
    """
    await asker.send(EventsRequest(follow=True, with_debug=True))
    while True:
        reply = await asker.next_reply()
        for value in reply.events if isinstance(reply, EventsReply) else ():
            event = decode_event(value)
            subject = EventSubject(peer=event.peer, path=event.path, interface=event.interface)
            log.record(
                *(event.kind, event.text, read_clock()),
                subject=subject,
                details=event.details,
                is_logged=False,
            )
