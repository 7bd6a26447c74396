"""An independent look at a connection with many paths: it opens packets and checks what it sees.

Like `tests.simulation.wiretap` it uses aioquic's own packet protection. Which path a packet belongs
to follows from the connection IDs that were announced on the wire, never from our own tables.
"""

import io
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from aioquic._buffer import Buffer
from aioquic._crypto import CryptoError
from aioquic.quic.crypto import CryptoContext, next_key_phase
from aioquic.quic.packet import pull_quic_header
from aioquic.tls import CipherSuite

from mqvpn_core.ids import FourTuple, Instant
from mqvpn_core.testing.link_elements import UdpDatagram
from mqvpn_core.testing.pair import SERVER_ADDRESS, Pair
from mqvpn_core.wire.code_points import FrameType as F
from mqvpn_core.wire.varint import decode_varint
from tests.simulation.wiretap import CID_LENGTH, QUIC_VERSION_1, expand_number, split_frames

_SECRETS = {"CLIENT_TRAFFIC_SECRET_0": True, "SERVER_TRAFFIC_SECRET_0": False}
_CLOSES = {F.CONNECTION_CLOSE, F.CONNECTION_CLOSE_APPLICATION}


@dataclass(frozen=True)
class PathPacket:
    """One 1-RTT packet as it left its sender."""

    sent_at: Instant
    datagram: UdpDatagram
    is_from_client: bool
    path_id: int
    destination_cid: bytes
    packet_number: int
    key_phase: int
    frames: list[tuple[int, bytes]]

    @property
    def frame_types(self) -> set[int]:
        """The kinds of frames in it, without PADDING."""
        return {frame_type for frame_type, _ in self.frames}

    @property
    def network_path(self) -> FourTuple:
        """Source and destination."""
        return FourTuple(self.datagram.source, self.datagram.destination)

    def fields(self, frame_type: int, count: int) -> list[tuple[int, ...]]:
        """Return the first integers of each frame of a kind."""
        return [integers(frame, count) for kind, frame in self.frames if kind == frame_type]


@dataclass
class _Sender:
    """What is known of one sender."""

    contexts: list[CryptoContext] = field(default_factory=list)
    paths_by_cid: dict[bytes, int] = field(default_factory=dict)
    """Connection IDs that this sender uses as destination; the other one has issued them."""
    largest: defaultdict[int, int] = field(default_factory=lambda: defaultdict(lambda: -1))


class PathWiretap:
    """Opens every 1-RTT packet of one connection when it is sent; connection IDs have 8 bytes.

    It asserts: no packet number is used twice on a path or goes back, reserved bits are clear, a
    connection ID belongs to one path for ever, and no packet is left that nothing opens.
    """

    def __init__(self, pair: Pair, suite: CipherSuite = CipherSuite.AES_128_GCM_SHA256) -> None:
        """Listen to a pair; install it before the handshake."""
        self.packets: list[PathPacket] = []
        self.unopened: list[UdpDatagram] = []
        self.listeners: list[PacketListener] = []
        self._by_payload: dict[bytes, PathPacket] = {}
        self._closes: set[bytes] = set()
        self._secrets_log = io.StringIO()
        self._early: list[tuple[Instant, UdpDatagram, bytes]] = []
        self._suite = suite
        self._senders = {True: _Sender(), False: _Sender()}
        pair.client.connection.engine._configuration.secrets_log_file = self._secrets_log
        pair.simulator.add_tap(self.on_datagram)

    def on_datagram(self, now: Instant, what: str, datagram: UdpDatagram) -> None:
        """Take one datagram of the trace."""
        if what != "sent" or datagram.payload in self._closes:
            # RFC 9000 s10.2.1 allows to send the CONNECTION_CLOSE packet again as it was.
            return
        packet = self._skip_long_headers(datagram)
        if packet is not None:
            self._open(now, datagram, packet)

    def packet_in(self, payload: bytes) -> PathPacket | None:
        """Return the 1-RTT packet in a UDP payload that was sent."""
        return self._by_payload.get(payload)

    def of(
        self, *, is_from_client: bool, path_id: int | None = None, frame_type: int | None = None
    ) -> list[PathPacket]:
        """Return what one side has sent, on one path only, with a kind of frame only."""
        return [
            packet
            for packet in self.packets
            if packet.is_from_client is is_from_client
            and path_id in (None, packet.path_id)
            and (frame_type is None or frame_type in packet.frame_types)
        ]

    def _open(self, now: Instant, datagram: UdpDatagram, packet: bytes) -> None:
        if not self._senders[True].contexts:
            self._read_secrets()
        if not self._senders[True].contexts:
            self._early.append((now, datagram, packet))
            return
        early, self._early = self._early, []
        for arguments in early:
            self._open(*arguments)
        is_from_client = datagram.destination == SERVER_ADDRESS
        sender = self._senders[is_from_client]
        cid = packet[1 : 1 + CID_LENGTH]
        path_id = sender.paths_by_cid.get(cid)
        opened = None
        if path_id is not None:
            opened = self._try_phases(sender, path_id, packet)
        if opened is None or path_id is None:
            self.unopened.append(datagram)
            return
        header, payload, number, phase = opened
        # RFC 9000 s17.3.1
        assert header[0] & 0x58 == 0x40, "reserved bits, or no fixed bit"
        # RFC 9000 s12.3; ours leave in order, so each is larger than the last of its path.
        assert number > sender.largest[path_id], f"number {number} again on path {path_id}"
        sender.largest[path_id] = number
        seen = PathPacket(
            now, datagram, is_from_client, path_id, cid, number, phase, split_frames(payload)
        )
        self._take(seen)

    def _take(self, packet: PathPacket) -> None:
        self.packets.append(packet)
        self._by_payload[packet.datagram.payload] = packet
        if packet.frame_types & _CLOSES:
            self._closes.add(packet.datagram.payload)
        receiver = self._senders[not packet.is_from_client]
        for kind, frame in packet.frames:
            if kind == F.PATH_NEW_CONNECTION_ID:
                path_id, _, _ = integers(frame, 3)
                self._map(receiver, frame[-16 - CID_LENGTH : -16], path_id)
            elif kind == F.NEW_CONNECTION_ID:
                self._map(receiver, frame[-16 - CID_LENGTH : -16], 0)
        for listener in self.listeners:
            listener.on_packet(packet)

    def _map(self, user: _Sender, cid: bytes, path_id: int) -> None:
        known = user.paths_by_cid.setdefault(cid, path_id)
        assert known == path_id, f"a connection ID of path {known} is issued for {path_id}"

    def _try_phases(
        self, sender: _Sender, path_id: int, packet: bytes
    ) -> tuple[bytes, bytes, int, int] | None:
        contexts = sender.contexts
        for phase in (len(contexts) - 1, len(contexts)):
            if phase == len(contexts):
                contexts.append(next_key_phase(contexts[-1]))
                # RFC 9001 s6: "the header protection key is not updated"
                contexts[-1].hp = contexts[0].hp
            opened = _try_open(contexts[phase], path_id, packet, sender.largest[path_id] + 1)
            if opened is not None:
                return *opened, phase
        contexts.pop()
        return None

    def _skip_long_headers(self, datagram: UdpDatagram) -> bytes | None:
        """Return the 1-RTT packet at the end of a datagram; learn the first connection IDs."""
        payload = datagram.payload
        is_from_client = datagram.destination == SERVER_ADDRESS
        while payload and payload[0] & 0x80:
            header = pull_quic_header(Buffer(data=payload), host_cid_length=CID_LENGTH)
            if header.packet_length == 0:
                return None
            self._map(self._senders[not is_from_client], header.source_cid, 0)
            payload = payload[header.packet_length :]
        # A padded Initial leaves zeros behind; a short header has the fixed bit.
        return payload if payload and payload[0] & 0x40 else None

    def _read_secrets(self) -> None:
        found: dict[bool, CryptoContext] = {}
        for line in self._secrets_log.getvalue().splitlines():
            label, _, secret = line.split()
            if label in _SECRETS:
                context = CryptoContext()
                context.setup(
                    cipher_suite=self._suite,
                    secret=bytes.fromhex(secret),
                    version=QUIC_VERSION_1,
                )
                found[_SECRETS[label]] = context
        if len(found) == len(_SECRETS):
            for is_client, context in found.items():
                self._senders[is_client].contexts = [context]


class PacketListener:
    """Whoever wants to see each packet right after it was opened."""

    def on_packet(self, packet: PathPacket) -> None:
        """Look at a packet that is being sent."""


def integers(frame: bytes, count: int) -> tuple[int, ...]:
    """Return the first integers behind the type of a frame."""
    return tuple(_integers(frame, count))


def _integers(frame: bytes, count: int) -> Iterator[int]:
    _, offset = decode_varint(frame, 0)
    for _ in range(count):
        value, offset = decode_varint(frame, offset)
        yield value


def _try_open(
    context: CryptoContext, path_id: int, packet: bytes, expected: int
) -> tuple[bytes, bytes, int] | None:
    """Open a packet with one fixed key phase; the nonce holds the path ID (RFC 10069 s2.4)."""
    assert context.hp is not None
    assert context.aead is not None
    try:
        header, truncated = context.hp.remove(packet, 1 + CID_LENGTH)
    except CryptoError:
        return None
    if (header[0] & 4) >> 2 != context.key_phase:
        return None
    number = expand_number(truncated, 8 * ((header[0] & 3) + 1), expected)
    try:
        sealed = packet[len(header) :]
        return header, context.aead.decrypt(sealed, header, path_id << 64 | number), number
    except CryptoError:
        return None
