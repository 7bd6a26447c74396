"""What the scenarios with several paths share: lies in the name of one end, common questions."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from mqvpn_core.ids import FourTuple, PathId
from mqvpn_core.quic.aioquic_bridge.path_builder import PlainPacket
from mqvpn_core.quic.connection import MultipathConnection
from mqvpn_core.quic.events import ConnectionTerminated
from mqvpn_core.testing.link_elements import Direction, LinkElement, Loss, OneWay, UdpDatagram
from mqvpn_core.testing.multi_pair import LINK_DELAY, MULTIPATH_PAIR, MultiPair
from mqvpn_core.testing.pair import PairConfig, Peer
from mqvpn_core.wire.code_points import FrameType
from mqvpn_core.wire.path_frame_coding import encode_path_frame
from mqvpn_core.wire.path_frames import (
    PathFrame,
    PathNewConnectionId,
)
from mqvpn_core.wire.varint import encode_varint
from tests.simulation.multipath.path_rules import PathRules

ROLES = ("client", "server")
both_roles = pytest.mark.parametrize("role", ROLES)
PING = bytes([FrameType.PING])


def v(*values: int) -> bytes:
    """Encode integers one after the other."""
    return b"".join(encode_varint(value) for value in values)


class Scene:
    """A pair with open paths and the rules that watch it."""

    def __init__(self, pair: MultiPair, rules: PathRules) -> None:
        self.pair = pair
        self.rules = rules
        self.simulator = pair.simulator
        self._stream_id = 400

    @property
    def client(self) -> Peer:
        return self.pair.client

    @property
    def server(self) -> Peer:
        return self.pair.server

    def peer(self, role: str) -> Peer:
        return self.client if role == "client" else self.server

    def run(self, seconds: float = 1.0) -> None:
        self.simulator.run_for(seconds)

    def until(self, goal: Callable[[], bool], limit: float = 20.0) -> None:
        self.simulator.run_until(goal, limit=limit)

    def transfer(self, size: int = 20_000) -> None:
        """Prove that both directions carry streams."""
        stream_id, self._stream_id = self._stream_id, self._stream_id + 4
        data = bytes(range(256)) * (size // 256)
        self.client.send_stream(stream_id, data, end_stream=True)
        self.server.send_stream(stream_id + 1, data, end_stream=True)
        self.until(
            lambda: (
                stream_id in self.server.ended_streams
                and stream_id + 1 in self.client.ended_streams
            ),
            limit=60,
        )
        assert self.server.received_stream(stream_id) == data
        assert self.client.received_stream(stream_id + 1) == data

    def say(self, role: str, count: int = 1, size: int = 100) -> None:
        """Queue datagrams at one end."""
        self.peer(role).send_datagrams([bytes(size)] * count, self.simulator.now)

    def ping(self, role: str, path_id: int) -> None:
        """Let one end send something on a path that must be acknowledged."""
        peer = self.peer(role)
        peer.connection._paths[PathId(path_id)].ping_is_due = True
        peer._on_command()
        self.run(0.0)

    def states(self, role: str) -> dict[int, str]:
        """State of every path of one end."""
        return {path_id: path.state for path_id, path in self.peer(role).paths.items()}

    def assert_alive(self) -> None:
        """Nobody has closed, and both directions work."""
        self.run(1.0)
        for peer in (self.client, self.server):
            assert peer.termination is None, peer.termination
        self.transfer(2_000)


@contextmanager
def opened(
    links: int = 2, *, config: PairConfig = MULTIPATH_PAIR, seed: int = 1, watched: bool = True
) -> Iterator[Scene]:
    """Open a pair with a path over each of some plain links."""
    with scene_over([(LINK_DELAY,)] * links, config=config, seed=seed, watched=watched) as scene:
        yield scene


@contextmanager
def scene_over(
    links: Sequence[Sequence[LinkElement]],
    *,
    config: PairConfig = MULTIPATH_PAIR,
    seed: int = 1,
    watched: bool = True,
) -> Iterator[Scene]:
    """Open a pair with a path over each of these links.

    Args:
        links: their chains.
        config: settings of both ends.
        seed: decides every random choice.
        watched: keep the rules up to the end; not for ends that lie.
    """
    with MultiPair(seed, config, links) as pair:
        scene = Scene(pair, PathRules(pair))
        pair.open_all()
        scene.run(1.0)
        yield scene
        if watched:
            scene.rules.finish()


class Liar:
    """Speaks for one end, with its keys; what it says need not be true."""

    def __init__(self, scene: Scene, role: str) -> None:
        """Speak in the name of a role; the other end is the victim."""
        self.scene = scene
        self.role = role
        self.own = scene.peer(role)
        self.victim = scene.peer("server" if role == "client" else "client")
        # Lies are not watched, and the honest half of the liar is no longer in step.
        scene.rules.is_watching = False
        self._numbers: dict[int, int] = {}

    @property
    def connection(self) -> MultipathConnection:
        """The end that the liar speaks for."""
        return self.own.connection

    def deafen(self) -> None:
        """Let the honest half hear nothing more, for lies that would confuse it."""
        direction = Direction.DOWN if self.role == "client" else Direction.UP
        for index in range(self.scene.pair.link_count):
            self.scene.pair.link(index).replace((LINK_DELAY, OneWay(direction, Loss(1.0))))

    def say(self, *frames: bytes | PathFrame, path_id: int = 0, seconds: float = 0.5) -> None:
        """Send frames in one honest packet of a path that is open, and let time pass."""
        simulator = self.scene.simulator
        path = self.connection._paths[PathId(path_id)]
        packet = PlainPacket(payload=join(frames), is_ack_eliciting=True, is_in_flight=True)
        for transmit in self.connection._packetizer._seal_packets(
            path, path.current, [packet], simulator.now
        ):
            local, remote = transmit.four_tuple
            simulator.inject(UdpDatagram(local, remote, transmit.data, 0))
        self.scene.run(seconds)

    def forge(
        self,
        *frames: bytes | PathFrame,
        path_id: int = 0,
        number: int | None = None,
        nonce_path_id: int | None = None,
        four_tuple: FourTuple | None = None,
        seconds: float = 0.5,
    ) -> None:
        """Send frames on any path ID, open or not.

        Args:
            frames: what to say.
            path_id: whose connection ID to use.
            number: packet number; the next one that is free unless given.
            nonce_path_id: path ID to seal with, if another one.
            four_tuple: where it comes from, as the liar sees it; link 0 unless given.
            seconds: how long to run afterwards.
        """
        victim_cid = self.victim.connection.local_connection_ids.active(PathId(path_id))[0]
        if number is None:
            number = self._numbers.get(path_id, 1_000)
            self._numbers[path_id] = number + 1
        (packet,) = self.connection._protection.seal(
            path_id=path_id if nonce_path_id is None else nonce_path_id,
            first_packet_number=number,
            destination_cid=victim_cid.connection_id,
            largest_acknowledged=number - (1 << 29),  # that makes it four bytes long
            payloads=[join(frames)],
        )
        if four_tuple is None:
            known = self.connection._paths.get(PathId(path_id))
            four_tuple = (
                known.current.four_tuple
                if known
                else self.connection._paths[PathId(0)].current.four_tuple
            )
        self.scene.simulator.inject(UdpDatagram(*four_tuple, packet, 0))
        self.scene.run(seconds)

    def assert_victim_closes(self, code: int) -> None:
        """The victim has closed the connection with this transport error."""
        end = self.victim.termination
        assert isinstance(end, ConnectionTerminated), "the connection goes on"
        assert end.error_code == code, f"closed with 0x{end.error_code:x}: {end.reason}"
        assert not end.by_peer
        assert not end.is_application


def join(frames: "tuple[bytes | PathFrame, ...]") -> bytes:
    """Encode frames one after the other; at least as long as header protection needs."""
    encoded = [frame if isinstance(frame, bytes) else encode_path_frame(frame) for frame in frames]
    return b"".join(encoded).ljust(20, b"\0")


def fresh(pair: MultiPair) -> Scene:
    """Shake hands and let connection IDs be exchanged; no path is opened."""
    scene = Scene(pair, PathRules(pair))
    pair.handshake()
    scene.run(1.0)
    return scene


def drop_frames(scene: Scene, frame_type: int, *, from_client: bool, path_id: int) -> None:
    """Make the network lose every packet with a kind of frame."""
    original = scene.simulator._route

    def route(datagram: object) -> None:
        packet = scene.rules.wiretap.packet_in(getattr(datagram, "payload", b""))
        is_meant = (
            packet is not None
            and packet.is_from_client is from_client
            and packet.path_id == path_id
            and frame_type in packet.frame_types
        )
        if not is_meant:
            original(datagram)  # type: ignore[arg-type] # what the simulator gave

    scene.simulator._route = route  # type: ignore[method-assign] # a fault to inject


def new_id(path_id: int, number: int, *, retire_prior_to: int = 0, name: bytes = b"") -> PathFrame:
    """Return the frame that issues a connection ID of a path."""
    return PathNewConnectionId(
        path_id=PathId(path_id),
        sequence_number=number,
        retire_prior_to=retire_prior_to,
        connection_id=name or b"%03d-%04d" % (path_id, number),
        stateless_reset_token=b"%016d" % (1000 * path_id + number),
    )
