"""Our own frames that must arrive: sent on any path, queued again when lost (RFC 9000 s13.3)."""

from collections import deque
from typing import TypeAlias

from mqvpn_core.quic.aioquic_bridge.path_builder import DeliveryState, PathPacketBuilder

Topic: TypeAlias = tuple[str] | tuple[str, int]
"""What a frame is about, where only the newest statement counts."""

_Item: TypeAlias = tuple[bytes, Topic | None]

MAX_QUEUED_FRAMES = 512
"""A peer that makes us queue more is misbehaving; `is_overrun` tells the connection to close."""


class ControlFrames:
    """First in, first out; frames are complete encodings."""

    def __init__(self) -> None:
        self._queue: deque[_Item] = deque()
        self._newest: dict[Topic, bytes] = {}

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def is_overrun(self) -> bool:
        """More frames wait than any honest exchange needs."""
        return len(self._queue) > MAX_QUEUED_FRAMES

    def push(self, frame: bytes, *, topic: Topic | None = None) -> None:
        """Queue an ack-eliciting frame.

        Args:
            frame: its encoding.
            topic: a newer frame of the same topic makes this one pointless: it is not sent, or not
                sent again when lost.
        """
        if topic is not None:
            if self._newest.get(topic) == frame:
                return  # on its way
            self._newest[topic] = frame
        self._queue.append((frame, topic))

    def is_outstanding(self, topic: Topic) -> bool:
        """The newest frame of a topic has not been acknowledged yet."""
        return topic in self._newest

    def write_into(self, builder: PathPacketBuilder) -> None:
        """Move frames into packets.

        Raises:
            BuilderStop: the builder is full; the rest stays queued.
        """
        while self._queue:
            item = self._queue[0]
            if self._is_wanted(item):
                handler = (self._on_delivery, (item,))
                builder.write_frame(item[0], is_ack_eliciting=True, handler=handler)
            self._queue.popleft()

    def _is_wanted(self, item: _Item) -> bool:
        frame, topic = item
        return topic is None or self._newest.get(topic) == frame

    def _on_delivery(self, state: DeliveryState, item: _Item) -> None:
        if not self._is_wanted(item):
            return
        _, topic = item
        if state is not DeliveryState.ACKED:
            self._queue.append(item)
        elif topic is not None:
            del self._newest[topic]
