"""Readiness: what has something to read, by one system call."""

import socket
from collections.abc import Iterator

import pytest

from mqvpn_core.runtime.readiness import Readiness


class Pair:
    """A socket that can be asked about, and the one that writes to it."""

    def __init__(self) -> None:
        self.port, self.other = socket.socketpair()

    def close(self) -> None:
        self.port.close()
        self.other.close()


@pytest.fixture
def pairs() -> Iterator[tuple[Pair, Pair]]:
    made = Pair(), Pair()
    yield made
    for pair in made:
        pair.close()


@pytest.fixture
def readiness(pairs: tuple[Pair, Pair]) -> Readiness:
    return Readiness(pair.port for pair in pairs)


def test_only_what_has_something_is_ready(pairs: tuple[Pair, Pair], readiness: Readiness) -> None:
    one, two = pairs
    assert not readiness.look()
    assert not readiness.is_ready(one.port)
    one.other.send(b"x")
    assert readiness.look()
    assert readiness.is_ready(one.port)
    assert not readiness.is_ready(two.port)
    one.port.recv(1)
    assert not readiness.look()


def test_an_end_counts_as_something(pairs: tuple[Pair, Pair], readiness: Readiness) -> None:
    pairs[1].other.close()
    assert readiness.look()
    assert readiness.is_ready(pairs[1].port)


def test_nobody_asks_about_what_was_removed(pairs: tuple[Pair, Pair], readiness: Readiness) -> None:
    one, _ = pairs
    one.other.send(b"x")
    readiness.remove(one.port)
    readiness.remove(one.port)
    assert not readiness.look()


def test_what_is_closed_already_can_be_removed(
    pairs: tuple[Pair, Pair], readiness: Readiness
) -> None:
    pairs[0].port.close()
    readiness.remove(pairs[0].port)
    assert not readiness.look()


def test_whoever_has_no_descriptor_is_always_ready(readiness: Readiness) -> None:
    twin = object()
    readiness.add(twin)
    assert readiness.look()
    assert readiness.is_ready(twin)
    readiness.remove(twin)
    assert not readiness.look()
    assert readiness.is_ready(None)
