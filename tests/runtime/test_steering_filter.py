"""The kernel's filter and the function agree about every packet, whatever its header."""

import random
import socket
from collections.abc import Iterator, Sequence

import pytest

from mqvpn_core.errors import HostError
from mqvpn_core.ids import SocketAddress
from mqvpn_core.quic.connection_steering import KEY_BYTES, ConnectionSteering, SteeringKey
from mqvpn_core.runtime.steering_filter import SharedPort, open_shared

COUNT = 5
HOSTS = ("127.0.0.1", "::1")


@pytest.fixture
def key() -> SteeringKey:
    return SteeringKey.from_bytes(random.Random(7).randbytes(KEY_BYTES))


@pytest.fixture(params=HOSTS)
def port(request: pytest.FixtureRequest, key: SteeringKey) -> Iterator[SharedPort]:
    port = open_shared(SocketAddress(request.param, 0), key, COUNT)
    yield port
    port.close()


@pytest.fixture
def shared(port: SharedPort) -> Sequence[socket.socket]:
    return port.sockets


def _packet(connection_id: bytes, *, is_long: bool) -> bytes:
    head = b"\xc3\0\0\0\1" + bytes([len(connection_id)]) if is_long else b"\x43"
    return head + connection_id + bytes(30)


@pytest.mark.parametrize("is_long", [False, True])
def test_packets_reach_the_socket_of_their_connection_id(
    shared: Sequence[socket.socket], key: SteeringKey, is_long: bool
) -> None:
    dice = random.Random(11)
    reached = set()
    for number in range(200):
        cid = dice.randbytes(8 if number % 2 or not is_long else 20)
        # A path of its own each time: where packets come from must not matter.
        with socket.socket(shared[0].family, socket.SOCK_DGRAM) as sender:
            sender.sendto(_packet(cid, is_long=is_long), shared[0].getsockname())
        wanted = ConnectionSteering(key=key, count=COUNT, own=0).worker_of(cid)
        assert shared[wanted].recv(100)[-38:-30] in cid
        reached.add(wanted)
    assert reached == set(range(COUNT))


def test_packets_too_short_for_an_id_do_no_harm(shared: Sequence[socket.socket]) -> None:
    with socket.socket(shared[0].family, socket.SOCK_DGRAM) as sender:
        for length in range(12):
            sender.sendto(bytes([0x40]) * length, shared[0].getsockname())
            sender.sendto(bytes([0xC0]) * length, shared[0].getsockname())
    arrived = [0]
    for index, each in enumerate(shared):
        while True:
            try:
                each.recv(100)
            except BlockingIOError:
                break
            arrived.append(index)
    assert len(arrived) == 25


def test_an_address_that_is_shared_already_is_refused(port: SharedPort, key: SteeringKey) -> None:
    with pytest.raises(HostError, match="another program uses it"):
        open_shared(port.local_address, key, 2)
