"""The helper's end of the control socket of one core: packets in, packets out, limits.

Whatever a core sends costs the helper a bounded amount of work: reading pauses when too much comes,
reports that come too fast are left out, and a packet that is no message ends the core.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass

import trio

from mqvpn_helper.interface.control_messages import (
    MAX_MESSAGE_BYTES,
    CoreMessage,
    EventReport,
    HelperMessage,
    PathsReport,
    StateReport,
)
from mqvpn_helper.interface.core_coding import decode_core_message
from mqvpn_helper.interface.helper_coding import encode_helper_message
from mqvpn_helper.interface.members import MemberError

SEND_LIMIT = 5.0
"""Seconds after which a core that takes no message counts as stuck."""


class CoreFaultError(Exception):
    """The core broke the rules of the control socket, or does not listen; the message says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """How much may come in the long run, and at once."""

    rate: float
    """A second."""
    burst: float
    """At once."""


PACKETS = Flow(rate=100, burst=400)
"""Packets of any kind; more waits."""
BYTES = Flow(rate=512 * 1024, burst=2 * 1024 * 1024)
"""Bytes of them; more waits."""
REQUESTS = Flow(rate=5, burst=40)
"""What changes or asks the machine; more waits."""
REPORTS = Flow(rate=20, burst=100)
"""What is told to users; more is left out."""


class FlowMeter:
    """Tells how long to wait for the next of a flow. C: `take`, `may_take`."""

    def __init__(self, flow: Flow, clock: Callable[[], float] = trio.current_time) -> None:
        """Begin with everything allowed at once."""
        self._flow = flow
        self._clock = clock
        self._left = flow.burst
        self._at = clock()

    def take(self, amount: float = 1.0) -> float:
        """Count an amount; return the seconds to wait before going on."""
        self._refill()
        self._left -= amount
        return max(0.0, -self._left / self._flow.rate)

    def may_take(self) -> bool:
        """Count one if there is room for it; tell whether there was."""
        self._refill()
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def _refill(self) -> None:
        now = self._clock()
        self._left = min(self._flow.burst, self._left + (now - self._at) * self._flow.rate)
        self._at = now


class CoreLink:
    """One core. C: `send`, `close`. Tasks: `receive` (one at a time)."""

    def __init__(self, ours: socket.socket) -> None:
        """Take our end of the socket pair; it is closed by `close`."""
        ours.setblocking(False)
        self._socket = trio.socket.from_stdlib_socket(ours)
        self._sending = trio.Lock()
        self._packets = FlowMeter(PACKETS)
        self._bytes = FlowMeter(BYTES)
        self._requests = FlowMeter(REQUESTS)
        self._reports = FlowMeter(REPORTS)

    async def send(self, message: HelperMessage) -> None:
        """Send one message.

        Raises:
            CoreFaultError: the core does not take it, or is gone.
        """
        packet = encode_helper_message(message)
        with trio.move_on_after(SEND_LIMIT) as scope:
            async with self._sending:
                try:
                    await self._socket.send(packet)
                except OSError as error:
                    raise CoreFaultError("the core closed its control socket") from error
        if scope.cancelled_caught:
            raise CoreFaultError("the core does not take messages")

    async def receive(self) -> CoreMessage | None:
        """Wait for the next message; None: the core has closed its end.

        Raises:
            CoreFaultError: it sent what is no message.
        """
        while True:
            try:
                packet = await self._socket.recv(MAX_MESSAGE_BYTES + 1)
            except OSError:
                return None
            if not packet:
                return None
            await trio.sleep(max(self._packets.take(), self._bytes.take(len(packet))))
            try:
                message = decode_core_message(packet)
            except MemberError as error:
                raise CoreFaultError(f"the core sent what is no message: {error}") from error
            if not isinstance(message, EventReport | PathsReport | StateReport):
                await trio.sleep(self._requests.take())
                return message
            if isinstance(message, StateReport) or self._reports.may_take():
                return message
            # Else it came too fast and is left out: nobody waits for an answer to it.

    def close(self) -> None:
        """Close our end; the core notices."""
        self._socket.close()
