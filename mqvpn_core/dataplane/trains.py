"""PacketTrain of the reference: packets that travel together as one object.

A batch of packets of one kind costs as much as one packet wherever nobody has to look at each of
them. The native kernel keeps a train in one buffer and makes its packets when they are sealed.
"""

from collections.abc import Sequence

_IPV4_BYTES = 20
_IPV6_BYTES = 40
_IPV4_WITHOUT_OPTIONS = 0x45
_IPV6 = 6


class PacketTrain:
    """Packets of one kind in their order; all of one length but the last, which may be shorter.

    A: ``len``, ``packet_bytes``, ``total_bytes``, ``head``, ``flow``, ``packets``
    D: ``part``, ``stripped`` make other trains; none changes.
    """

    __slots__ = ("_packets",)

    def __init__(self, packets: Sequence[bytes]) -> None:
        """Take packets; there is at least one."""
        self._packets = packets

    def __len__(self) -> int:
        """Packets."""
        return len(self._packets)

    @property
    def packet_bytes(self) -> int:
        """Length of each packet but the last."""
        return len(self._packets[0]) if self._packets else 0

    @property
    def total_bytes(self) -> int:
        """Length of all packets together."""
        return sum(map(len, self._packets))

    @property
    def head(self) -> bytes:
        """The first packet."""
        return self._packets[0]

    @property
    def flow(self) -> bytes | None:
        """Source, destination and protocol if all packets have the same.

        None also when one has IPv4 options, another length than its header says or no hops left.
        """
        flows = {_flow(packet) for packet in self._packets}
        return flows.pop() if len(flows) == 1 else None

    def packets(self) -> list[bytes]:
        """Return the packets one by one."""
        return list(self._packets)

    def part(self, start: int, stop: int) -> "PacketTrain":
        """Return some of the packets."""
        return PacketTrain(self._packets[start:stop])

    def stripped(self, count: int) -> "PacketTrain":
        """Take bytes off the front of each packet of a train that was received."""
        return PacketTrain([packet[count:] for packet in self._packets])


def _flow(packet: bytes) -> bytes | None:
    size = len(packet)
    if size >= _IPV4_BYTES and packet[0] == _IPV4_WITHOUT_OPTIONS:
        is_usable = packet[2] << 8 | packet[3] == size and packet[8]
        return packet[12:20] + packet[9:10] if is_usable else None
    if size >= _IPV6_BYTES and packet[0] >> 4 == _IPV6:
        is_usable = (packet[4] << 8 | packet[5]) + _IPV6_BYTES == size and packet[7]
        return packet[8:40] + packet[6:7] if is_usable else None
    return None
