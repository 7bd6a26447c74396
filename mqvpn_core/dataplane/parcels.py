"""Single packets and trains of packets in one sequence: the few questions that everybody asks."""

from collections.abc import Iterable

from mqvpn_core.dataplane.packets import Parcel, Payload


def count_packets(parcels: Iterable[Parcel]) -> int:
    """Count the packets."""
    count = 0
    for parcel in parcels:
        count += 1 if isinstance(parcel, bytes) else len(parcel)
    return count


def expand(parcels: Iterable[Parcel]) -> list[bytes]:
    """Return the packets one by one."""
    packets: list[bytes] = []
    for parcel in parcels:
        if isinstance(parcel, bytes):
            packets.append(parcel)
        else:
            packets += parcel.packets()
    return packets


def first_packet(parcel: Parcel) -> bytes:
    """Return the packet, or the first one of a train."""
    return parcel if isinstance(parcel, bytes) else parcel.head


def largest_packet(parcel: Parcel) -> int:
    """Return the length of the packet, or of the longest one of a train."""
    return len(parcel) if isinstance(parcel, bytes) else parcel.packet_bytes


def payload_per_packet(payloads: Iterable[Payload]) -> list[bytes]:
    """Return the frames of each packet."""
    plain: list[bytes] = []
    for payload in payloads:
        if isinstance(payload, bytes):
            plain.append(payload)
        else:
            front, train = payload
            plain += [front + packet for packet in train.packets()]
    return plain
