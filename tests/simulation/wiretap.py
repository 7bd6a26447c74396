"""An independent look at the packets on the wire: opens them with the logged TLS secrets.

It uses aioquic's own packet protection and nothing of ours, so that a mistake shared by both ends
of a connection is still seen. The rules it asserts are those an outsider can see: packet numbers
only grow, no nonce is used twice, phases advance one by one, sizes stay inside the limits.
"""

import io
from collections import Counter
from dataclasses import dataclass, field

from aioquic._buffer import Buffer
from aioquic._crypto import CryptoError
from aioquic.quic.crypto import CryptoContext, next_key_phase
from aioquic.quic.packet import pull_quic_header
from aioquic.tls import CipherSuite

from mqvpn_core.ids import Instant, SocketAddress
from mqvpn_core.testing.link_elements import UdpDatagram
from mqvpn_core.wire.code_points import FrameType
from mqvpn_core.wire.varint import decode_varint

CID_LENGTH = 8
QUIC_VERSION_1 = 1

# What follows the frame type: v a varint, t the rest, l a length and so many bytes, digits bytes.
_LAYOUTS: dict[int, str] = {
    FrameType.PING: "",
    FrameType.RESET_STREAM: "vvv",
    FrameType.STOP_SENDING: "vv",
    FrameType.CRYPTO: "vl",
    FrameType.NEW_TOKEN: "l",
    FrameType.MAX_DATA: "v",
    FrameType.MAX_STREAM_DATA: "vv",
    FrameType.MAX_STREAMS_BIDI: "v",
    FrameType.MAX_STREAMS_UNI: "v",
    FrameType.DATA_BLOCKED: "v",
    FrameType.STREAM_DATA_BLOCKED: "vv",
    FrameType.STREAMS_BLOCKED_BIDI: "v",
    FrameType.STREAMS_BLOCKED_UNI: "v",
    FrameType.NEW_CONNECTION_ID: "vvlk",
    FrameType.RETIRE_CONNECTION_ID: "v",
    FrameType.PATH_CHALLENGE: "8",
    FrameType.PATH_RESPONSE: "8",
    FrameType.CONNECTION_CLOSE: "vvl",
    FrameType.CONNECTION_CLOSE_APPLICATION: "vl",
    FrameType.HANDSHAKE_DONE: "",
    FrameType.DATAGRAM: "t",
    FrameType.DATAGRAM_WITH_LENGTH: "l",
    FrameType.PATH_ABANDON: "vv",
    FrameType.PATH_STATUS_BACKUP: "vv",
    FrameType.PATH_STATUS_AVAILABLE: "vv",
    FrameType.PATH_NEW_CONNECTION_ID: "vvvlk",
    FrameType.PATH_RETIRE_CONNECTION_ID: "vv",
    FrameType.MAX_PATH_ID: "v",
    FrameType.PATHS_BLOCKED: "v",
    FrameType.PATH_CIDS_BLOCKED: "vv",
}
_ECN_TYPES = {FrameType.ACK_ECN, FrameType.PATH_ACK_ECN}


_VALIDATION_TYPES = {FrameType.PATH_CHALLENGE, FrameType.PATH_RESPONSE}
_CLOSE_TYPES = {FrameType.CONNECTION_CLOSE, FrameType.CONNECTION_CLOSE_APPLICATION}


def split_frames(payload: bytes) -> list[tuple[int, bytes]]:
    """Return type and bytes of each frame of a packet; PADDING is left out."""
    frames = []
    offset = 0
    while offset < len(payload):
        start = offset
        frame_type, offset = decode_varint(payload, offset)
        if frame_type == FrameType.PADDING:
            continue
        offset = _skip_body(frame_type, payload, offset)
        assert offset <= len(payload), f"frame 0x{frame_type:x} is cut short"
        frames.append((frame_type, payload[start:offset]))
    return frames


def _skip_body(frame_type: int, payload: bytes, offset: int) -> int:
    if frame_type in (FrameType.ACK, FrameType.ACK_ECN):
        return _skip_ack(frame_type, payload, offset)
    if frame_type in (FrameType.PATH_ACK, FrameType.PATH_ACK_ECN):
        _, offset = decode_varint(payload, offset)
        return _skip_ack(frame_type, payload, offset)
    if FrameType.STREAM <= frame_type <= FrameType.STREAM_LAST:
        has_offset, has_length = frame_type & 4, frame_type & 2
        layout = "v" + ("v" if has_offset else "") + ("l" if has_length else "t")
    else:
        layout = _LAYOUTS[frame_type]
    for part in layout:
        if part == "v":
            _, offset = decode_varint(payload, offset)
        elif part == "l":
            length, offset = decode_varint(payload, offset)
            offset += length
        elif part == "k":
            offset += 16
        elif part == "t":
            offset = len(payload)
        else:
            offset += int(part)
    return offset


def _skip_ack(frame_type: int, payload: bytes, offset: int) -> int:
    for _ in range(2):
        _, offset = decode_varint(payload, offset)
    range_count, offset = decode_varint(payload, offset)
    for _ in range(1 + 2 * range_count + (3 if frame_type in _ECN_TYPES else 0)):
        _, offset = decode_varint(payload, offset)
    return offset


@dataclass(frozen=True)
class SeenPacket:
    """One 1-RTT packet as it left its sender."""

    sent_at: Instant
    datagram: UdpDatagram
    is_from_client: bool
    destination_cid: bytes
    packet_number: int
    key_phase: int
    frames: list[tuple[int, bytes]]

    @property
    def frame_types(self) -> set[int]:
        """The kinds of frames in it, without PADDING."""
        return {frame_type for frame_type, _ in self.frames}


@dataclass
class _Direction:
    """What is known of one sender."""

    contexts: list[CryptoContext] = field(default_factory=list)
    largest: int = -1


class Wiretap:
    """Opens every 1-RTT packet of one connection at the moment it is sent.

    Install ``on_datagram`` as a tap of the simulator and ``secrets_log`` as the TLS secrets log of
    either end. Connection IDs are 8 bytes long at both ends.
    """

    def __init__(self, server_port: int, suite: CipherSuite) -> None:
        self.secrets_log = io.StringIO()
        self.packets: list[SeenPacket] = []
        self.repeated_count = 0
        self._closes: set[bytes] = set()
        self._validation_packets: dict[bytes, SeenPacket] = {}
        self._challenged: dict[bytes, SocketAddress] = {}
        self.unopened: list[UdpDatagram] = []
        self.sent_bytes: Counter[tuple[str, int]] = Counter()
        self._early: list[tuple[Instant, UdpDatagram, bytes, bool]] = []
        self._server_port = server_port
        self._suite = suite
        self._directions: dict[bool, _Direction] = {True: _Direction(), False: _Direction()}

    def on_datagram(self, now: Instant, what: str, datagram: UdpDatagram) -> None:
        """Take one datagram of the trace."""
        if what != "sent":
            return
        is_from_client = datagram.destination.port == self._server_port
        assert len(datagram.payload) <= 1472, "a datagram too big for any Ethernet path"
        if datagram.payload in self._closes:
            # RFC 9000 s10.2.1 allows to send the CONNECTION_CLOSE packet again as it was.
            self.repeated_count += 1
            return
        short_header = _skip_long_headers(datagram.payload)
        if short_header is not None:
            self._open(now, datagram, short_header, is_from_client=is_from_client)

    def validation_packet(self, payload: bytes) -> SeenPacket | None:
        """Return the packet in a datagram if it is about path validation."""
        return self._validation_packets.get(payload)

    def challenged_address(self, data: bytes) -> SocketAddress | None:
        """Return where the PATH_CHALLENGE with this data went."""
        return self._challenged.get(data)

    def of(self, *, is_from_client: bool) -> list[SeenPacket]:
        """Return what one side has sent."""
        return [packet for packet in self.packets if packet.is_from_client is is_from_client]

    def with_frame(self, frame_type: int, *, is_from_client: bool) -> list[SeenPacket]:
        """Return the packets of one side that carry a kind of frame."""
        return [
            packet
            for packet in self.of(is_from_client=is_from_client)
            if frame_type in packet.frame_types
        ]

    def _open(
        self, now: Instant, datagram: UdpDatagram, packet: bytes, *, is_from_client: bool
    ) -> None:
        direction = self._directions[is_from_client]
        if not direction.contexts:
            self._read_secrets()
        if not direction.contexts:
            # The server may send before the end whose secrets are logged has any.
            self._early.append((now, datagram, packet, is_from_client))
            return
        early, self._early = self._early, []
        for arguments in early:
            self._open(*arguments[:3], is_from_client=arguments[3])
        for phase in range(max(0, len(direction.contexts) - 2), len(direction.contexts) + 1):
            if phase == len(direction.contexts):
                direction.contexts.append(next_key_phase(direction.contexts[-1]))
                # RFC 9001 s6: "the header protection key is not updated"
                direction.contexts[-1].hp = direction.contexts[0].hp
            opened = _try_open(direction.contexts[phase], packet, direction.largest + 1)
            if opened is not None:
                header, payload, number = opened
                self._check(direction, header, number, phase)
                frames = split_frames(payload)
                seen = SeenPacket(
                    now, datagram, is_from_client, packet[1 : 1 + CID_LENGTH], number, phase, frames
                )
                self.packets.append(seen)
                self._index(seen)
                return
        self.unopened.append(datagram)

    def _index(self, packet: SeenPacket) -> None:
        payload, types = packet.datagram.payload, packet.frame_types
        if types & _CLOSE_TYPES:
            self._closes.add(payload)
        if types & _VALIDATION_TYPES:
            self._validation_packets[payload] = packet
        for kind, frame in packet.frames:
            if kind == FrameType.PATH_CHALLENGE:
                self._challenged[frame[1:]] = packet.datagram.destination

    def _check(self, direction: _Direction, header: bytes, number: int, phase: int) -> None:
        # RFC 9000 s12.3: "A QUIC endpoint MUST NOT reuse a packet number within the same packet
        # number space in one connection"; ours leave in order, so each is larger than the last.
        assert number > direction.largest, f"packet number {number} after {direction.largest}"
        direction.largest = number
        del direction.contexts[phase + 1 :]
        # RFC 9000 s17.3.1: the reserved bits are zero before protection, the fixed bit is one.
        assert header[0] & 0x18 == 0
        assert header[0] & 0x40

    def _read_secrets(self) -> None:
        labels = {"CLIENT_TRAFFIC_SECRET_0": True, "SERVER_TRAFFIC_SECRET_0": False}
        for line in self.secrets_log.getvalue().splitlines():
            label, _, secret = line.split()
            if label in labels:
                context = CryptoContext()
                context.setup(
                    cipher_suite=self._suite,
                    secret=bytes.fromhex(secret),
                    version=QUIC_VERSION_1,
                )
                self._directions[labels[label]].contexts = [context]


def _try_open(
    context: CryptoContext, packet: bytes, expected: int
) -> tuple[bytes, bytes, int] | None:
    """Open a packet in place of its receiver, with one fixed key phase."""
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
        return header, context.aead.decrypt(packet[len(header) :], header, number), number
    except CryptoError:
        return None


def expand_number(truncated: int, bits: int, expected: int) -> int:
    """Find the full packet number (RFC 9000 appendix A.3)."""
    window = 1 << bits
    candidate = (expected & ~(window - 1)) | truncated
    if candidate <= expected - window // 2:
        return candidate + window
    if candidate > expected + window // 2 and candidate >= window:
        return candidate - window
    return candidate


def _skip_long_headers(payload: bytes) -> bytes | None:
    """Return the short-header packet at the end of a datagram, if there is one."""
    while payload and payload[0] & 0x80:
        header = pull_quic_header(Buffer(data=payload), host_cid_length=CID_LENGTH)
        if header.packet_length == 0:
            return None
        payload = payload[header.packet_length :]
    # A padded Initial leaves zeros behind; a short header has the fixed bit.
    return payload if payload and payload[0] & 0x40 else None
