"""Lines out of a stream, for tests of the control socket."""

import trio


class LineReader:
    """Gives one line after another, and an empty one at the end or after a reset."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffered = bytearray()

    async def line(self) -> bytes:
        while b"\n" not in self._buffered:
            try:
                data = await self._stream.receive_some()
            except trio.BrokenResourceError:
                data = b""
            if not data:
                return b""
            self._buffered += data
        end = self._buffered.index(b"\n") + 1
        line = bytes(self._buffered[:end])
        del self._buffered[:end]
        return line
