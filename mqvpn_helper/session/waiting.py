"""Waiting for whichever comes first."""

import trio


async def wait_any(*events: trio.Event) -> None:
    """Wait until one of these events is set."""
    async with trio.open_nursery() as nursery:
        for event in events:
            nursery.start_soon(_cancel_after, event, nursery.cancel_scope)


async def _cancel_after(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
