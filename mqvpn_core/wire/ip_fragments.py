"""Splitting IPv4 packets that are too big for the next link and may be split (RFC 791 s3.2)."""

from typing import Final

from mqvpn_core.errors import DecodeError
from mqvpn_core.wire.ip_packets import IPV4_HEADER_BYTES, internet_checksum

_UNIT: Final = 8  # bytes that one step of Fragment Offset stands for
_MORE_FRAGMENTS: Final = 0x2000
_OFFSET_MASK: Final = 0x1FFF
_END_OF_OPTIONS: Final = 0
_NO_OPERATION: Final = 1
_COPIED: Final = 0x80
_MIN_OPTION_BYTES: Final = 2


def split_ipv4_packet(packet: bytes, mtu: int) -> tuple[bytes, ...]:
    """Return the fragments of a packet, each no longer than the MTU.

    Args:
        packet: an IPv4 packet that passed ``decode_ip_header``, without trailing bytes. It may be a
            fragment itself, and should not say "don't fragment".
        mtu: largest packet, at least 68 bytes (RFC 791 s3.2: what every link carries).

    Raises:
        DecodeError: it is a fragment that lies beyond the end of the largest IPv4 packet.
    """
    header_bytes = (packet[0] & 0x0F) * 4
    field = packet[6] << 8 | packet[7]
    offset = field & _OFFSET_MASK
    payload = packet[header_bytes:]
    first_header = packet[:header_bytes]
    later_header = packet[:IPV4_HEADER_BYTES] + _copied_options(
        packet[IPV4_HEADER_BYTES:header_bytes]
    )
    fragments: list[bytes] = []
    done = 0
    while done < len(payload) or not fragments:
        header = later_header if fragments else first_header
        room = mtu - len(header)
        piece = payload[done : done + room]
        more = field & _MORE_FRAGMENTS
        if done + len(piece) < len(payload):
            # RFC 791 s3.2: all but the last are a multiple of 8 bytes long.
            piece = payload[done : done + room - room % _UNIT]
            more = _MORE_FRAGMENTS
        if offset > _OFFSET_MASK:
            raise DecodeError("IPv4 fragment lies beyond the end of the largest packet")
        fragments.append(_with_fields(header, len(piece), more | offset) + piece)
        done += len(piece)
        offset += len(piece) // _UNIT
    return tuple(fragments)


def _with_fields(header: bytes, payload_bytes: int, fragment_field: int) -> bytes:
    made = bytearray(header)
    made[0] = 0x40 | len(made) // 4
    made[2:4] = (len(made) + payload_bytes).to_bytes(2, "big")
    made[6:8] = fragment_field.to_bytes(2, "big")
    made[10:12] = bytes(2)
    made[10:12] = internet_checksum(made).to_bytes(2, "big")
    return bytes(made)


def _copied_options(options: bytes) -> bytes:
    """Return the options that every fragment carries (RFC 791 s3.1), padded to whole words."""
    kept = bytearray()
    at = 0
    while at < len(options) and options[at] != _END_OF_OPTIONS:
        if options[at] == _NO_OPERATION:
            at += 1
            continue
        length = options[at + 1] if at + 1 < len(options) else 0
        if length < _MIN_OPTION_BYTES or at + length > len(options):
            break  # nothing behind it can be told apart
        if options[at] & _COPIED:
            kept += options[at : at + length]
        at += length
    return bytes(kept) + bytes(-len(kept) % 4)
