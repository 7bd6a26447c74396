"""Rules that every run of a pair must keep, checked from outside after each turn."""

from collections import defaultdict

from aioquic._buffer import Buffer
from aioquic.quic.packet import QuicPacketType, pull_quic_header
from aioquic.tls import CipherSuite

from mqvpn_core.ids import Instant, SocketAddress
from mqvpn_core.testing.link_elements import UdpDatagram
from mqvpn_core.testing.pair import SERVER_ADDRESS, Pair, Peer
from mqvpn_core.wire.code_points import FrameType
from tests.simulation.wiretap import Wiretap

AMPLIFICATION_FACTOR = 3
SMALLEST_FULL_DATAGRAM = 1200
LONGEST_RESET = 42


class PairRules:
    """Watches one pair: install before the handshake, call ``finish`` at the end."""

    def __init__(self, pair: Pair, suite: CipherSuite = CipherSuite.AES_128_GCM_SHA256) -> None:
        self.wiretap = Wiretap(SERVER_ADDRESS.port, suite)
        self._pair = pair
        engine = pair.client.connection.engine
        engine._configuration.secrets_log_file = self.wiretap.secrets_log
        self._received_bytes: defaultdict[SocketAddress, int] = defaultdict(int)
        # What a strict server may still send to the address it is validating: new 1-RTT packets
        # count, others may be beyond its keys, and it forgets an address that it has left.
        self._room: dict[SocketAddress, int] = {}
        self._seen_payloads: set[bytes] = set()
        self._sent_bytes: defaultdict[SocketAddress, int] = defaultdict(int)
        self._validated: set[SocketAddress] = set()
        self._answered: set[SocketAddress] = set()
        pair.simulator.add_tap(self.wiretap.on_datagram)
        pair.simulator.add_tap(self._check_validation_size)
        pair.simulator.add_tap(self._limit_amplification)
        pair.simulator.add_check(self.check)

    def check(self) -> None:
        """Look at both ends."""
        for peer in self._peers():
            statistics = peer.connection.statistics()
            _check_bytes_in_flight(peer)
            for path in statistics.paths:
                assert path.congestion_window >= 2 * 1200, "RFC 9002 s7.2: the smallest window"
            assert statistics.datagrams_waiting <= 100_000
            is_last = peer.termination is None or peer.events[-1] is peer.termination
            assert is_last, "something came after the end"

    def assert_idle(self) -> None:
        """Nothing may be in flight when nobody has anything to say."""
        for peer in self._peers():
            statistics = peer.connection.statistics()
            assert statistics.datagrams_waiting == 0
            for path in statistics.paths:
                assert path.bytes_in_flight == 0, "bytes in flight on an idle path"

    def sent_bytes_to(self, client: SocketAddress) -> int:
        """Return what the server has sent to an address, as the network sees it."""
        return self._sent_bytes[client]

    def finish(self) -> None:
        """Check what can only be known at the end."""
        # A server that has forgotten the connection answers with stateless resets.
        may_reset = bool(self._pair.server_node.discarded)
        for datagram in self.wiretap.unopened:
            is_short = len(datagram.payload) <= LONGEST_RESET
            is_reset = may_reset and datagram.source == SERVER_ADDRESS and is_short
            assert is_reset, "a packet that no key opens"

    def _peers(self) -> list[Peer]:
        node = self._pair.server_node
        return [self._pair.client, *node.peers.values(), *node.discarded]

    def _limit_amplification(self, now: Instant, what: str, datagram: UdpDatagram) -> None:
        """RFC 9000 s8.1: at most three times what an unvalidated address has sent."""
        del now
        size = len(datagram.payload)
        if what == "delivered" and datagram.destination == SERVER_ADDRESS:
            self._received_bytes[datagram.source] += size
            is_one_rtt = not datagram.payload[0] & 0x80
            if is_one_rtt and datagram.payload not in self._seen_payloads:
                self._seen_payloads.add(datagram.payload)
                room = self._room.get(datagram.source, 0)
                self._room[datagram.source] = room + AMPLIFICATION_FACTOR * size
            if self._ends_handshake(datagram.payload):
                self._validated.add(datagram.source)
            answered = self._answered_addresses(datagram.payload)
            self._answered |= answered
            self._validated |= answered
        elif what == "sent" and datagram.source == SERVER_ADDRESS:
            target = datagram.destination
            self._sent_bytes[target] += size
            self._room = {target: self._room.get(target, 0) - size}
            allowed = AMPLIFICATION_FACTOR * self._received_bytes[target]
            assert target in self._validated or self._sent_bytes[target] <= allowed, (
                f"{self._sent_bytes[target]} bytes to {target}, which sent a third of {allowed}"
            )

    def _check_validation_size(self, now: Instant, what: str, datagram: UdpDatagram) -> None:
        """RFC 9000 s8.2.1, s8.2.2: PATH_CHALLENGE and PATH_RESPONSE fill 1200 bytes.

        "unless the anti-amplification limit for the path does not permit".
        """
        del now
        packet = self.wiretap.validation_packet(datagram.payload)
        if what != "sent" or packet is None or len(datagram.payload) >= SMALLEST_FULL_DATAGRAM:
            return
        target = datagram.destination
        assert not packet.is_from_client, "path validation in a small datagram"
        room = self._room.get(target, 0)
        assert target not in self._answered, "path validation in a small datagram"
        assert room < SMALLEST_FULL_DATAGRAM, f"{len(datagram.payload)} bytes, but room for {room}"

    def _ends_handshake(self, payload: bytes) -> bool:
        """A Handshake packet, or an Initial with a token, proves an address (RFC 9000 s8.1)."""
        while payload[:1] >= b"\x80":
            header = pull_quic_header(Buffer(data=payload), host_cid_length=8)
            if header.packet_type == QuicPacketType.HANDSHAKE or header.token:
                return True
            payload = payload[header.packet_length :]
        return False

    def _answered_addresses(self, payload: bytes) -> set[SocketAddress]:
        """Where the challenges went that a packet answers.

        RFC 9000 s8.2.3: a PATH_RESPONSE "received on any network path validates the path on which
        the PATH_CHALLENGE was sent".
        """
        packet = self.wiretap.validation_packet(payload)
        if packet is None:
            return set()
        answers = [frame[1:] for kind, frame in packet.frames if kind == FrameType.PATH_RESPONSE]
        challenged = [self.wiretap.challenged_address(data) for data in answers]
        return {address for address in challenged if address is not None}


def _check_bytes_in_flight(peer: Peer) -> None:
    """Every network path counts exactly its own packets that are neither acknowledged nor lost."""
    for path in peer.connection._paths.values():
        expected: defaultdict[int, int] = defaultdict(int)
        for run in path.sent._runs:
            if run.in_flight:
                expected[run.generation] += run.total_bytes
        for network_path in path.network_paths.values():
            counted = network_path.recovery.bytes_in_flight
            assert counted == expected[network_path.generation], (
                f"{counted} bytes in flight, the ledger has {expected[network_path.generation]}"
            )
