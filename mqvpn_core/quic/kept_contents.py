"""What was in packets that were sent, for another path should theirs fail."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
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

    __slots__ = ("_start", "_stop", "_table")

    def __init__(self, table: "_Table | _LateTable", start: int, stop: int) -> None:
        """Take what `of` and slices have made.

        Args:
            table: what is in which packets.
            start: the first packet that counts.
            stop: the packet behind the last one that counts.
        """
        self._table = table
        self._start = start
        self._stop = stop

    @classmethod
    def of(cls, packets: Sequence[tuple[Payload, Sequence[Datagram]]]) -> "KeptContents":
        """Take what `pack_datagrams` returns."""
        counts = [1 if isinstance(payload, bytes) else len(payload[1]) for payload, _ in packets]
        starts = list(accumulate(counts, initial=0))
        return cls(_Table([held for _, held in packets], starts), 0, starts[-1])

    @classmethod
    def of_parcels(
        cls, prefix: bytes, parcels: Iterable[Parcel], packet_count: int
    ) -> "KeptContents":
        """Take IP packets each of which is in a packet by itself.

        Args:
            prefix: in front of each.
            parcels: the packets; not looked at before somebody asks.
            packet_count: how many they are.
        """
        return cls(_LateTable(prefix, parcels), 0, packet_count)

    def datagrams(self) -> Iterator[Datagram]:
        """Return them all in order, those of a train in one piece."""
        table = self._table
        first = bisect_right(table.starts, self._start) - 1
        for held, before in zip(table.held[first:], table.starts[first:], strict=False):
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
            return KeptContents(self._table, self._start + start, self._start + max(start, stop))
        at = self._start + range(len(self))[key]
        table = self._table
        index = bisect_right(table.starts, at) - 1
        held = table.held[index]
        prefix, payload = held[0]
        if isinstance(payload, bytes):
            return held
        offset = at - table.starts[index]
        return [(prefix, payload.part(offset, offset + 1))]


class _Table:
    """The datagrams of one packet, or a train alone, and which packet is the first of each."""

    __slots__ = ("held", "starts")

    def __init__(self, held: Sequence[Sequence[Datagram]], starts: Sequence[int]) -> None:
        self.held = held
        self.starts = starts


class _LateTable:
    """The same of parcels, made when somebody asks."""

    __slots__ = ("_parcels", "_prefix", "_table")

    def __init__(self, prefix: bytes, parcels: Iterable[Parcel]) -> None:
        self._prefix = prefix
        self._parcels = parcels
        self._table: _Table | None = None

    @property
    def held(self) -> Sequence[Sequence[Datagram]]:
        return self._made().held

    @property
    def starts(self) -> Sequence[int]:
        return self._made().starts

    def _made(self) -> _Table:
        if self._table is None:
            parcels = list(self._parcels)
            counts = [1 if isinstance(parcel, bytes) else len(parcel) for parcel in parcels]
            held = [((self._prefix, parcel),) for parcel in parcels]
            self._table = _Table(held, list(accumulate(counts, initial=0)))
        return self._table
