"""DNS as far as one host's addresses: questions as RFC 1035 has them, answers of any kind."""

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.errors import DecodeError, LocalProtocolError
from mqvpn_core.wire.dns_messages import (
    AddressAnswer,
    RecordType,
    decode_answer,
    encode_query,
)

NAME = "vpn.example.org"
WIRE_NAME = b"\x03vpn\x07example\x03org\x00"
NUMBER = 0xBEEF


def _answer(
    *records: bytes,
    number: int = NUMBER,
    flags: int = 0x8180,
    kind: int = 1,
    name: bytes = WIRE_NAME,
) -> bytes:
    header = struct.pack("!HHHHHH", number, flags, 1, len(records), 0, 0)
    return header + name + struct.pack("!HH", kind, 1) + b"".join(records)


def _record(data: bytes, *, kind: int = 1, owner: bytes = b"\xc0\x0c", klass: int = 1) -> bytes:
    return owner + struct.pack("!HHIH", kind, klass, 60, len(data)) + data


def _decode(message: bytes, kind: RecordType = RecordType.A) -> AddressAnswer:
    return decode_answer(message, NUMBER, NAME, kind)


def test_a_question_is_as_the_rfc_has_it() -> None:
    query = encode_query(NUMBER, NAME + ".", RecordType.AAAA)
    assert (
        query
        == b"\xbe\xef\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + WIRE_NAME + b"\x00\x1c\x00\x01"
    )


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64, ".".join(["x" * 60] * 5), "ü.example"])
def test_what_cannot_be_a_name(name: str) -> None:
    with pytest.raises(LocalProtocolError):
        encode_query(1, name, RecordType.A)


def test_addresses_of_both_kinds() -> None:
    two = _answer(_record(bytes([192, 0, 2, 1])), _record(bytes([192, 0, 2, 2])))
    assert _decode(two).addresses == (IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"))
    six = IPv6Address("2001:db8::1")
    answer = _answer(_record(six.packed, kind=28), kind=28)
    assert _decode(answer, RecordType.AAAA).addresses == (six,)


def test_a_name_that_is_another_ones_alias() -> None:
    alias = b"\x04edge\xc0\x10"  # edge.example.org
    target = b"\x04edge\x07example\x03org\x00"
    answer = _answer(_record(alias, kind=5), _record(bytes([192, 0, 2, 7]), owner=target))
    assert _decode(answer).addresses == (IPv4Address("192.0.2.7"),)


def test_case_does_not_matter() -> None:
    assert _decode(_answer(_record(bytes(4)), name=WIRE_NAME.upper())).addresses


def test_addresses_of_others_do_not_count() -> None:
    other = b"\x05other\x03org\x00"
    assert _decode(_answer(_record(bytes([192, 0, 2, 7]), owner=other))).addresses == ()
    assert _decode(_answer(_record(bytes([192, 0, 2, 7]), klass=3))).addresses == ()


def test_no_such_name() -> None:
    assert _decode(_answer(flags=0x8183)) == AddressAnswer(addresses=(), does_not_exist=True)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        _answer(number=1),
        _answer(flags=0x0100),
        _answer(flags=0x8182),
        _answer(flags=0x8380),
        _answer(kind=28),
        _answer(name=b"\x05other\x03org\x00"),
        _answer(_record(bytes(3))),
        _answer(_record(bytes(4)))[:-1],
        _answer(_record(bytes(4), owner=b"\xc0\x21")),
        _answer(_record(bytes(4), owner=b"\xc0\xff")),
        _answer(_record(bytes(4), owner=b"\x80")),
        _answer(name=b"\x3f" + b"x" * 20),
        _answer(name=b"\xc0\x0c"),
    ],
)
def test_what_is_no_answer(message: bytes) -> None:
    with pytest.raises(DecodeError):
        _decode(message)


@given(st.binary(max_size=120), st.integers(0, 40))
def test_whatever_comes_is_an_answer_or_an_error(noise: bytes, keep: int) -> None:
    good = _answer(_record(bytes(4)), _record(b"\x04edge\xc0\x10", kind=5))
    for message in (noise, good[: 12 + keep] + noise, _answer(noise)):
        try:
            answer = _decode(message)
        except DecodeError:
            continue
        assert len(answer.addresses) <= 64
