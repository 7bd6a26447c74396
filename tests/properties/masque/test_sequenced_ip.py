"""The window agrees with a set that remembers every number."""

from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.masque.sequenced_ip import WINDOW, DuplicateWindow, SequencedIp, is_urgent
from mqvpn_core.wire.http_datagrams import decode_context_id

steps = st.one_of(
    st.integers(-WINDOW - 5, 5),
    st.integers(-20, 20),
    st.sampled_from([-WINDOW - 1, -WINDOW, 1 - WINDOW, WINDOW - 1, WINDOW, WINDOW + 1, 10**6]),
)


@given(st.lists(steps, max_size=200), st.integers(0, 2**33))
def test_a_number_is_accepted_once_if_it_is_near_the_largest(
    distances: list[int], start: int
) -> None:
    window = DuplicateWindow()
    # Up to the start in steps that keep the truncated number unambiguous.
    for number in range(0, start, 2**30):
        assert window.accept(number % 2**32)
    largest = max((*range(0, start, 2**30), -1))
    seen = set(range(0, start, 2**30))
    for distance in distances:
        number = largest + distance
        expected = number >= 0 and number > largest - WINDOW and number not in seen
        assert window.accept(number % 2**32) is expected
        if expected:
            seen.add(number)
            largest = max(largest, number)


@given(st.lists(st.integers(0, 60), max_size=200))
def test_every_packet_is_delivered_once_however_its_copies_arrive(order: list[int]) -> None:
    sender, receiver = SequencedIp(), SequencedIp()
    packets = [bytes([number]) * 3 for number in range(61)]
    sent = [sender.next_prefix() + packet for packet in packets]
    got = []
    for index in order:
        _, offset = decode_context_id(sent[index])
        packet = receiver.decode_payload(sent[index], offset)
        if packet is not None:
            got.append(packet)
    assert got == [packets[index] for index in dict.fromkeys(order)]


@given(st.binary(max_size=300))
def test_any_bytes_are_urgent_or_not(packet: bytes) -> None:
    assert is_urgent(packet) or len(packet) > 200
