"""Rules that every run with several paths must keep, checked from outside (RFC 10069, RFC 9000).

Each names the place it comes from; what packets look like is `path_wiretap`'s business.
"""

from collections import defaultdict

from aioquic._buffer import Buffer
from aioquic.quic.packet import QuicPacketType, pull_quic_header
from typing_extensions import override

from mqvpn_core.ids import Instant, SocketAddress
from mqvpn_core.quic.connection_ids import ACTIVE_CONNECTION_ID_LIMIT
from mqvpn_core.quic.events import PathMigrated, PathOpened
from mqvpn_core.testing.link_elements import UdpDatagram
from mqvpn_core.testing.pair import SERVER_ADDRESS, Pair, Peer
from mqvpn_core.wire.code_points import FrameType as F
from tests.simulation.multipath.path_wiretap import (
    PacketListener,
    PathPacket,
    PathWiretap,
    integers,
)

AMPLIFICATION_FACTOR = 3
FULL_DATAGRAM = 1200
CHALLENGES_OF_A_VALIDATION = 3
"""After 0, 1/2 and 3/2 PTO; the next would come after the three PTO that a validation lasts."""
BEFORE_VALIDATION = {
    F.PATH_CHALLENGE,
    F.PATH_RESPONSE,
    F.PATH_NEW_CONNECTION_ID,
    F.PATH_ACK,
    F.PATH_ACK_ECN,
    F.PING,
}
"""Frames that are no data: a server may send them on a path it has not validated yet."""

WITH_PATH_ID = {
    F.PATH_ACK,
    F.PATH_ACK_ECN,
    F.PATH_ABANDON,
    F.PATH_STATUS_AVAILABLE,
    F.PATH_STATUS_BACKUP,
    F.PATH_NEW_CONNECTION_ID,
    F.PATH_RETIRE_CONNECTION_ID,
    F.PATH_CIDS_BLOCKED,
    F.PATHS_BLOCKED,
}


class PathRules(PacketListener):
    """Watches one pair with a wiretap of its own: install it before the handshake."""

    def __init__(self, pair: Pair) -> None:
        """Listen."""
        self.wiretap = PathWiretap(pair)
        self.wiretap.listeners.append(self)
        self.is_watching = True
        """Cleared where an end lies: then only the wiretap goes on."""
        self._pair = pair
        config = pair.config
        self._limits = {
            # What each side has announced at most; True is the client.
            True: config.client.initial_max_path_id or 0,
            False: config.server.initial_max_path_id or 0,
        }
        self._abandoned: dict[bool, set[int]] = {True: set(), False: set()}
        self._issued: defaultdict[tuple[bool, int], int] = defaultdict(lambda: -1)
        self._retired: defaultdict[tuple[bool, int], set[int]] = defaultdict(set)
        self._statuses: defaultdict[tuple[bool, int], int] = defaultdict(lambda: -1)
        self._opened_by_client = {0}
        self._challenges: dict[bytes, PathPacket] = {}
        self._validated_paths = {0}
        self._validated_addresses: set[SocketAddress] = set()
        self._received_bytes: defaultdict[SocketAddress, int] = defaultdict(int)
        self._sent_bytes: defaultdict[SocketAddress, int] = defaultdict(int)
        # What counts for one path at one address, as the server sees it.
        self._room: defaultdict[tuple[int, SocketAddress], int] = defaultdict(int)
        self._unanswered: defaultdict[tuple[int, SocketAddress], int] = defaultdict(int)
        self._proven: set[tuple[int, SocketAddress]] = set()
        self._counted: set[bytes] = set()
        self._followed = 0
        pair.simulator.add_tap(self._on_datagram)
        pair.simulator.add_check(self.check)

    @override
    def on_packet(self, packet: PathPacket) -> None:
        """Check a packet that is being sent."""
        if not self.is_watching:
            return
        side, path_id = packet.is_from_client, packet.path_id
        # RFC 10069 s3.4: "subsequently cannot send any packet on that path anymore"
        assert path_id not in self._abandoned[side], f"a packet on path {path_id} after its end"
        if side:
            self._opened_by_client.add(path_id)
        else:
            # RFC 10069 s3: this extension "only enables clients to open a new path".
            assert path_id in self._opened_by_client, "the server has opened a path"
            if path_id not in self._validated_paths:
                # RFC 10069 s3.1: the server validates "before sending any data".
                data = packet.frame_types - BEFORE_VALIDATION
                assert not data, f"data before validation: {sorted(map(hex, data))}"
        for kind, frame in packet.frames:
            if kind in WITH_PATH_ID:
                self._check_limit(side, kind, frame)
            self._note(packet, kind, frame)

    def check(self) -> None:
        """Look at both ends after a turn."""
        if not self.is_watching:
            return
        self._follow_server()
        for peer in self._peers():
            check_bytes_in_flight(peer)
            connection = peer.connection
            for path_id, known in connection._exchange._peer.items():
                assert len(known._active) <= ACTIVE_CONNECTION_ID_LIMIT, f"path {path_id}"
            assert len(connection._sources.control_frames) < 200

    def assert_idle(self) -> None:
        """Nothing may be in flight when nobody has anything to say."""
        for peer in self._peers():
            for path in peer.paths.values():
                if path.state == "active":
                    assert path.bytes_in_flight == 0, f"path {path.path_id} is idle"

    def finish(self) -> None:
        """Check what can only be known at the end."""
        assert not self.wiretap.unopened, "a packet that no key opens"
        for peer in self._peers():
            opened = [event.path_id for event in peer.events_of(PathOpened)]
            # RFC 10069 s1: "cannot be reused"
            assert len(opened) == len(set(opened)), f"a path ID was used twice: {opened}"
            if peer is self._pair.client:
                assert opened == sorted(opened)

    def _peers(self) -> list[Peer]:
        node = self._pair.server_node
        return [self._pair.client, *node.peers.values()]

    def _follow_server(self) -> None:
        """Whatever it knew of an address that it has left, it may have forgotten."""
        for peer in self._pair.server_node.peers.values():
            for event in peer.events[self._followed :]:
                if isinstance(event, PathMigrated):
                    key = event.path_id, event.old.remote
                    self._room[key] = 0
                    self._proven.discard(key)
            self._followed = len(peer.events)

    def _check_limit(self, side: bool, kind: int, frame: bytes) -> None:
        (path_id,) = integers(frame, 1)
        # RFC 10069 s4: greater than what the receiver announced is a PROTOCOL_VIOLATION
        assert path_id <= self._limits[not side], f"frame 0x{kind:x} about path {path_id}"

    def _note(self, packet: PathPacket, kind: int, frame: bytes) -> None:
        side = packet.is_from_client
        if kind == F.PATH_ABANDON:
            self._abandoned[side].add(integers(frame, 1)[0])
        elif kind == F.MAX_PATH_ID:
            (limit,) = integers(frame, 1)
            self._limits[side] = max(self._limits[side], limit)
        elif kind == F.PATH_NEW_CONNECTION_ID:
            self._note_connection_id(side, frame)
        elif kind in (F.PATH_STATUS_AVAILABLE, F.PATH_STATUS_BACKUP):
            path_id, sequence = integers(frame, 2)
            # RFC 10069 s4.3: "monotonically increasing"; a repetition only of the last one
            assert sequence >= self._statuses[side, path_id], "an old status was sent again"
            self._statuses[side, path_id] = sequence
        elif kind == F.PATH_CHALLENGE:
            assert frame not in self._challenges, "RFC 9000 s8.2.1: unpredictable data each time"
            self._challenges[frame] = packet
            self._unanswered[packet.path_id, packet.datagram.destination] += 1
        elif kind == F.PATH_RESPONSE:
            challenge = self._challenges[bytes([F.PATH_CHALLENGE]) + frame[1:]]
            # RFC 10069 s3.1: the response MUST go "on the same path" as the challenge.
            assert challenge.path_id == packet.path_id
            assert challenge.is_from_client is not side
        if kind in (F.PATH_CHALLENGE, F.PATH_RESPONSE):
            self._check_size(packet)

    def _note_connection_id(self, side: bool, frame: bytes) -> None:
        path_id, number, retire_prior_to = integers(frame, 3)
        key = side, path_id
        assert retire_prior_to <= number
        if number <= self._issued[key]:
            return  # sent again
        # RFC 10069 s3.2: from 0 without gaps; the handshake has used up 0 on path 0.
        assert number == max(self._issued[key], 0 if path_id == 0 else -1) + 1
        assert path_id not in self._abandoned[side], "a connection ID for an abandoned path"
        self._issued[key] = number

    def _check_size(self, packet: PathPacket) -> None:
        """RFC 9000 s8.2.1, s8.2.2: 1200 bytes unless the amplification limit forbids."""
        if len(packet.datagram.payload) >= FULL_DATAGRAM:
            return
        key = packet.path_id, packet.datagram.destination
        assert not packet.is_from_client, "path validation in a small datagram"
        assert key not in self._proven, "path validation in a small datagram"
        if self._unanswered[key] > CHALLENGES_OF_A_VALIDATION:
            # RFC 9000 s8.2.4: the server has given up and starts over as with a stranger.
            self._unanswered[key] = 1
            self._room[key] = 0
            return
        # Twice, because an answer and a question may come together.
        assert self._room[key] < 2 * FULL_DATAGRAM, "path validation in a small datagram"

    def _on_datagram(self, now: Instant, what: str, datagram: UdpDatagram) -> None:
        """RFC 9000 s8.1: at most three times what an unvalidated address has sent."""
        del now
        if not self.is_watching:
            return
        size = len(datagram.payload)
        packet = self.wiretap.packet_in(datagram.payload)
        if what == "delivered" and datagram.destination == SERVER_ADDRESS:
            source = datagram.source
            self._received_bytes[source] += size
            if packet is not None and datagram.payload not in self._counted:
                self._counted.add(datagram.payload)
                self._room[packet.path_id, source] += AMPLIFICATION_FACTOR * size
            if self._ends_handshake(datagram.payload):
                self._validated_addresses.add(source)
            for kind, frame in packet.frames if packet is not None else ():
                if kind == F.PATH_RESPONSE:
                    self._note_answer(frame)
        elif what == "sent" and datagram.source == SERVER_ADDRESS:
            target = datagram.destination
            if packet is not None:
                self._count_sent(packet.path_id, target, size)
            self._sent_bytes[target] += size
            allowed = AMPLIFICATION_FACTOR * self._received_bytes[target]
            assert target in self._validated_addresses or self._sent_bytes[target] <= allowed, (
                f"{self._sent_bytes[target]} bytes to {target}, which sent a third of {allowed}"
            )

    def _count_sent(self, path_id: int, target: SocketAddress, size: int) -> None:
        for key in self._room:
            if key[0] == path_id and key[1] != target:
                # The server may forget an address that it has left, with all that came from it.
                self._room[key] = 0
                self._proven.discard(key)
        self._room[path_id, target] -= size

    def _note_answer(self, response: bytes) -> None:
        challenge = self._challenges[bytes([F.PATH_CHALLENGE]) + response[1:]]
        self._validated_paths.add(challenge.path_id)
        self._validated_addresses.add(challenge.datagram.destination)
        key = challenge.path_id, challenge.datagram.destination
        self._proven.add(key)
        self._unanswered[key] = 0

    def _ends_handshake(self, payload: bytes) -> bool:
        """A Handshake packet, or an Initial with a token, proves an address (RFC 9000 s8.1)."""
        while payload[:1] >= b"\x80":
            header = pull_quic_header(Buffer(data=payload), host_cid_length=8)
            if header.packet_type == QuicPacketType.HANDSHAKE or header.token:
                return True
            payload = payload[header.packet_length :]
        return False


def check_bytes_in_flight(peer: Peer) -> None:
    """Every network path counts exactly its own packets that are neither acknowledged nor lost."""
    for path in peer.connection._paths.values():
        expected: defaultdict[int, int] = defaultdict(int)
        for run in path.sent._runs:
            if run.in_flight:
                expected[run.generation] += run.total_bytes
        for network_path in path.network_paths.values():
            counted = network_path.recovery.bytes_in_flight
            assert counted == expected[network_path.generation], (
                f"path {path.path_id}: {counted} bytes in flight, "
                f"the ledger has {expected[network_path.generation]}"
            )
