"""What both kernels are fed with: keys, headers, payloads, and packets of a hostile peer."""

from typing import NamedTuple

from hypothesis import strategies as st

from mqvpn_core.dataplane.packets import CipherSuite, ReceiveContext, ShortHeader

LARGEST_NUMBER = (1 << 62) - 1

KeyParts = tuple[CipherSuite, bytes, bytes, bytes]


@st.composite
def key_parts(draw: st.DrawFn) -> KeyParts:
    suite = draw(st.sampled_from(CipherSuite))
    length = 16 if suite is CipherSuite.AES_128_GCM_SHA256 else 32
    key, header_key = (draw(st.binary(min_size=length, max_size=length)) for _ in range(2))
    return suite, key, draw(st.binary(min_size=12, max_size=12)), header_key


headers = st.builds(
    ShortHeader,
    st.binary(max_size=20),
    st.integers(0, 1),
    st.integers(1, 4),
)
path_ids = st.one_of(st.integers(0, 7), st.integers(0, (1 << 32) - 1))
packet_numbers = st.one_of(
    st.integers(0, 300),
    st.integers(0, LARGEST_NUMBER - 64),
    # Where the truncated number wraps around.
    st.builds(
        lambda exponent, offset: max(0, (1 << exponent) + offset),
        st.sampled_from([8, 16, 24, 32, 48]),
        st.integers(-70, 70),
    ),
    st.integers(LARGEST_NUMBER - 200, LARGEST_NUMBER - 64),
)


@st.composite
def payload_batches(draw: st.DrawFn) -> list[bytes]:
    sizes = draw(
        st.one_of(
            st.lists(st.integers(0, 1500), max_size=12),
            # As bulk traffic has them: equal sizes and one that is shorter.
            st.builds(
                lambda size, count, last: [size] * count + [min(size, last)],
                st.integers(0, 1500),
                st.integers(0, 50),
                st.integers(0, 1500),
            ),
        )
    )
    filler = draw(st.binary(min_size=1, max_size=16))
    return [(filler * (size // len(filler) + 1))[:size] for size in sizes]


class Batch(NamedTuple):
    """Payloads, and what is needed to seal them."""

    parts: KeyParts
    header: ShortHeader
    path_id: int
    first: int
    payloads: list[bytes]


batches = st.builds(Batch, key_parts(), headers, path_ids, packet_numbers, payload_batches())


def receive_context(batch: Batch, largest: int, *, other_phase: bool) -> ReceiveContext:
    phase = batch.header.key_phase_bit ^ other_phase
    return ReceiveContext(batch.path_id, largest, len(batch.header.destination_cid), phase)


@st.composite
def damage(draw: st.DrawFn, packet: bytes) -> bytes:
    """Return a packet as it may arrive: mostly unharmed."""
    kind = draw(st.sampled_from(["none", "none", "flip", "cut", "extend", "replace"]))
    if kind == "flip" and packet:
        position = draw(st.integers(0, 8 * len(packet) - 1))
        changed = bytearray(packet)
        changed[position // 8] ^= 1 << position % 8
        return bytes(changed)
    if kind == "cut":
        return packet[: draw(st.integers(0, len(packet)))]
    if kind == "extend":
        return packet + draw(st.binary(min_size=1, max_size=40))
    if kind == "replace":
        return draw(st.binary(max_size=60))
    return packet
