"""Whatever a peer seals or a stranger sends, nothing undocumented is raised."""

import random
from contextlib import suppress

import pytest

from mqvpn_core.errors import RemoteProtocolError
from mqvpn_core.ids import FourTuple, Instant
from mqvpn_core.quic.aioquic_bridge.frame_table import FrameTable
from mqvpn_core.quic.connection import MultipathConnection
from mqvpn_core.quic.http3 import Http3Connection
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams
from mqvpn_core.testing.pair import CLIENT_ADDRESS, SERVER_ADDRESS, Pair
from mqvpn_core.wire.code_points import FrameType
from mqvpn_core.wire.varint import encode_varint

FRAME_TYPES = [int(frame_type) for frame_type in FrameType] + list(range(0x08, 0x10))
NUMBERS = (0, 1, 2, 3, 4, 8, 63, 64, 2**14, 2**30, 2**60, 2**62 - 1)


def random_frames(rng: random.Random) -> bytes:
    """Something that often begins like frames and then goes wrong."""
    payload = bytearray()
    for _ in range(rng.randrange(1, 5)):
        known = rng.random() < 0.95
        payload += encode_varint(rng.choice(FRAME_TYPES) if known else rng.randrange(2**20))
        for _ in range(rng.randrange(6)):
            payload += encode_varint(rng.choice(NUMBERS))
        payload += rng.randbytes(rng.randrange(40))
    return bytes(payload)


def deliver(connection: MultipathConnection, sender: MultipathConnection, payload: bytes) -> None:
    """Seal `payload` with the sender's keys and let the connection receive it."""
    path = next(iter(sender._paths.values()))
    (packet,) = sender._protection.seal(
        path_id=path.path_id,
        first_packet_number=path.sent.reserve(1),
        destination_cid=path.peer_cids.current,
        largest_acknowledged=path.sent.largest_acknowledged,
        payloads=[payload],
    )
    local, remote = path.current.four_tuple
    batch = ReceivedDatagrams(FourTuple(remote, local), packet, len(packet), 0)
    connection.receive_datagrams(batch, Instant(1.0))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_sealed_nonsense_closes_the_connection_or_is_ignored(seed: int) -> None:
    rng = random.Random(seed)
    with Pair(seed) as pair:
        pair.handshake()
        ends = (pair.client.connection, pair.server.connection)
        victim, sender = ends if seed % 2 else ends[::-1]
        http3 = Http3Connection(victim)
        for _ in range(40):
            deliver(victim, sender, random_frames(rng))
            while http3.next_event() is not None:
                pass
            victim.transmits(pair.simulator.now)
            victim.next_timeout()
            if victim.is_ending:
                break
        assert len(victim._paths) == 1


@pytest.mark.slow
def test_the_frame_loop_raises_only_remote_protocol_errors() -> None:
    rng = random.Random(7)
    with Pair(7) as pair:
        pair.handshake()
        table = FrameTable(pair.server.connection.engine, offers_multipath=False)
        for _ in range(3000):
            with suppress(RemoteProtocolError):
                table.handle(random_frames(rng), b"\0" * 8, Instant(1.0))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_mutated_datagrams_never_stop_a_handshake_for_good(seed: int) -> None:
    """A stranger on the way breaks what the client sends; its repetitions get through."""
    rng = random.Random(seed)
    with Pair(seed) as pair:
        client, endpoint = pair.client.connection, pair.server_node.endpoint
        pair.connect()
        for _ in range(60):
            for transmit in client.transmits(pair.simulator.now):
                batch = ReceivedDatagrams(
                    FourTuple(SERVER_ADDRESS, CLIENT_ADDRESS),
                    mutated(rng, transmit.data),
                    rng.randrange(1, 1300),
                    rng.randrange(4),
                )
                endpoint.receive_datagrams(batch, pair.simulator.now)
                endpoint.transmits(pair.simulator.now)
            if pair.simulator.elapsed > 20 or client.is_closed:
                break
            pair.simulator.run_for(0.05)
        assert client.handshake_confirmed or client.is_ending


def mutated(rng: random.Random, datagram: bytes) -> bytes:
    """Flip, cut or lengthen."""
    data = bytearray(datagram)
    match rng.randrange(4):
        case 0:
            for _ in range(rng.randrange(1, 6)):
                data[rng.randrange(len(data))] = rng.randrange(256)
        case 1:
            del data[rng.randrange(1, len(data)) :]
        case 2:
            data += rng.randbytes(rng.randrange(40))
        case _:
            data = bytearray(rng.randbytes(rng.randrange(1, 1300)))
    return bytes(data)
