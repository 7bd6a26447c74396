"""Packets from nowhere: nothing but "does not authenticate" ever comes of them."""

from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.ids import Instant
from mqvpn_core.quic.protection import PacketProtection

CID = b"12345678"
NOW = Instant(0.0)


def make(*, is_client: bool, seed: int = 0) -> PacketProtection:
    protection = PacketProtection(is_client=is_client)
    secret = bytes([seed]) * 32
    protection.install_send(cipher_suite=0x1301, secret=secret, version=1)
    protection.install_receive(cipher_suite=0x1301, secret=secret, version=1)
    return protection


@given(
    packets=st.lists(st.binary(max_size=80), max_size=5),
    path_id=st.integers(0, 2**32 - 1),
    largest=st.integers(-1, 2**62 - 1),
    cid_length=st.integers(0, 20),
)
def test_random_bytes_never_open(
    packets: list[bytes], path_id: int, largest: int, cid_length: int
) -> None:
    protection = make(is_client=False)
    opened = protection.open(
        path_id=path_id,
        largest_received=largest,
        cid_length=cid_length,
        packets=packets,
        now=NOW,
    )
    assert opened == [None] * len(packets)
    assert protection.receive_key_phase == 0


@given(
    payload=st.binary(min_size=1, max_size=60),
    damage=st.lists(st.tuples(st.integers(0, 200), st.integers(1, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 10),
)
def test_damaged_packets_never_open(
    payload: bytes, damage: list[tuple[int, int]], cut: int
) -> None:
    (packet,) = make(is_client=True).seal(
        path_id=1,
        first_packet_number=7,
        destination_cid=CID,
        largest_acknowledged=-1,
        payloads=[payload],
    )
    damaged = bytearray(packet[: len(packet) - cut])
    for position, mask in damage:
        damaged[position % len(damaged)] ^= mask
    if bytes(damaged) == packet:
        return
    opened = make(is_client=False).open(
        path_id=1, largest_received=6, cid_length=len(CID), packets=[bytes(damaged)], now=NOW
    )
    assert opened == [None]


@given(
    payloads=st.lists(st.binary(max_size=60), max_size=8),
    path_id=st.integers(0, 2**32 - 1),
    first=st.integers(0, 2**62 - 10),
    behind=st.integers(1, 2**20),
    cid=st.binary(max_size=20),
)
def test_what_is_sealed_opens(
    payloads: list[bytes], path_id: int, first: int, behind: int, cid: bytes
) -> None:
    largest = max(-1, first - behind)
    packets = make(is_client=True).seal(
        path_id=path_id,
        first_packet_number=first,
        destination_cid=cid,
        largest_acknowledged=largest,
        payloads=payloads,
    )
    opened = make(is_client=False).open(
        path_id=path_id,
        largest_received=largest,
        cid_length=len(cid),
        packets=packets,
        now=NOW,
    )
    for number, (packet, payload) in enumerate(zip(opened, payloads, strict=True), first):
        assert packet is not None
        assert packet.packet_number == number
        assert packet.plaintext.lstrip(b"\0") == payload.lstrip(b"\0")
        assert packet.plaintext.endswith(payload)
