"""Both kernels split and join the packets of a TUN device alike, and lose nothing by it."""

import socket
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.dataplane.frames import FRAME_HEADER_BYTES, packets_in
from mqvpn_core.dataplane.packets import Parcel
from tests.differential.ip_traffic import Draft, bursts, conversations, frames, total
from tests.differential.twins import Twin, load_twin


@pytest.fixture(scope="module")
def native() -> Twin:
    return load_twin("native")


@pytest.fixture(scope="module")
def reference() -> Twin:
    return load_twin("reference")


def packets_of(parcels: Sequence[Parcel]) -> list[bytes]:
    packets: list[bytes] = []
    for parcel in parcels:
        packets += [parcel] if isinstance(parcel, bytes) else parcel.packets()
    return packets


def looks(parcels: Sequence[Parcel]) -> list[object]:
    return [
        parcel
        if isinstance(parcel, bytes)
        else (len(parcel), parcel.packet_bytes, parcel.total_bytes, parcel.head, parcel.flow)
        for parcel in parcels
    ]


@pytest.mark.slow
@given(batch=st.lists(frames(), max_size=4))
def test_frames_are_split_alike(native: Twin, reference: Twin, batch: list[bytes]) -> None:
    ours, theirs = native.split_frames(batch), reference.split_frames(batch)
    assert packets_of(ours) == packets_of(theirs)
    assert looks(ours) == looks(theirs)


@pytest.mark.slow
@given(data=st.data(), batch=bursts())
def test_bursts_are_split_alike(
    native: Twin, reference: Twin, data: st.DataObject, batch: list[bytes]
) -> None:
    ours, theirs = native.split_frames(batch), reference.split_frames(batch)
    assert packets_of(ours) == packets_of(theirs)
    assert looks(ours) == looks(theirs)
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(one, bytes) or isinstance(other, bytes):
            continue
        start = data.draw(st.integers(0, len(one)))
        stop = data.draw(st.integers(start, len(one)))
        part, part_of_other = one.part(start, stop), other.part(start, stop)
        assert part.packets() == part_of_other.packets() == one.packets()[start:stop]
        assert part.total_bytes == part_of_other.total_bytes


@pytest.mark.parametrize("name", ["native", "reference"])
def test_what_follows_in_a_flow_is_one_train(name: str) -> None:
    def lengths(*drafts: Draft) -> list[int]:
        parcels = load_twin(name).split_frames([draft.frame(100) for draft in drafts])
        return [1 if isinstance(parcel, bytes) else len(parcel) for parcel in parcels]

    one, other = Draft(flow=1, payload=bytes(300)), Draft(flow=2, payload=bytes(200))
    short = Draft(flow=1, payload=bytes(250))
    assert lengths(one, one, one) == [9]
    assert lengths(one, other, one, other) == [6, 4]
    # Behind a packet that is shorter, or one of which nothing is known, begins another train.
    assert lengths(one, short, one) == [6, 3]
    assert lengths(one, Draft(flow=1, payload=bytes(90)), one) == [3, 1, 3]
    assert lengths(one, Draft(flow=1, payload=bytes(300), hops=0), one) == [3, 3, 3]


@pytest.mark.slow
@given(data=st.data(), frame=frames())
def test_parts_of_a_train_are_alike(
    native: Twin, reference: Twin, data: st.DataObject, frame: bytes
) -> None:
    for ours, theirs in zip(
        native.split_frames([frame]), reference.split_frames([frame]), strict=True
    ):
        if isinstance(ours, bytes) or isinstance(theirs, bytes):
            continue
        start = data.draw(st.integers(0, len(ours)))
        stop = data.draw(st.integers(start, len(ours)))
        assert ours.part(start, stop).packets() == theirs.part(start, stop).packets()
        assert ours.part(start, stop).packets() == ours.packets()[start:stop]
        assert ours.part(start, stop).total_bytes == theirs.part(start, stop).total_bytes


@pytest.mark.slow
@given(packets=conversations(), joins_udp=st.booleans())
def test_packets_are_joined_alike(
    native: Twin, reference: Twin, packets: list[bytes], joins_udp: bool
) -> None:
    assert native.join_packets(packets, joins_udp) == reference.join_packets(packets, joins_udp)


@pytest.mark.slow
@given(packets=conversations(), joins_udp=st.booleans())
def test_what_is_written_to_a_device_is_what_is_joined(
    native: Twin, packets: list[bytes], joins_udp: bool
) -> None:
    assert native.write_joined is not None
    frames = native.join_packets(packets, joins_udp)
    # What is written there comes out in the same pieces, as many as there is room for.
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        written_bytes, dropped_count = native.write_joined(near.fileno(), packets, joins_udp)
        received = []
        with suppress(BlockingIOError):
            while True:
                received.append(far.recv(1 << 17))
    assert received == frames[: len(received)]
    assert written_bytes == sum(len(frame) - FRAME_HEADER_BYTES for frame in received)
    assert dropped_count == sum(map(packets_in, frames[len(received) :]))


@pytest.mark.slow
@given(packets=conversations())
def test_what_is_joined_can_be_split_again(native: Twin, packets: list[bytes]) -> None:
    after = packets_of(native.split_frames(native.join_packets(packets, True)))
    assert by_flow(after) == by_flow(packets)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", [6, 17])
@pytest.mark.parametrize("name", ["native", "reference"])
def test_a_super_packet_becomes_packets_with_right_checksums(
    name: str, protocol: int, version: int
) -> None:
    draft = Draft(version=version, protocol=protocol, payload=bytes(range(256)) * 20)
    (train,) = load_twin(name).split_frames([draft.frame(1000)])
    packets = packets_of([train])
    assert len(packets) == 6
    header = 20 if version == 4 else 40
    transport = 32 if protocol == 6 else 8
    assert b"".join(packet[header + transport :] for packet in packets) == draft.payload
    for packet in packets:
        addresses = packet[12:20] if version == 4 else packet[8:40]
        behind = packet[header:]
        pseudo = addresses + protocol.to_bytes(2, "big") + len(behind).to_bytes(2, "big")
        assert total(pseudo + behind) == 0xFFFF
        assert version == 6 or total(packet[:20]) == 0xFFFF


@pytest.mark.parametrize("name", ["native", "reference"])
def test_packets_of_interleaved_flows_are_joined(name: str) -> None:
    packets = [
        Draft(flow=flow, sequence=100 * step).packet() for step in range(5) for flow in (1, 2)
    ]
    frames_made = load_twin(name).join_packets(packets, True)
    assert [len(frame) - 10 for frame in frames_made] == [52 + 500, 52 + 500]


def by_flow(packets: Sequence[bytes]) -> dict[bytes, list[bytes]]:
    """Sort packets by flow, without what joining may change."""
    flows: dict[bytes, list[bytes]] = defaultdict(list)
    for packet in packets:
        if packet[:1] == b"\x45" and len(packet) >= 24 and packet[6] & 0x40:
            # RFC 6864 s4.1: the identification of atomic packets has no meaning.
            flows[packet[9:10] + packet[12:24]].append(packet[:4] + packet[6:10] + packet[12:])
        elif packet[:1] and packet[0] >> 4 == 6:
            flows[packet[6:7] + packet[8:44]].append(packet)
        else:
            flows[b""].append(packet)
    return flows
