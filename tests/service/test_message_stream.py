"""Messages out of a stream: however it is cut, whatever is in it, the next message is read."""

import os
from array import array
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jeepney import DBusAddress, new_method_call
from jeepney.low_level import HeaderFields, Message, MessageType

from mqvpn_helper.service.message_stream import (
    MAX_MESSAGE_BYTES,
    Arrival,
    BrokenStreamError,
    Incoming,
    MessageStream,
    UndecodableError,
    Unreadable,
)

HELPER = DBusAddress("/a", bus_name="a.b", interface="a.b")
PROFILE = {"server": ("s", "vpn.example.org"), "pins": ("as", ["x"]), "tied": ("b", True)}


def encode(message: Message, serial: int = 7) -> bytes:
    message.header.fields[HeaderFields.sender] = ":1.2"
    return message.serialise(serial=serial)


PING = encode(new_method_call(HELPER, "Ping"))
CONNECT = encode(new_method_call(HELPER, "Connect", "a{sv}s", (PROFILE, "x")))


def feed(
    stream: MessageStream,
    data: bytes,
    sizes: list[int] | None = None,
    fds: Sequence[int] = (),
) -> list[Arrival]:
    """Give a stream bytes in pieces no larger than it wants; return what comes out."""
    arrivals: list[Arrival] = []
    cuts = iter(sizes or [])
    while data:
        size = min(next(cuts, stream.wanted), stream.wanted)
        assert size > 0
        arrival = stream.receive_bytes(data[:size], fds)  # the first bytes bring them
        data, fds = data[size:], ()
        if arrival is not None:
            arrivals.append(arrival)
    return arrivals


def members(arrivals: list[Arrival]) -> list[object]:
    return [
        each.header.fields.get(HeaderFields.member) if isinstance(each, Incoming) else None
        for each in arrivals
    ]


def message_with_fds(announced: int) -> bytes:
    """A call whose body is the number 0 as a descriptor, with so many announced."""
    message = new_method_call(HELPER, "ProvideSecrets", "u", (0,))
    message.header.fields[HeaderFields.unix_fds] = announced
    data = bytearray(encode(message))
    position = data.index(b"\x01g\x00\x01u\x00")
    data[position + 4 : position + 5] = b"h"
    return bytes(data)


@given(st.lists(st.integers(1, 40), max_size=30))
def test_it_does_not_matter_how_the_stream_is_cut(sizes: list[int]) -> None:
    arrivals = feed(MessageStream(), PING + CONNECT + PING, sizes)
    assert members(arrivals) == ["Ping", "Connect", "Ping"]
    assert isinstance(arrivals[1], Incoming)
    assert arrivals[1].decode() == (PROFILE, "x")


def test_descriptors_belong_to_their_message_and_are_closed_with_it() -> None:
    stream = MessageStream()
    fd = os.open(os.devnull, os.O_RDONLY)
    data = message_with_fds(1)
    assert stream.receive_bytes(data[:16], [fd]) is None
    arrival = stream.receive_bytes(data[16:], [])
    assert isinstance(arrival, Incoming)
    assert arrival.decode() == (fd,)
    arrival.close()
    assert not is_open(fd)


def test_a_descriptor_that_was_taken_stays_open() -> None:
    fd = os.open(os.devnull, os.O_RDONLY)
    incoming = Incoming(header=message().header, data=b"", fds=[fd])
    assert incoming.take_fd(fd) == fd
    incoming.close()
    assert is_open(fd)
    os.close(fd)


@pytest.mark.parametrize(("announced", "sent"), [(1, 0), (0, 1), (2, 1), (1, 2), (16, 3)])
def test_missing_and_superfluous_descriptors(announced: int, sent: int) -> None:
    stream = MessageStream()
    fds = [os.open(os.devnull, os.O_RDONLY) for _ in range(sent)]
    (arrival,) = feed(stream, message_with_fds(announced), fds=fds)
    assert isinstance(arrival, Unreadable)
    assert arrival.header is not None
    assert arrival.header.serial == 7
    assert not any(is_open(fd) for fd in fds)
    assert members(feed(stream, PING)) == ["Ping"]


def test_a_message_that_is_too_long_is_skipped_and_can_be_answered() -> None:
    long = encode(new_method_call(HELPER, "Connect", "ay", (bytes(5 * MAX_MESSAGE_BYTES),)))
    arrivals = feed(MessageStream(), long + PING)
    assert members(arrivals) == [None, "Ping"]
    assert isinstance(arrivals[0], Unreadable)
    assert arrivals[0].header is not None
    assert arrivals[0].header.message_type is MessageType.method_call
    assert arrivals[0].header.fields[HeaderFields.sender] == ":1.2"


@pytest.mark.parametrize("start", [b"XYZ\x01", b"l\x01\x00\x02"])
def test_what_is_not_d_bus_ends_the_stream(start: bytes) -> None:
    with pytest.raises(BrokenStreamError):
        feed(MessageStream(), start + bytes(12))


def test_a_message_without_header_fields_ends_the_stream() -> None:
    with pytest.raises(BrokenStreamError):
        feed(MessageStream(), b"l\x01\x00\x01" + bytes(12))


def test_descriptors_of_half_a_message_are_closed_with_the_stream() -> None:
    stream = MessageStream()
    fd = os.open(os.devnull, os.O_RDONLY)
    stream.receive_bytes(PING[:10], [fd])
    stream.close()
    assert not is_open(fd)


@given(st.data())
def test_whatever_is_damaged_the_next_message_is_read(data: st.DataObject) -> None:
    """Everything but the lengths, which the bus itself has counted."""
    damaged = bytearray(CONNECT)
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(16, len(damaged) - 1))
        damaged[position] = data.draw(st.integers(0, 255))
    arrivals = feed(MessageStream(), bytes(damaged) + PING)
    assert len(arrivals) == 2
    assert members(arrivals)[1] == "Ping"
    with suppress(UndecodableError):
        if isinstance(arrivals[0], Incoming):
            arrivals[0].decode()


def message() -> Message:
    return new_method_call(HELPER, "Ping")


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_the_library_sends_what_the_stream_reads() -> None:
    fds = array("i")
    fd = os.open(os.devnull, os.O_RDONLY)
    call = new_method_call(HELPER, "ProvideSecrets", "h", (fd,))
    data = call.serialise(serial=3, fds=fds)
    (arrival,) = feed(MessageStream(), data, fds=fds)
    assert isinstance(arrival, Incoming)
    assert arrival.decode() == (fd,)
    arrival.close()
