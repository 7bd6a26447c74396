import pytest
from aioquic._crypto import AEAD, CryptoError, HeaderProtection
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mqvpn_core.dataplane.packets import (
    MAX_RUN_BYTES,
    MAX_RUN_PACKETS,
    TAG_BYTES,
    Bad,
    CipherSuite,
    OpenedPacket,
    OpenResult,
    OtherPhase,
    ReceiveContext,
    ShortHeader,
)
from mqvpn_core.dataplane.reference import PacketKeys, decode_packet_number
from tests.differential.twins import Twin, load_twin

CID = bytes.fromhex("0102030405060708")
SUITES = list(CipherSuite)
STOCK_NAMES = {
    CipherSuite.AES_128_GCM_SHA256: (b"aes-128-gcm", b"aes-128-ecb", 16),
    CipherSuite.AES_256_GCM_SHA384: (b"aes-256-gcm", b"aes-256-ecb", 32),
    CipherSuite.CHACHA20_POLY1305_SHA256: (b"chacha20-poly1305", b"chacha20", 32),
}


def key_parts(suite: CipherSuite) -> tuple[bytes, bytes, bytes]:
    length = STOCK_NAMES[suite][2]
    return bytes(range(length)), bytes(range(100, 112)), bytes(range(50, 50 + length))


@pytest.fixture(params=SUITES, ids=lambda suite: str(suite.name))
def suite(request: pytest.FixtureRequest) -> CipherSuite:
    return CipherSuite(request.param)


@pytest.fixture(params=["reference", "native"])
def twin(request: pytest.FixtureRequest) -> Twin:
    return load_twin(str(request.param))


@pytest.fixture
def keys(twin: Twin, suite: CipherSuite) -> PacketKeys:
    return twin.make_keys(suite, *key_parts(suite))


def header(phase: int = 0, length: int = 4, cid: bytes = CID) -> ShortHeader:
    return ShortHeader(cid, phase, length)


def context(largest: int = -1, *, path_id: int = 0, phase: int = 0) -> ReceiveContext:
    return ReceiveContext(path_id, largest, len(CID), phase)


def opened(results: list[OpenResult]) -> list[tuple[int, bytes]]:
    assert all(isinstance(result, OpenedPacket) for result in results)
    return [
        (result.packet_number, result.plaintext)
        for result in results
        if isinstance(result, OpenedPacket)
    ]


def test_the_short_header_packet_of_rfc_9001(twin: Twin) -> None:
    # RFC 9001 appendix A.5: ChaCha20-Poly1305, empty connection ID, a PING.
    keys = twin.make_keys(
        CipherSuite.CHACHA20_POLY1305_SHA256,
        bytes.fromhex("c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8"),
        bytes.fromhex("e0459b3474bdd0e44a41c144"),
        bytes.fromhex("25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4"),
    )
    packet = bytes.fromhex("4cfe4189655e5cd55c41f69080575d7999c25a5bfb")
    assert twin.seal_batch(keys, ShortHeader(b"", 0, 3), 0, 654360564, [b"\x01"]) == [packet]
    (result,) = twin.open_batch(keys, ReceiveContext(0, 654360563, 0, 0), [packet])
    assert result == OpenedPacket(654360564, b"\x01", has_reserved_bits=False)


def test_the_nonce_of_the_multipath_draft(twin: Twin) -> None:
    # draft-ietf-quic-multipath-21 s2.4: path 3, packet 54321.
    key, _, header_key = key_parts(CipherSuite.AES_128_GCM_SHA256)
    iv = bytes.fromhex("6b26114b9cba2b63a9e8dd4f")
    keys = twin.make_keys(CipherSuite.AES_128_GCM_SHA256, key, iv, header_key)
    (packet,) = twin.seal_batch(keys, header(), 3, 54321, [b"payload"])
    nonce = bytes.fromhex("6b2611489cba2b63a9e8097e")
    plain_header = b"\x43" + CID + (54321).to_bytes(4, "big")
    sealed = AESGCM(key).encrypt(nonce, b"payload", plain_header)
    assert packet[len(plain_header) :] == sealed


@pytest.mark.parametrize("length", [1, 2, 3, 4])
@pytest.mark.parametrize("phase", [0, 1])
def test_packets_are_those_of_aioquic(
    twin: Twin, suite: CipherSuite, keys: PacketKeys, length: int, phase: int
) -> None:
    key, iv, header_key = key_parts(suite)
    aead_name, header_name, _ = STOCK_NAMES[suite]
    stock_aead, stock_header = AEAD(aead_name, key, iv), HeaderProtection(header_name, header_key)
    payloads = [bytes([number]) * (50 + number) for number in range(5)]
    path_id, first = 7, 1000
    packets = twin.seal_batch(keys, header(phase, length), path_id, first, payloads)
    for number, (payload, packet) in enumerate(zip(payloads, packets, strict=True), first):
        truncated = number & ((1 << 8 * length) - 1)
        plain_header = (
            bytes([0x40 | phase << 2 | length - 1]) + CID + truncated.to_bytes(length, "big")
        )
        sealed = stock_aead.encrypt(payload, plain_header, path_id << 64 | number)
        assert packet == stock_header.apply(plain_header, sealed)
    results = twin.open_batch(keys, context(first - 1, path_id=path_id, phase=phase), packets)
    assert opened(results) == list(enumerate(payloads, first))


def test_aioquic_cannot_open_under_another_path_id(
    twin: Twin, suite: CipherSuite, keys: PacketKeys
) -> None:
    key, iv, header_key = key_parts(suite)
    aead_name, header_name, _ = STOCK_NAMES[suite]
    (packet,) = twin.seal_batch(keys, header(), 1, 5, [b"payload"])
    plain_header, _ = HeaderProtection(header_name, header_key).remove(packet, 1 + len(CID))
    stock = AEAD(aead_name, key, iv)
    assert stock.decrypt(packet[len(plain_header) :], plain_header, 1 << 64 | 5) == b"payload"
    with pytest.raises(CryptoError):
        stock.decrypt(packet[len(plain_header) :], plain_header, 5)


def test_the_path_id_is_part_of_the_nonce(twin: Twin, keys: PacketKeys) -> None:
    packets = twin.seal_batch(keys, header(), 1, 0, [b"payload"])
    assert twin.open_batch(keys, context(path_id=2), packets) == [Bad(is_forgery=True)]
    assert opened(twin.open_batch(keys, context(path_id=1), packets)) == [(0, b"payload")]


def test_large_path_ids_and_numbers(twin: Twin, keys: PacketKeys) -> None:
    path_id, number = (1 << 32) - 1, (1 << 62) - 2
    packets = twin.seal_batch(keys, header(), path_id, number, [b"payload", b"last"])
    results = twin.open_batch(keys, context(number - 1, path_id=path_id), packets)
    assert opened(results) == [(number, b"payload"), (number + 1, b"last")]


@pytest.mark.parametrize("length", [1, 2, 3, 4])
@pytest.mark.parametrize("payload", [b"\x01", b"\x30", b"\x30x", b"\x30xy"])
def test_short_payloads_are_padded_in_front(
    twin: Twin, keys: PacketKeys, length: int, payload: bytes
) -> None:
    # Behind a DATAGRAM frame without length (0x30) the padding would become its data.
    packets = twin.seal_batch(keys, header(length=length), 0, 3, [payload])
    assert len(packets[0]) >= 1 + len(CID) + 4 + 16
    ((_, plaintext),) = opened(twin.open_batch(keys, context(2), packets))
    assert plaintext == payload.rjust(4 - length, b"\x00")


def test_overhead_is_header_and_tag(twin: Twin, keys: PacketKeys) -> None:
    for length in (1, 2, 3, 4):
        (packet,) = twin.seal_batch(keys, header(length=length), 0, 0, [bytes(1000)])
        assert len(packet) == 1 + len(CID) + length + 1000 + TAG_BYTES


def test_empty_batches(twin: Twin, keys: PacketKeys) -> None:
    assert twin.seal_batch(keys, header(), 0, 0, []) == []
    assert twin.open_batch(keys, context(), []) == []


def test_every_changed_bit_is_noticed(twin: Twin, keys: PacketKeys) -> None:
    (packet,) = twin.seal_batch(keys, header(), 0, 9, [b"payload of a packet"])
    damaged = []
    for position in range(8 * len(packet)):
        changed = bytearray(packet)
        changed[position // 8] ^= 1 << position % 8
        damaged.append(bytes(changed))
    results = twin.open_batch(keys, context(8), damaged)
    assert not any(isinstance(result, OpenedPacket) for result in results)
    # The key phase bit alone leads to the keys of the other phase.
    assert sum(isinstance(result, OtherPhase) for result in results) >= 1


def test_malformed_packets_are_told_from_forgeries(twin: Twin, keys: PacketKeys) -> None:
    (good,) = twin.seal_batch(keys, header(), 0, 0, [b"payload"])
    smallest = 1 + len(CID) + 4 + 16
    packets = [
        b"",
        b"\x40",
        good[: smallest - 1],
        bytes([good[0] | 0x80]) + good[1:],
        bytes([good[0] & ~0x40]) + good[1:],
        good,
        good[:smallest],
    ]
    results = twin.open_batch(keys, context(), packets)
    assert results[:5] == [Bad(is_forgery=False)] * 5
    assert opened(results[5:6]) == [(0, b"payload")]
    assert results[6] == Bad(is_forgery=True)


def test_packets_of_the_other_phase_are_reported(twin: Twin, keys: PacketKeys) -> None:
    packets = twin.seal_batch(keys, header(phase=1), 0, 70, [b"payload"])
    assert twin.open_batch(keys, context(69, phase=0), packets) == [OtherPhase(70)]


@pytest.mark.parametrize("bits", [0x08, 0x10, 0x18])
def test_reserved_bits_are_reported_when_the_packet_is_authentic(
    twin: Twin, suite: CipherSuite, keys: PacketKeys, bits: int
) -> None:
    key, iv, header_key = key_parts(suite)
    aead_name, header_name, _ = STOCK_NAMES[suite]
    plain_header = bytes([0x43 | bits]) + CID + bytes(4)
    sealed = AEAD(aead_name, key, iv).encrypt(b"payload", plain_header, 0)
    packet = HeaderProtection(header_name, header_key).apply(plain_header, sealed)
    (result,) = twin.open_batch(keys, context(), [packet])
    assert result == OpenedPacket(0, b"payload", has_reserved_bits=True)
    (forged,) = twin.open_batch(keys, context(), [packet[:-1] + bytes([packet[-1] ^ 1])])
    assert forged == Bad(is_forgery=True)


@pytest.mark.parametrize(
    ("truncated", "length", "largest", "expected"),
    [
        # RFC 9000 appendix A.3.
        (0x9B32, 2, 0xA82F30EA, 0xA82F9B32),
        (0, 1, -1, 0),
        (0xFF, 1, 0x100, 0xFF),
        (0xFF, 1, 0, 0xFF),
        (0x01, 1, 0xFE, 0x101),
        (0x80, 1, 0xFF, 0x180),
        (0x81, 1, 0xFF, 0x81),
        (5, 4, (1 << 62) - 3, (1 << 62) - (1 << 32) + 5),
    ],
)
def test_packet_numbers_are_decoded_near_the_expected(
    truncated: int, length: int, largest: int, expected: int
) -> None:
    assert decode_packet_number(truncated, length, largest + 1) == expected


@pytest.mark.parametrize(
    ("sizes", "counts"),
    [
        ([], []),
        ([500] * 40 + [10], [41]),
        ([500] * 65, [64, 1]),
        ([1280] * 51, [49, 2]),
        ([500, 10, 10, 500, 500], [2, 1, 2]),
    ],
)
def test_runs_hold_equal_packets_and_a_shorter_one_at_the_end(
    twin: Twin, keys: PacketKeys, sizes: list[int], counts: list[int]
) -> None:
    payloads = [bytes(size) for size in sizes]
    packets = twin.seal_batch(keys, header(), 2, 9, payloads)
    runs = twin.seal_runs(keys, header(), 2, 9, payloads)
    assert [run.packet_count for run in runs] == counts
    split = [
        run.data[start : start + run.segment_size]
        for run in runs
        for start in range(0, len(run.data), run.segment_size)
    ]
    assert split == packets
    assert all(
        len(run.data) <= MAX_RUN_BYTES and run.packet_count <= MAX_RUN_PACKETS for run in runs
    )
