"""Pure-Python kernel on `cryptography`: seal and open batches of 1-RTT packets.

It is the oracle for any other kernel, and the fallback where there is none. It knows packets as
bytes: no frames, no connection state, no key schedule.

Implements RFC 9001 s5.3 and s5.4 with the nonce of the multipath extension (RFC 10069 s2.4).
"""

from collections.abc import Sequence
from struct import iter_unpack

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES, ChaCha20

from mqvpn_core.dataplane.frames import join_packets, split_frames
from mqvpn_core.dataplane.packets import (
    TRAIN_PREFIX_BYTES,
    Bad,
    CipherSuite,
    OpenedPacket,
    OpenedTrain,
    OpenResult,
    OpenSegmentsResult,
    OtherPhase,
    Payload,
    ReceiveContext,
    ReceivedBytes,
    SealedRun,
    ShortHeader,
)
from mqvpn_core.dataplane.parcels import payload_per_packet
from mqvpn_core.dataplane.runs import group_runs, share_destination
from mqvpn_core.dataplane.trains import PacketTrain

__all__ = [
    "PacketKeys",
    "PacketTrain",
    "join_packets",
    "open_batch",
    "open_segments",
    "seal_batch",
    "seal_runs",
    "share_destination",
    "split_frames",
]

_SAMPLE_BYTES = 16
_MAX_PACKET_NUMBER_LENGTH = 4
_PACKET_NUMBER_LIMIT = 1 << 62
_KEY_PHASE_BIT = 0x04
_RESERVED_BITS = 0x18
_HEADER_FORM_AND_FIXED_BIT = 0xC0
_FIXED_BIT = 0x40
_PROTECTED_BITS = 0x1F
_DATAGRAM_TO_END = 0x30


class PacketKeys:
    """AEAD key, IV and header protection key of one direction and key phase; immutable."""

    __slots__ = ("_header_cipher", "aead", "iv", "suite")

    def __init__(
        self, suite: CipherSuite, key: bytes, iv: bytes, header_protection_key: bytes
    ) -> None:
        """Prepare the ciphers.

        Args:
            suite: which AEAD and header protection.
            key: AEAD key.
            iv: IV of 12 bytes; the nonce is the IV xor path ID and packet number.
            header_protection_key: key that all phases share.
        """
        self.suite = suite
        # The nonce is IV xor (32-bit path ID, two zero bits, 62-bit packet number).
        self.iv = int.from_bytes(iv, "big")
        self.aead: AESGCM | ChaCha20Poly1305
        if suite is CipherSuite.CHACHA20_POLY1305_SHA256:
            self.aead = ChaCha20Poly1305(key)
            self._header_cipher = Cipher(
                ChaCha20(header_protection_key, bytes(_SAMPLE_BYTES)), mode=None
            ).encryptor()
        else:
            self.aead = AESGCM(key)
            # RFC 9001 s5.4.3: header protection is one block of AES, which is what ECB mode means.
            ecb = modes.ECB()  # noqa: S305 - see above
            self._header_cipher = Cipher(AES(header_protection_key), ecb).encryptor()

    def header_masks(self, samples: Sequence[bytes]) -> list[tuple[int, int]]:
        """Return for each sample the mask of the first byte and that of four number bytes."""
        if self.suite is not CipherSuite.CHACHA20_POLY1305_SHA256:
            # AES in ECB mode has no state: one call makes the masks of the whole batch.
            return list(iter_unpack(">BI11x", self._header_cipher.update(b"".join(samples))))
        masks = bytearray()
        for sample in samples:
            # RFC 9001 s5.4.4: counter and nonce are the sample.
            self._header_cipher.reset_nonce(sample)
            masks += self._header_cipher.update(bytes(5))
        return list(iter_unpack(">BI", masks))


_MALFORMED = Bad(is_forgery=False)
_FORGED = Bad(is_forgery=True)


def seal_batch(
    keys: PacketKeys,
    header: ShortHeader,
    path_id: int,
    first_packet_number: int,
    payloads: Sequence[bytes],
) -> list[bytes]:
    """Return one protected 1-RTT packet for each payload, with consecutive packet numbers.

    Payloads too short to sample are filled up with PADDING in front, where it is always legal: a
    DATAGRAM frame without a length extends to the end (RFC 9001 s5.4.2).
    """
    length = header.packet_number_length
    first_byte = _FIXED_BIT | header.key_phase_bit << 2 | (length - 1)
    prefix = bytes((first_byte,)) + header.destination_cid
    truncation = (1 << 8 * length) - 1
    sample_start = _MAX_PACKET_NUMBER_LENGTH - length
    sample_stop = sample_start + _SAMPLE_BYTES
    encrypt = keys.aead.encrypt
    nonce_base = keys.iv ^ path_id << 64
    sealed = []
    packet_number = first_packet_number
    for payload in payloads:
        padded = payload
        if len(payload) < sample_start:
            padded = bytes(sample_start - len(payload)) + payload
        sealed.append(
            encrypt(
                (nonce_base ^ packet_number).to_bytes(12, "big"),
                padded,
                prefix + (packet_number & truncation).to_bytes(length, "big"),
            )
        )
        packet_number += 1
    masks = keys.header_masks([text[sample_start:sample_stop] for text in sealed])
    shift = 8 * sample_start
    destination_cid = header.destination_cid
    packets = []
    packet_number = first_packet_number
    for text, (first_mask, number_mask) in zip(sealed, masks, strict=True):
        number = (packet_number & truncation) ^ (number_mask >> shift)
        packets.append(
            b"%c%b%b%b"
            % (
                first_byte ^ (first_mask & _PROTECTED_BITS),
                destination_cid,
                number.to_bytes(length, "big"),
                text,
            )
        )
        packet_number += 1
    return packets


def seal_runs(
    keys: PacketKeys,
    header: ShortHeader,
    path_id: int,
    first_packet_number: int,
    payloads: Sequence[Payload],
) -> list[SealedRun]:
    """Do what `seal_batch` does, and join what can leave in one send with segmentation.

    Args:
        keys: keys of our direction.
        header: what the packets have in common.
        path_id: the path.
        first_packet_number: number of the first packet.
        payloads: frames of a packet, or a train: each packet of it goes into one of its own.
    """
    plain = payload_per_packet(payloads)
    return group_runs(seal_batch(keys, header, path_id, first_packet_number, plain))


def open_batch(
    keys: PacketKeys, context: ReceiveContext, packets: Sequence[bytes]
) -> list[OpenResult]:
    """Remove header and packet protection of a batch of 1-RTT packets on one path.

    Packets of the other key phase are reported and not opened.
    """
    number_offset = 1 + context.cid_length
    sample_start = number_offset + _MAX_PACKET_NUMBER_LENGTH
    sample_stop = sample_start + _SAMPLE_BYTES
    # RFC 9001 s5.4.2: too short to sample is discarded. The tag alone is as long as the sample.
    readable = [
        len(packet) >= sample_stop and packet[0] & _HEADER_FORM_AND_FIXED_BIT == _FIXED_BIT
        for packet in packets
    ]
    if not all(readable):
        return _open_some(keys, context, packets, readable)
    if not packets:
        return []
    masks = keys.header_masks([packet[sample_start:sample_stop] for packet in packets])
    fields = iter_unpack(">I", b"".join([packet[number_offset:sample_start] for packet in packets]))
    decrypt = keys.aead.decrypt
    nonce_base = keys.iv ^ context.path_id << 64
    expected_phase = context.key_phase_bit << 2
    expected = context.largest_received + 1
    results: list[OpenResult] = []
    length = shift = near = 0
    for packet, (first_mask, number_mask), (field,) in zip(packets, masks, fields, strict=True):
        first_byte = packet[0] ^ (first_mask & _PROTECTED_BITS)
        if (first_byte & 0x03) + 1 != length:
            length = (first_byte & 0x03) + 1
            shift = 8 * (_MAX_PACKET_NUMBER_LENGTH - length)
            near = 1 << 8 * length - 1
        truncated = (field ^ number_mask) >> shift
        # The common case of decode_packet_number, without the call.
        packet_number = (expected & -2 * near) | truncated
        if not -near < packet_number - expected <= near:
            packet_number = decode_packet_number(truncated, length, expected)
        if first_byte & _KEY_PHASE_BIT != expected_phase:
            results.append(OtherPhase(packet_number))
            continue
        header = b"%c%b%b" % (
            first_byte,
            packet[1:number_offset],
            truncated.to_bytes(length, "big"),
        )
        try:
            plaintext = decrypt(
                (nonce_base ^ packet_number).to_bytes(12, "big"),
                packet[number_offset + length :],
                header,
            )
        except InvalidTag:
            results.append(_FORGED)
            continue
        results.append(OpenedPacket(packet_number, plaintext, first_byte & _RESERVED_BITS != 0))
    return results


def open_segments(
    keys: PacketKeys, context: ReceiveContext, data: ReceivedBytes, segment_size: int
) -> list[OpenSegmentsResult]:
    """Do what `open_batch` does for packets back to back, and join what can stay together.

    Packets with consecutive numbers that have nothing but a DATAGRAM frame to their end become one
    train, if the payloads begin with the same bytes.

    Args:
        keys: keys of the peer's direction.
        context: what the packets have in common.
        data: the packets.
        segment_size: length of each packet but the last.
    """
    size = max(segment_size, 1)
    packets = [data[start : start + size] for start in range(0, len(data), size)]
    opened = open_batch(keys, context, packets)
    results: list[OpenSegmentsResult] = []
    start = 0
    while start < len(opened):
        first = opened[start]
        stop = start + 1
        prefix = _train_prefix(first)
        if prefix and isinstance(first, OpenedPacket):
            overhead = len(packets[start]) - len(first.plaintext)
            while stop < len(opened) and _goes_on(
                opened[stop], first.packet_number + stop - start, prefix
            ):
                # Another length of the packet number breaks the equal distances.
                if len(packets[stop]) - len(_plaintext(opened[stop])) != overhead:
                    break
                stop += 1
        if stop == start + 1 or not isinstance(first, OpenedPacket):
            results.append(first)
        else:
            payloads = [_plaintext(packet)[1:] for packet in opened[start:stop]]
            results.append(OpenedTrain(first.packet_number, PacketTrain(payloads)))
        start = stop
    return results


def _plaintext(result: OpenResult) -> bytes:
    return result.plaintext if isinstance(result, OpenedPacket) else b""


def _train_prefix(result: OpenResult) -> bytes:
    """Return what begins a payload that may be in a train; nothing when it may not."""
    if not isinstance(result, OpenedPacket) or result.has_reserved_bits:
        return b""
    plaintext = result.plaintext
    is_plain = len(plaintext) > TRAIN_PREFIX_BYTES and plaintext[0] == _DATAGRAM_TO_END
    return plaintext[1 : 1 + TRAIN_PREFIX_BYTES] if is_plain else b""


def _goes_on(result: OpenResult, number: int, prefix: bytes) -> bool:
    return (
        isinstance(result, OpenedPacket)
        and result.packet_number == number
        and _train_prefix(result) == prefix
    )


def decode_packet_number(truncated: int, length: int, expected: int) -> int:
    """Return the full packet number nearest to ``expected`` (RFC 9000 appendix A.3).

    Args:
        truncated: the number as encoded.
        length: bytes of its encoding.
        expected: largest received number plus one.
    """
    window = 1 << 8 * length
    half = window >> 1
    candidate = (expected & -window) | truncated
    if candidate <= expected - half and candidate < _PACKET_NUMBER_LIMIT - window:
        return candidate + window
    if candidate > expected + half and candidate >= window:
        return candidate - window
    return candidate


def _open_some(
    keys: PacketKeys,
    context: ReceiveContext,
    packets: Sequence[bytes],
    readable: Sequence[bool],
) -> list[OpenResult]:
    chosen = [packet for packet, is_readable in zip(packets, readable, strict=True) if is_readable]
    opened = iter(open_batch(keys, context, chosen))
    return [next(opened) if is_readable else _MALFORMED for is_readable in readable]
