"""The asking side of the control socket's language over a stream of trio, for a parent process."""

import trio

from mqvpn_core.errors import DecodeError, HostLostError
from mqvpn_core.runtime.control_codec import (
    MAX_REPLY_BYTES,
    ControlReply,
    ControlRequest,
    decode_reply,
    encode_request,
)

_CHUNK = 65536


class ControlAsker:
    """One conversation; used by one task at a time. C: `send`. D: `next_reply`."""

    def __init__(self, stream: trio.SocketStream) -> None:
        """Speak over this stream."""
        self._stream = stream
        self._buffered = bytearray()

    async def send(self, request: ControlRequest) -> None:
        """Ask.

        Raises:
            HostLostError: nobody is there.
        """
        try:
            await self._stream.send_all(encode_request(request))
        except trio.BrokenResourceError as error:
            raise HostLostError("the other process is gone") from error

    async def next_reply(self) -> ControlReply:
        """Wait for the next line and return it.

        Raises:
            HostLostError: nobody is there.
            DecodeError: it is no reply.
        """
        searched = 0
        while (end := self._buffered.find(b"\n", searched)) < 0:
            if len(self._buffered) > MAX_REPLY_BYTES:
                raise DecodeError("the reply is too long")
            searched = len(self._buffered)
            try:
                data = await self._stream.receive_some(_CHUNK)
            except trio.BrokenResourceError as error:
                raise HostLostError("the other process is gone") from error
            if not data:
                raise HostLostError("the other process is gone")
            self._buffered += data
        line = bytes(self._buffered[: end + 1])
        del self._buffered[: end + 1]
        return decode_reply(line)
