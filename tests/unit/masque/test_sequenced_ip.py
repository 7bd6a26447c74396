from dataclasses import replace

import pytest

from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.errors import DecodeError
from mqvpn_core.ids import StreamId
from mqvpn_core.masque.drop_reasons import DropReason
from mqvpn_core.masque.sequenced_ip import (
    SEQUENCE_FIELD,
    WINDOW,
    DuplicateWindow,
    SequencedIp,
    agrees_on_sequence,
    is_urgent,
)
from mqvpn_core.masque.tunnel_link import LinkConfig
from mqvpn_core.quic.http3_events import HttpDatagramsReceived, RequestReset
from tests.unit.masque.samples import Pair, config_of, ipv4_packet, ipv6_packet, policy_of

CLIENT, WEB, CLIENT6, WEB6 = "10.0.0.2", "198.51.100.7", "fd00::2", "2001:db8::7"
PLAIN = b"\x00"
STREAM = StreamId(0)


def pair_of(*, client: bool = True, server: bool = True) -> Pair:
    """Make a tunnel; say who may number packets."""
    policy = policy_of("10.0.0.0/24")
    pair = Pair(
        replace(config_of(), link=LinkConfig(may_number_packets=client)),
        replace(policy, link=replace(policy.link, may_number_packets=server)),
    )
    pair.run()
    assert pair.client.assigned
    return pair


def receive_at_server(pair: Pair, *payloads: bytes) -> list[bytes]:
    pair.server_http3.receive(HttpDatagramsReceived(stream_id=STREAM, payloads=payloads))
    pair.run()
    return expand(pair.server.take_ip_packets())


def receive_at_client(pair: Pair, *payloads: bytes) -> list[bytes]:
    pair.client_http3.receive(HttpDatagramsReceived(stream_id=STREAM, payloads=payloads))
    pair.run()
    return expand(pair.client.take_ip_packets())


def test_both_ends_offer_and_agree() -> None:
    pair = pair_of()
    assert SEQUENCE_FIELD in pair.client_http3.sent().headers[0]
    assert SEQUENCE_FIELD in pair.server_http3.sent().headers[0]
    assert list(pair.client_http3.sent().duplications) == [PLAIN]
    assert list(pair.server_http3.sent().duplications) == [PLAIN]


@pytest.mark.parametrize(("client", "server"), [(False, True), (True, False), (False, False)])
def test_without_one_end_nothing_changes(*, client: bool, server: bool) -> None:
    pair = pair_of(client=client, server=server)
    assert (SEQUENCE_FIELD in pair.client_http3.sent().headers[0]) is client
    assert SEQUENCE_FIELD not in pair.server_http3.sent().headers[0]
    assert pair.client_http3.sent().duplications == {}
    assert pair.server_http3.sent().duplications == {}
    assert receive_at_server(pair, b"\x02" + bytes(4) + ipv4_packet(CLIENT, WEB)) == []
    assert pair.server.counters.drops == {DropReason.UNKNOWN_CONTEXT: 1}


def test_a_copy_is_delivered_once_in_either_direction() -> None:
    pair = pair_of()
    ups = [ipv4_packet(CLIENT, WEB, size=size) for size in (60, 61)]
    duplication = pair.client_http3.sent().duplications[PLAIN]
    first, second = (duplication.next_prefix() + packet for packet in ups)
    assert len(first) == duplication.prefix_bytes + len(ups[0])
    # The second path is faster: its copy of the second packet comes before the first packet.
    assert receive_at_server(pair, second) == [ups[1]]
    assert receive_at_server(pair, first, second, first) == [ups[0]]
    assert pair.server.counters.drops == {DropReason.DUPLICATE: 2}
    down = ipv4_packet(WEB, CLIENT)
    copy = pair.server_http3.sent().duplications[PLAIN].next_prefix() + down
    assert receive_at_client(pair, copy, copy) == [down]
    assert pair.client.counters.drops == {DropReason.DUPLICATE: 1}


def test_plain_and_numbered_packets_keep_their_order() -> None:
    pair = pair_of()
    packets = [ipv4_packet(CLIENT, WEB, size=size) for size in range(60, 64)]
    numbered = [
        pair.client_http3.sent().duplications[PLAIN].next_prefix() + each for each in packets
    ]
    mixed = [PLAIN + packets[0], numbered[1], PLAIN + packets[2], numbered[3]]
    assert receive_at_server(pair, *mixed) == packets


def test_what_is_cut_off_is_dropped() -> None:
    pair = pair_of()
    assert receive_at_server(pair, b"\x02", b"\x02\0\0\0", b"\x02\0\0\0\0") == []
    assert pair.server.counters.drops == {DropReason.UNKNOWN_CONTEXT: 2, DropReason.MALFORMED: 1}


def test_the_connection_forgets_a_tunnel_that_is_over() -> None:
    pair = pair_of()
    pair.server_http3.receive(RequestReset(stream_id=STREAM, error_code=0))
    pair.run()
    assert pair.server_http3.sent().duplications == {}


@pytest.mark.parametrize(
    ("values", "agrees"),
    [((b"?1",), True), ((b"?0",), False), ((b"1",), False), ((), False), ((b"?1", b"?1"), False)],
)
def test_the_field_is_a_boolean_that_comes_once(values: tuple[bytes, ...], *, agrees: bool) -> None:
    assert agrees_on_sequence(tuple((SEQUENCE_FIELD[0], value) for value in values)) is agrees


def marked(packet: bytes, dscp: int) -> bytes:
    if packet[0] >> 4 == 4:
        return packet[:1] + bytes([dscp << 2]) + packet[2:]
    word = int.from_bytes(packet[:4], "big") | dscp << 22
    return word.to_bytes(4, "big") + packet[4:]


def with_ports(packet: bytes, source: int, destination: int) -> bytes:
    start = 20 if packet[0] >> 4 == 4 else 40
    ports = source.to_bytes(2, "big") + destination.to_bytes(2, "big")
    return packet[:start] + ports + packet[start + 4 :]


LARGE4 = ipv4_packet(CLIENT, WEB, size=1200)
LARGE6 = ipv6_packet(CLIENT6, WEB6, size=1200)


@pytest.mark.parametrize(
    "packet",
    [
        ipv4_packet(CLIENT, WEB, protocol=6, size=200),
        ipv6_packet(CLIENT6, WEB6, protocol=6, size=200),
        b"",
        marked(LARGE4, 46),
        marked(LARGE6, 46),
        marked(LARGE6, 48),
        with_ports(LARGE4, 53, 40000),
        with_ports(LARGE4, 40000, 53),
        with_ports(LARGE6, 53, 40000),
        ipv4_packet(CLIENT, WEB, protocol=1, size=1200),
        ipv6_packet(CLIENT6, WEB6, protocol=58, size=1200),
    ],
)
def test_urgent_packets(packet: bytes) -> None:
    assert is_urgent(packet)


@pytest.mark.parametrize(
    "packet",
    [
        ipv4_packet(CLIENT, WEB, protocol=6, size=201),
        ipv6_packet(CLIENT6, WEB6, protocol=6, size=201),
        LARGE4,
        marked(LARGE4, 10),
        marked(LARGE6, 10),
        with_ports(LARGE4, 443, 40000),
        with_ports(ipv4_packet(CLIENT, WEB, protocol=6, size=1200), 53, 40000),
        b"\x46" + LARGE4[1:],
        bytes(1200),
    ],
)
def test_packets_that_can_wait(packet: bytes) -> None:
    assert not is_urgent(packet)


def test_numbers_follow_one_another_and_begin_anew_after_four_bytes() -> None:
    sequenced = SequencedIp()
    assert [sequenced.next_prefix() for _ in range(2)] == [b"\x02\0\0\0\0", b"\x02\0\0\0\x01"]
    sequenced._next = 2**32 - 1
    assert [sequenced.next_prefix() for _ in range(2)] == [b"\x02" + b"\xff" * 4, b"\x02\0\0\0\0"]


def test_the_window_goes_on_when_the_numbers_begin_anew() -> None:
    window = DuplicateWindow()
    for number in (2**30, 2**31, 3 * 2**30, 2**32 - 2):
        assert window.accept(number)
    arrivals = [2**32 - 1, 1, 0, 2**32 - 3]
    assert [window.accept(number) for number in arrivals] == [True] * 4
    assert [window.accept(number) for number in arrivals] == [False] * 4


def test_numbers_before_the_first_are_refused() -> None:
    window = DuplicateWindow()
    assert not window.accept(2**32 - 1)
    assert window.accept(0)


def test_what_is_too_far_behind_is_refused() -> None:
    window = DuplicateWindow()
    assert window.accept(WINDOW)
    assert window.accept(1)
    assert not window.accept(0)
    assert window.accept(10 * WINDOW)
    assert not window.accept(WINDOW)
    assert window.accept(9 * WINDOW + 1)


def test_a_number_needs_all_its_bytes() -> None:
    with pytest.raises(DecodeError):
        SequencedIp().decode_payload(b"\x02\0\0\0", 1)
