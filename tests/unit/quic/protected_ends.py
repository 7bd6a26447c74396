"""Two ends that seal and open for one another."""

from collections.abc import Sequence

from mqvpn_core.dataplane.kernel import CipherSuite
from mqvpn_core.ids import Instant
from mqvpn_core.quic.protection import (
    PacketProtection,
)

VERSION_1 = 1


CID = b"12345678"


PTO = 0.3


SUITE = CipherSuite.AES_128_GCM_SHA256


def at(seconds: float) -> Instant:
    return Instant(seconds)


def secret_bytes(suite: CipherSuite, seed: int) -> bytes:
    return bytes([seed]) * (48 if suite is CipherSuite.AES_256_GCM_SHA384 else 32)


def make_pair(
    suite: CipherSuite = SUITE, version: int = VERSION_1
) -> tuple[PacketProtection, PacketProtection]:
    client, server = PacketProtection(is_client=True), PacketProtection(is_client=False)
    for sender, receiver, seed in ((client, server, 1), (server, client, 2)):
        secret = secret_bytes(suite, seed)
        sender.install_send(cipher_suite=suite, secret=secret, version=version)
        receiver.install_receive(cipher_suite=suite, secret=secret, version=version)
        sender.on_handshake_confirmed()
    return client, server


class End:
    """A protection with the packet numbers of its paths."""

    def __init__(self, protection: PacketProtection) -> None:
        self.protection = protection
        self.next_number: dict[int, int] = {}
        self.largest_received: dict[int, int] = {}

    def seal(self, path_id: int = 0, count: int = 1) -> list[bytes]:
        first = self.next_number.get(path_id, 0)
        self.next_number[path_id] = first + count
        return self.protection.seal(
            path_id=path_id,
            first_packet_number=first,
            destination_cid=CID,
            largest_acknowledged=-1,
            payloads=[b"packet %d" % number for number in range(first, first + count)],
        )

    def open(
        self, packets: Sequence[bytes], path_id: int = 0, now: float = 0.0
    ) -> list[int | None]:
        """Return the packet numbers of what opened."""
        opened = self.protection.open(
            path_id=path_id,
            largest_received=self.largest_received.get(path_id, -1),
            cid_length=len(CID),
            packets=packets,
            now=at(now),
        )
        numbers = [packet.packet_number if packet else None for packet in opened]
        known = [number for number in numbers if number is not None]
        self.largest_received[path_id] = max(known, default=-1)
        return numbers


def ends() -> tuple[End, End]:
    client, server = make_pair()
    return End(client), End(server)


def settle(starter: End, other: End, now: float) -> None:
    """Let both sides exchange a packet in the current phase, acknowledgments included."""
    other.open(starter.seal(), now=now)
    starter.open(other.seal(), now=now)
    for end in (starter, other):
        end.protection.on_ack_of_phase(end.protection.send_key_phase, at(now))
