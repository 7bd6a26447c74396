"""What is fuzzed: for each room of decoders a generator of near-valid input and a check.

A check lets only declared exceptions pass and raises AssertionError when a decoder accepts
something that contradicts what it, or a second way to say the same, says elsewhere.
"""

from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from random import Random
from struct import pack
from typing import NamedTuple

from mqvpn_core.dataplane import kernel
from mqvpn_core.errors import ConfigError, DecodeError
from mqvpn_core.wire.ack_frames import decode_ack
from mqvpn_core.wire.capsules import Capsule, CapsuleLimits, CapsuleParser, encode_capsule
from mqvpn_core.wire.code_points import FrameType
from mqvpn_core.wire.http_datagrams import (
    decode_context_id,
    decode_stream_id,
    encode_context_id,
    encode_stream_id,
)
from mqvpn_core.wire.icmp import IcmpCause, compose_icmp_error, decode_icmp_echo
from mqvpn_core.wire.ip_packets import (
    decode_ip_header,
    decrement_hop_limit,
    has_valid_header_checksum,
    internet_checksum,
    with_decremented_hop_limit,
)
from mqvpn_core.wire.path_frame_coding import decode_path_frame, encode_path_frame
from mqvpn_core.wire.request_scopes import RequestScope
from mqvpn_core.wire.uri_templates import (
    compile_template_matcher,
    default_uri_template,
    expand_uri_template,
    match_request_path,
    parse_uri_template,
)
from mqvpn_core.wire.varint import decode_varint, encode_varint
from tests.fuzz.bypass_target import check_bypass, generate_bypass_orders
from tests.fuzz.helper_targets import (
    check_dns,
    check_messages,
    check_profiles,
    generate_dns,
    generate_messages,
    generate_profiles,
)
from tests.fuzz.kernel_targets import (
    datagram_check,
    frame_check,
    generate_frames,
    generate_reads,
)
from tests.fuzz.mutation import blob, small_varint, varint

LIMITS = CapsuleLimits(max_control_bytes=200, max_datagram_bytes=100, tolerate_host_bits=False)
TOLERANT = CapsuleLimits(max_control_bytes=200, max_datagram_bytes=100, tolerate_host_bits=True)
FRAME_TYPES = [
    int(frame_type)
    for frame_type in FrameType
    if frame_type >= FrameType.PATH_ACK or 0x18 <= frame_type <= 0x1B
]
ROUTER4, ROUTER6 = IPv4Address("203.0.113.1"), IPv6Address("2001:db8::1")
NEXT_HEADERS = (0, 0, 43, 44, 44, 51, 60, 60, 6, 17, 58, 1, 135, 50, 59)
MATCHERS = [
    compile_template_matcher(template)
    for template in (
        default_uri_template("proxy.example"),
        parse_uri_template("https://proxy.example/ip?t={target}&i={ipproto}"),
        parse_uri_template("https://proxy.example/ip{?target,ipproto}"),
        parse_uri_template("https://proxy.example/{target,ipproto}"),
    )
]
ROUND_TRIP = parse_uri_template("https://proxy.example/ip?t={target}&i={ipproto}")
PATH_WORDS = (
    *("/.well-known/masque/ip/", "/ip?t=", "&i=", "/ip", "?", "&", "target=", "ipproto=", ",", "/"),
    *("*", "%2A", "%2F", "%3A", "%", "10.0.0.0", "192.0.2.1", "2001%3Adb8%3A%3A", "%25eth0", ":"),
    *("host.example", "17", "255", "256", "0", "32", "128", "%00", "%C3%BC", "-", ".", "xn--x"),
)
TEMPLATE_WORDS = (
    *("https://", "h", "h:443", "[::1]", "/", "{", "}", "target", "ipproto", "x", "?", "&", ","),
    *("{target}", "{ipproto}", "{?target,ipproto}", "{&x}", "+", "#", ":3", "*", "%2F", "%", "-"),
)


class Target(NamedTuple):
    """One thing to fuzz."""

    generate: Callable[[Random], bytes]
    """Make input that is nearly valid."""
    check: Callable[[bytes], None]
    """Feed it; raise only when something is wrong."""


def generate_capsules(random: Random) -> bytes:
    return b"".join(_capsule(random) for _ in range(random.randrange(1, 5)))


def _capsule(random: Random) -> bytes:
    kind = random.choice((0, 1, 1, 2, 2, 3, 3, 0x29))
    if kind in (1, 2):
        value = b"".join(_assigned_address(random) for _ in range(random.randrange(4)))
    elif kind == 3:
        value = b"".join(sorted(_route(random) for _ in range(random.randrange(5))))
    else:
        value = blob(random, 130)
    length = encode_varint(len(value)) if random.random() < 0.9 else varint(random)
    return encode_varint(kind) + length + value


def _assigned_address(random: Random) -> bytes:
    version = random.choice((4, 4, 4, 6, 6, 6, 5))
    bits = 128 if version == 6 else 32
    length = random.choice((0, 8, bits // 2, bits, bits, bits, bits + 1))
    number = random.getrandbits(bits) >> max(bits - length, 0) << max(bits - length, 0)
    if random.random() < 0.1:
        number |= 1
    return varint(random) + bytes((version, *number.to_bytes(bits // 8, "big"), length))


def _route(random: Random) -> bytes:
    version = random.choice((4, 4, 6))
    size = 16 if version == 6 else 4
    edges = sorted(random.randbytes(size) for _ in range(2))
    return bytes((version,)) + edges[0] + edges[1] + bytes((random.choice((0, 0, 6, 17)),))


def check_capsules(data: bytes) -> None:
    for limits, size in ((LIMITS, 1), (TOLERANT, 7)):
        whole = _parse(data, limits, len(data) or 1)
        assert _parse(data, limits, size) == whole
        if isinstance(whole, list):
            again = b"".join(map(encode_capsule, whole))
            assert _parse(again, CapsuleLimits(), len(again) or 1) == whole


def _parse(data: bytes, limits: CapsuleLimits, size: int) -> list[Capsule] | str:
    parser = CapsuleParser(limits)
    capsules: list[Capsule] = []
    try:
        for start in range(0, len(data), size):
            capsules += parser.feed(data[start : start + size])
            assert parser.buffered_bytes <= limits.max_control_bytes + 16
        parser.finish()
    except DecodeError as error:
        return f"{type(error).__name__}: {error}"
    return capsules


def generate_http_datagrams(random: Random) -> bytes:
    return varint(random) + varint(random) + blob(random, 16)


def check_http_datagrams(data: bytes) -> None:
    with suppress(DecodeError):
        stream_id, offset = decode_stream_id(data)
        context_id, end = decode_context_id(data, offset)
        assert end <= len(data)
        again = encode_stream_id(stream_id) + encode_context_id(context_id)
        assert len(again) <= end
        assert decode_stream_id(again)[0] == stream_id
        assert decode_context_id(again, decode_stream_id(again)[1]) == (context_id, len(again))


def generate_ip_packets(random: Random) -> bytes:
    if random.random() < 0.5:
        payload = blob(random)
        options = bytes(4 * random.randrange(3))
        head = pack(
            "!BBHHHBBH8s",
            0x45 + len(options) // 4,
            random.getrandbits(8),
            20 + len(options) + len(payload),
            0,
            random.choice((0, 0x4000, 0x2000, random.getrandbits(16))),
            random.choice((0, 1, 2, 64, 255)),
            random.choice((1, 6, 17, 47)),
            random.getrandbits(16),
            random.randbytes(8),
        )
        return head + options + payload
    first = following = random.choice(NEXT_HEADERS)
    payload = b""
    while following in (0, 43, 44, 51, 60, 135) and random.random() < 0.9:
        header = following
        following = random.choice(NEXT_HEADERS)
        if header == 44:
            field = random.choice((0, 1, 1480, random.getrandbits(16)))
            payload += pack("!BBHI", following, 0, field, 0)
        elif header == 51:
            payload += bytes((following, 4)) + bytes(22)
        else:
            words = random.choice((0, 0, 0, 1, 2, 31))
            payload += bytes((following, words)) + bytes(6 + 8 * words)
    payload += random.choice((b"", b"\x80\x00", b"\x01\x00", blob(random)))
    addresses = random.choice((random.randbytes(32), ROUTER6.packed * 2, b"\xff\x02" + bytes(30)))
    return (
        pack("!IHBB", 6 << 28, len(payload), first, random.choice((0, 1, 64))) + addresses + payload
    )


def check_ip_packets(data: bytes) -> None:
    assert (
        internet_checksum(data + internet_checksum(data).to_bytes(2, "big")) == 0 or len(data) % 2
    )
    try:
        header = decode_ip_header(data)
    except DecodeError:
        return
    assert header == decode_ip_header(memoryview(data))
    assert 20 <= header.payload_offset <= header.total_length <= len(data)
    was_valid = has_valid_header_checksum(data)
    if header.hop_limit:
        lower = with_decremented_hop_limit(data)
        in_place = bytearray(data)
        decrement_hop_limit(in_place)
        assert lower == in_place
        assert has_valid_header_checksum(lower) == was_valid
        assert decode_ip_header(lower) == header._replace(hop_limit=header.hop_limit - 1)
    with suppress(DecodeError):
        decode_icmp_echo(data, header)
    router = ROUTER4 if header.version == 4 else ROUTER6
    for cause in (IcmpCause.HOP_LIMIT_EXCEEDED, IcmpCause.PACKET_TOO_BIG):
        mtu = 1280 if cause is IcmpCause.PACKET_TOO_BIG else 0
        answer = compose_icmp_error(cause, data, router, mtu=mtu)
        if answer is not None:
            assert decode_ip_header(answer).destination == header.source
            assert len(answer) <= (576 if header.version == 4 else 1280)


def generate_path_frames(random: Random) -> bytes:
    frame_type = random.choice(FRAME_TYPES)
    data = encode_varint(frame_type)
    if frame_type in (FrameType.PATH_ACK, FrameType.PATH_ACK_ECN):
        count = random.randrange(20)
        data += small_varint(random) + encode_varint(random.randrange(500, 2**20)) + varint(random)
        data += encode_varint(count) + small_varint(random)
        data += b"".join(small_varint(random) for _ in range(2 * count))
        data += b"".join(varint(random) for _ in range(3))
    elif frame_type in (FrameType.NEW_CONNECTION_ID, FrameType.PATH_NEW_CONNECTION_ID):
        data += b"".join(small_varint(random) for _ in range(2 + (frame_type > 0x18)))
        length = random.choice((0, 1, 8, 20, 21, 255))
        data += bytes((length,)) + random.randbytes(length + 16)
    else:
        data += b"".join(varint(random) for _ in range(2)) + blob(random, 8)
    return data


def check_path_frames(data: bytes) -> None:
    with suppress(DecodeError):
        frame_type, offset = decode_varint(data, 0)
        frame, end = decode_path_frame(frame_type, data, offset)
        assert end <= len(data)
        again = encode_path_frame(frame)
        assert len(again) <= end
        assert decode_path_frame(frame_type, again, decode_varint(again, 0)[1])[0] == frame
    for with_ecn in (False, True):
        with suppress(DecodeError):
            ack, end = decode_ack(data, 0, with_ecn=with_ecn)
            assert end <= len(data)
            assert ack.ranges[-1][0] >= 0


def generate_uri_templates(random: Random) -> bytes:
    words = TEMPLATE_WORDS if random.random() < 0.5 else PATH_WORDS
    start = random.choice(("https://h/", "/.well-known/masque/ip/", "/ip?t=", ""))
    return (start + "".join(random.choices(words, k=random.randrange(1, 9)))).encode()


def check_uri_templates(data: bytes) -> None:
    for matcher in MATCHERS:
        with suppress(DecodeError):
            scope = match_request_path(matcher, data)
            if scope is not None:
                path = expand_uri_template(ROUND_TRIP, scope).encode()
                assert match_request_path(MATCHERS[1], path) == scope
    with suppress(ConfigError):
        template = parse_uri_template(data.decode("latin-1"))
        path = expand_uri_template(template, RequestScope()).encode()
        assert match_request_path(compile_template_matcher(template), path) == RequestScope()


TARGETS = {
    "capsules": Target(generate_capsules, check_capsules),
    "http_datagrams": Target(generate_http_datagrams, check_http_datagrams),
    "ip_packets": Target(generate_ip_packets, check_ip_packets),
    "path_frames": Target(generate_path_frames, check_path_frames),
    "uri_templates": Target(generate_uri_templates, check_uri_templates),
    "helper_messages": Target(generate_messages, check_messages),
    "profiles": Target(generate_profiles, check_profiles),
    "dns_messages": Target(generate_dns, check_dns),
}
if kernel.make_datagram_reader is not None:
    TARGETS["datagrams"] = Target(generate_reads, datagram_check(kernel.make_datagram_reader))
if kernel.make_frame_reader is not None:
    TARGETS["device_frames"] = Target(generate_frames, frame_check(kernel.make_frame_reader))
if hasattr(kernel.KERNEL_CHOICE.module, "Bypass"):
    TARGETS["bypass"] = Target(generate_bypass_orders, check_bypass)
