"""Both kernels, and aioquic's own protection, do the same to the same packets."""

from collections.abc import Iterator, Sequence

import pytest
from aioquic._crypto import AEAD, CryptoError, HeaderProtection
from hypothesis import assume, given
from hypothesis import strategies as st

from mqvpn_core.dataplane.packets import (
    Bad,
    CipherSuite,
    OpenedPacket,
    OpenedTrain,
    OpenResult,
    OpenSegmentsResult,
    OtherPhase,
    Payload,
    ReceiveContext,
    ShortHeader,
)
from mqvpn_core.dataplane.reference import decode_packet_number
from mqvpn_core.quic.datagram_packing import join_like_runs
from tests.differential.ip_traffic import frames
from tests.differential.strategies import (
    LARGEST_NUMBER,
    Batch,
    KeyParts,
    batches,
    damage,
    receive_context,
)
from tests.differential.twins import Twin, load_twin

STOCK_NAMES = {
    CipherSuite.AES_128_GCM_SHA256: (b"aes-128-gcm", b"aes-128-ecb"),
    CipherSuite.AES_256_GCM_SHA384: (b"aes-256-gcm", b"aes-256-ecb"),
    CipherSuite.CHACHA20_POLY1305_SHA256: (b"chacha20-poly1305", b"chacha20"),
}


@pytest.fixture(scope="module")
def native() -> Twin:
    return load_twin("native")


@pytest.fixture(scope="module")
def reference() -> Twin:
    return load_twin("reference")


class Stock:
    """aioquic's packet protection with our nonce and short header."""

    def __init__(self, parts: KeyParts) -> None:
        suite, key, iv, header_key = parts
        aead_name, header_name = STOCK_NAMES[suite]
        self._aead = AEAD(aead_name, key, iv)
        self._header = HeaderProtection(header_name, header_key)

    def seal(self, header: ShortHeader, path_id: int, number: int, payload: bytes) -> bytes:
        length = header.packet_number_length
        first = 0x40 | header.key_phase_bit << 2 | length - 1
        plain = bytes([first]) + header.destination_cid + number.to_bytes(8, "big")[-length:]
        padded = payload.rjust(4 - length, b"\0")
        return self._header.apply(plain, self._aead.encrypt(padded, plain, path_id << 64 | number))

    def open(self, context: ReceiveContext, packet: bytes) -> OpenResult:
        number_offset = 1 + context.cid_length
        if len(packet) < number_offset + 4 + 16 or packet[0] & 0xC0 != 0x40:
            return Bad(is_forgery=False)
        plain, truncated = self._header.remove(packet, number_offset)
        length = (plain[0] & 3) + 1
        number = decode_packet_number(truncated, length, context.largest_received + 1)
        if plain[0] >> 2 & 1 != context.key_phase_bit:
            return OtherPhase(number)
        nonce = context.path_id << 64 | number
        try:
            payload = self._aead.decrypt(packet[number_offset + length :], plain, nonce)
        except CryptoError:
            return Bad(is_forgery=True)
        return OpenedPacket(number, payload, plain[0] & 0x18 != 0)


@pytest.mark.slow
@given(batch=batches)
def test_packets_are_sealed_alike(native: Twin, reference: Twin, batch: Batch) -> None:
    parts, header, path_id, first, payloads = batch
    ours = native.seal_batch(native.make_keys(*parts), *batch[1:])
    assert ours == reference.seal_batch(reference.make_keys(*parts), *batch[1:])
    runs = native.seal_runs(native.make_keys(*parts), *batch[1:])
    assert runs == reference.seal_runs(reference.make_keys(*parts), *batch[1:])
    assert b"".join(run.data for run in runs) == b"".join(ours)
    assert native.plan_flight is not None
    flight = native.plan_flight(native.make_keys(*parts), *batch[1:])
    for index in range(len(runs) + 1):
        assert flight.sealed(index) == runs[index:]
    assert flight.shapes == join_like_runs(runs)
    stock = Stock(parts)
    assert ours == [
        stock.seal(header, path_id, number, payload)
        for number, payload in enumerate(payloads, first)
    ]


@pytest.mark.slow
@given(data=st.data(), batch=batches)
def test_packets_are_opened_alike(
    native: Twin, reference: Twin, data: st.DataObject, batch: Batch
) -> None:
    keys = native.make_keys(*batch.parts)
    sealed = native.seal_batch(keys, *batch[1:])
    packets = [data.draw(damage(packet)) for packet in sealed]
    largest = min(max(-1, batch.first + data.draw(st.integers(-300, 300))), LARGEST_NUMBER)
    other_phase = data.draw(st.sampled_from([False, False, False, True]))
    context = receive_context(batch, largest, other_phase=other_phase)
    ours = native.open_batch(keys, context, packets)
    assert ours == reference.open_batch(reference.make_keys(*batch.parts), context, packets)
    stock = Stock(batch.parts)
    theirs = [stock.open(context, packet) for packet in packets]
    assert ours == theirs
    assert [type(result) for result in ours] == [type(result) for result in theirs]


@pytest.mark.slow
@given(data=st.data(), batch=batches)
def test_segments_are_opened_alike(
    native: Twin, reference: Twin, data: st.DataObject, batch: Batch
) -> None:
    payloads = [data.draw(framed(payload)) for payload in batch.payloads]
    sealed = native.seal_batch(native.make_keys(*batch.parts), *batch[1:4], payloads)
    packets = [data.draw(damage(packet)) for packet in sealed]
    size = data.draw(st.sampled_from([len(packet) for packet in packets] or [1])) or 1
    context = receive_context(batch, min(batch.first, LARGEST_NUMBER), other_phase=False)
    joined = b"".join(packets)
    ours = native.open_segments(native.make_keys(*batch.parts), context, joined, size)
    theirs = reference.open_segments(reference.make_keys(*batch.parts), context, joined, size)
    assert plain(ours) == plain(theirs)
    split = [joined[start : start + size] for start in range(0, len(joined), size)]
    singly = native.open_batch(native.make_keys(*batch.parts), context, split)
    assert flat(plain(ours)) == singly


@st.composite
def framed(draw: st.DrawFn, payload: bytes) -> bytes:
    """Return frames of a packet: mostly one DATAGRAM frame with a usual prefix."""
    front = draw(st.sampled_from([b"\x30\0\0"] * 6 + [b"\x30\0\1", b"\x31\0\0", b""]))
    return front + payload


def plain(results: Sequence[OpenSegmentsResult]) -> list[OpenResult | list[OpenResult]]:
    return [
        list(one_by_one(result)) if isinstance(result, OpenedTrain) else result
        for result in results
    ]


def one_by_one(train: OpenedTrain) -> Iterator[OpenResult]:
    for number, payload in enumerate(train.payloads.packets(), train.packet_number):
        yield OpenedPacket(number, b"\x30" + payload, False)


def flat(results: Sequence[OpenResult | list[OpenResult]]) -> list[OpenResult]:
    parts = [result if isinstance(result, list) else [result] for result in results]
    return [result for part in parts for result in part]


@pytest.mark.slow
@given(batch=batches, frame=frames())
def test_trains_are_sealed_like_their_packets(
    native: Twin, reference: Twin, batch: Batch, frame: bytes
) -> None:
    parts, header, path_id, first, payloads = batch
    assume(first + len(payloads) + 200 < LARGEST_NUMBER)
    sealed: list[bytes] = []
    packets: list[bytes] = []
    for twin in (native, reference):
        trains = [parcel for parcel in twin.split_frames([frame]) if not isinstance(parcel, bytes)]
        assume(all(len(train) <= 200 for train in trains))
        mixed: list[Payload] = [*payloads, *((b"\x30\0\0", train) for train in trains)]
        runs = twin.seal_runs(twin.make_keys(*parts), header, path_id, first, mixed)
        sealed.append(b"".join(run.data for run in runs))
        packets = [b"\x30\0\0" + packet for train in trains for packet in train.packets()]
    keys = native.make_keys(*parts)
    singly = native.seal_batch(keys, header, path_id, first, [*payloads, *packets])
    assert sealed == [b"".join(singly)] * 2
