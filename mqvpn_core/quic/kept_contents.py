"""What was in packets that were sent, for another path should theirs fail."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import overload

from typing_extensions import override

from mqvpn_core.dataplane.packets import Parcel, Payload
from mqvpn_core.quic.packet_room import Datagram


class KeptContents(Sequence[Sequence[Datagram]]):
    """The datagrams in each packet; those of a train one by one, made when somebody asks.

    Hardly ever somebody does, so that a train costs as much as a packet. Made by `of` and
    `of_parcels`. A: `datagrams`, and what every sequence has.
    """

    __slots__ = ("_held", "_start", "_starts", "_stop")

    def __init__(
        self, held: Sequence[Sequence[Datagram]], starts: Sequence[int], start: int, stop: int
    ) -> None:
        """Take what `of` and slices have made.

        Args:
            held: datagrams of one packet, or a train alone.
            starts: which packet is the first of each.
            start: the first packet that counts.
            stop: the packet behind the last one that counts.
        """
        self._held = held
        self._starts = starts
        self._start = start
        self._stop = stop

    @classmethod
    def of(cls, packets: Sequence[tuple[Payload, Sequence[Datagram]]]) -> "KeptContents":
        """Take what `pack_datagrams` returns."""
        counts = [1 if isinstance(payload, bytes) else len(payload[1]) for payload, _ in packets]
        starts = list(accumulate(counts, initial=0))
        return cls([held for _, held in packets], starts, 0, starts[-1])

    @classmethod
    def of_parcels(cls, prefix: bytes, parcels: Sequence[Parcel]) -> "KeptContents":
        """Take IP packets each of which is in a packet by itself.

        Args:
            prefix: in front of each.
            parcels: the packets.
        """
        counts = [1 if isinstance(parcel, bytes) else len(parcel) for parcel in parcels]
        starts = list(accumulate(counts, initial=0))
        return cls([((prefix, parcel),) for parcel in parcels], starts, 0, starts[-1])

    def datagrams(self) -> Iterator[Datagram]:
        """Return them all in order, those of a train in one piece."""
        first = bisect_right(self._starts, self._start) - 1
        for held, before in zip(self._held[first:], self._starts[first:], strict=False):
            if before >= self._stop:
                return
            prefix, payload = held[0]
            if isinstance(payload, bytes):
                yield from held
                continue
            start = max(self._start - before, 0)
            stop = min(self._stop - before, len(payload))
            is_whole = stop - start == len(payload)
            yield held[0] if is_whole else (prefix, payload.part(start, stop))

    @override
    def __len__(self) -> int:
        return self._stop - self._start

    @overload
    def __getitem__(self, key: int) -> Sequence[Datagram]: ...
    @overload
    def __getitem__(self, key: "slice[int | None, int | None, int | None]") -> "KeptContents": ...
    @override
    def __getitem__(
        self, key: "int | slice[int | None, int | None, int | None]"
    ) -> "Sequence[Datagram] | KeptContents":
        if isinstance(key, slice):
            start, stop, _ = key.indices(len(self))
            return KeptContents(
                self._held, self._starts, self._start + start, self._start + max(start, stop)
            )
        at = self._start + range(len(self))[key]
        index = bisect_right(self._starts, at) - 1
        held = self._held[index]
        prefix, payload = held[0]
        if isinstance(payload, bytes):
            return held
        offset = at - self._starts[index]
        return [(prefix, payload.part(offset, offset + 1))]
