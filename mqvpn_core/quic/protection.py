"""1-RTT packet protection of one connection: which keys, which key phase, how often.

# walk: 8, 12 of 16

One set of keys serves all paths (the path ID is part of the nonce), so phases and limits count over
all of them together. Batches are sealed and opened by the kernel.

Implements RFC 9001 s6, RFC 9000 s17.1 and RFC 10069 s2.4 and s2.5.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from mqvpn_core.dataplane import kernel
from mqvpn_core.errors import LocalProtocolError, RemoteProtocolError
from mqvpn_core.ids import Instant
from mqvpn_core.quic.key_phases import PathNumbers, ReceiveKeys, SendKeys
from mqvpn_core.quic.key_schedule import key_schedule
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams
from mqvpn_core.wire.code_points import TransportErrorCode

OpenedPacket: TypeAlias = kernel.OpenedPacket

MIN_PACKET_NUMBER_LENGTH = 2
"""One byte could be enough, but not for a packet that arrives 128 numbers late."""
MAX_PACKET_NUMBER_LENGTH = 4
KEY_RETENTION_PROBE_TIMEOUTS = 3


def packet_number_length(first: int, count: int, largest_acknowledged: int) -> int:
    """Return the bytes that encode the packet numbers of a whole batch (RFC 9000 s17.1).

    Args:
        first: first packet number.
        count: how many packets.
        largest_acknowledged: largest number the peer acknowledged on this path, -1 when none.

    Raises:
        LocalProtocolError: four bytes are not enough; the path should long be gone.
    """
    unacknowledged = first + max(count, 1) - 1 - largest_acknowledged
    for length in range(MIN_PACKET_NUMBER_LENGTH, MAX_PACKET_NUMBER_LENGTH + 1):
        # "more than twice as large a range as the difference"
        if 2 * unacknowledged < 1 << 8 * length:
            return length
    raise LocalProtocolError("too many packets are not acknowledged")


def sealed_overhead(cid_length: int, number_length: int = MAX_PACKET_NUMBER_LENGTH) -> int:
    """Return the bytes that header and tag add to the frames of a packet."""
    return 1 + cid_length + number_length + kernel.TAG_BYTES


class PacketProtection:
    """Seals and opens the 1-RTT packets of one connection.

    Reads: ``can_send``, ``can_receive``, ``send_key_phase``, ``receive_key_phase``,
    ``needs_update``, ``may_initiate_update``, ``failed_open_count``, ``send_keys``,
    ``receive_keys``.
    Inputs: ``install_send``, ``install_receive``, ``on_handshake_confirmed``, ``open``,
    ``note_opened``, ``note_sealed``, ``on_ack_of_phase``, ``handle_timeout``.
    Commands: ``seal``, ``initiate_update``, ``forget_path``.
    Outputs: ``next_timeout``, ``take_update_events``.

    Rules: packets are sealed with the newest keys only. Received packets may belong to the
    previous, the current or the next phase; the current one moves on only when a packet of the
    next phase was opened, never because we started an update ourselves. So nothing that the peer
    has in flight becomes unreadable.
    """

    def __init__(self, *, is_client: bool) -> None:
        """Start without keys.

        Args:
            is_client: our role, for whoever reports on this object.
        """
        self.is_client = is_client
        self.send_key_phase = 0
        self.receive_key_phase = 0
        self.failed_open_count = 0
        self._send: SendKeys | None = None
        self._receive: ReceiveKeys | None = None
        self._numbers: dict[int, PathNumbers] = {}
        self._is_handshake_confirmed = False
        self._phase_acknowledged_at: Instant | None = None
        self._update_events: list[tuple[int, bool]] = []

    @property
    def can_send(self) -> bool:
        """The send keys are known."""
        return self._send is not None

    @property
    def can_receive(self) -> bool:
        """The receive keys are known."""
        return self._receive is not None

    @property
    def needs_update(self) -> bool:
        """Half of the packets that may be sealed with the current keys are sealed."""
        return self._send is not None and self._send.is_half_used

    @property
    def send_keys(self) -> kernel.PacketKeys | None:
        """What packets are sealed with now; whoever uses them says so to `note_sealed`."""
        return None if self._send is None else self._send.keys

    @property
    def receive_keys(self) -> kernel.PacketKeys | None:
        """What packets of the current phase are opened with; see `note_opened`."""
        return None if self._receive is None else self._receive.current

    def install_send(self, *, cipher_suite: int, secret: bytes, version: int) -> None:
        """Take the application traffic secret of our direction."""
        self._send = SendKeys(key_schedule(cipher_suite, secret, version))

    def install_receive(self, *, cipher_suite: int, secret: bytes, version: int) -> None:
        """Take the application traffic secret of the peer's direction."""
        self._receive = ReceiveKeys(key_schedule(cipher_suite, secret, version))

    def on_handshake_confirmed(self) -> None:
        """Key updates are allowed from now on (RFC 9001 s6)."""
        self._is_handshake_confirmed = True

    def seal(
        self,
        *,
        path_id: int,
        first_packet_number: int,
        destination_cid: bytes,
        largest_acknowledged: int,
        payloads: Sequence[bytes],
    ) -> list[bytes]:
        """Return one protected packet for each payload.

        Args:
            path_id: path they will be sent on.
            first_packet_number: first of the numbers reserved for them.
            destination_cid: connection ID of the peer for this path.
            largest_acknowledged: largest number the peer acknowledged on this path, -1 when none.
            payloads: frames of each packet.

        Raises:
            LocalProtocolError: there are no keys yet, or they must not be used any more.
            RemoteProtocolError: the keys are nearly used up since no update was possible; raised
                once, what is kept back is for closing the connection.
        """
        keys = self._count_sealed(len(payloads))
        length = packet_number_length(first_packet_number, len(payloads), largest_acknowledged)
        header = self._header(destination_cid, length)
        return kernel.seal_batch(keys, header, path_id, first_packet_number, payloads)

    def seal_runs(
        self,
        *,
        path_id: int,
        first_packet_number: int,
        destination_cid: bytes,
        largest_acknowledged: int,
        payloads: Sequence[kernel.Payload],
        count: int,
    ) -> list[kernel.SealedRun]:
        """Do what `seal` does, and join what can leave in one send with segmentation.

        Args:
            path_id: path they will be sent on.
            first_packet_number: first of the numbers reserved for them.
            destination_cid: connection ID of the peer for this path.
            largest_acknowledged: largest number the peer acknowledged on this path, -1 when none.
            payloads: frames of a packet, or trains of them.
            count: how many packets that makes.
        """
        keys = self._count_sealed(count)
        length = packet_number_length(first_packet_number, count, largest_acknowledged)
        header = self._header(destination_cid, length)
        return kernel.seal_runs(keys, header, path_id, first_packet_number, payloads)

    def plan_flight(
        self,
        *,
        path_id: int,
        first_packet_number: int,
        destination_cid: bytes,
        largest_acknowledged: int,
        payloads: Sequence[kernel.Payload],
        count: int,
    ) -> kernel.Flight:
        """Do what `seal_runs` does, but put the work off until the packets leave.

        The keys are those of now: what waits may be sent after a key update as well.
        """
        assert kernel.plan_flight is not None
        keys = self._count_sealed(count)
        length = packet_number_length(first_packet_number, count, largest_acknowledged)
        header = self._header(destination_cid, length)
        return kernel.plan_flight(keys, header, path_id, first_packet_number, payloads)

    def open(
        self,
        *,
        path_id: int,
        largest_received: int,
        cid_length: int,
        packets: Sequence[bytes],
        now: Instant,
    ) -> list[OpenedPacket | None]:
        """Remove the protection of packets that arrived together on one path.

        Args:
            path_id: path ID that their destination connection ID belongs to.
            largest_received: largest number received on this path, -1 when none.
            cid_length: length of our connection IDs.
            packets: one short header packet each.
            now: when they arrived.

        Returns:
            An entry for each packet; None when it is malformed or does not authenticate.

        Raises:
            LocalProtocolError: there are no keys yet.
            RemoteProtocolError: an authentic packet has reserved bits set or breaks the order of
                key phases, or there were too many forgeries.
        """
        if self._receive is None:
            raise LocalProtocolError("there are no 1-RTT keys to open with yet")
        arrival = _Arrival(path_id, largest_received, cid_length, now)
        opened: list[OpenedPacket | None] = [None] * len(packets)
        self._open_all(self._receive, arrival, packets, range(len(packets)), opened)
        self._check_forgeries(self._receive)
        return opened

    def open_run(
        self,
        *,
        path_id: int,
        largest_received: int,
        cid_length: int,
        run: ReceivedDatagrams,
        now: Instant,
    ) -> list[OpenedPacket | kernel.OpenedTrain | None]:
        """Do what `open` does for packets back to back, and keep together what can stay so.

        Args:
            path_id: path ID that their destination connection ID belongs to.
            largest_received: largest number received on this path, -1 when none.
            cid_length: length of our connection IDs.
            run: the packets; all have the same destination.
            now: when they arrived.
        """
        if self._receive is None:
            raise LocalProtocolError("there are no 1-RTT keys to open with yet")
        receive = self._receive
        arrival = _Arrival(path_id, largest_received, cid_length, now)
        data, size = run.data, run.segment_size
        context = arrival.context(self.receive_key_phase)
        opened: list[OpenedPacket | kernel.OpenedTrain | None] = []
        others: list[_Other] = []
        lowest = largest = None
        start = 0
        for result in kernel.open_segments(receive.current, context, data, size):
            if isinstance(result, kernel.OpenedTrain):
                opened.append(result)
                first, count = result.packet_number, len(result.payloads)
            elif isinstance(result, kernel.OpenedPacket):
                _check_reserved_bits(result)
                opened.append(result)
                first, count = result.packet_number, 1
            else:
                if isinstance(result, kernel.OtherPhase):
                    packet = data[start : start + size]
                    others.append(_Other(len(opened), packet, result.packet_number))
                elif result.is_forgery:
                    self.failed_open_count += 1
                opened.append(None)
                start += size
                continue
            start += count * size
            lowest = first if lowest is None else min(lowest, first)
            largest = max(first + count - 1, -1 if largest is None else largest)
        if lowest is not None and largest is not None:
            self._path_numbers(path_id).note_current(lowest, largest)
        if others:
            # Seldom, and then it takes more than these keys.
            packets = [other.packet for other in others]
            fates: list[OpenedPacket | None] = [None] * len(others)
            numbers = [(index, other.packet_number) for index, other in enumerate(others)]
            pending = self._open_others(receive, arrival, packets, numbers, fates)
            self._open_all(receive, arrival, packets, pending, fates)
            for other, fate in zip(others, fates, strict=True):
                opened[other.position] = fate
        self._check_forgeries(receive)
        return opened

    def note_opened(self, path_id: int, lowest: int, largest: int, *, key_phase: int) -> None:
        """Packets were opened by somebody else with what `receive_keys` was in a key phase.

        Raises:
            RemoteProtocolError: they break the order of key phases.
        """
        numbers = self._path_numbers(path_id)
        if key_phase == self.receive_key_phase:
            numbers.note_current(lowest, largest)
        else:
            # A packet of the next phase has come meanwhile, perhaps on another path.
            numbers.note_previous(largest)

    def note_sealed(self, count: int) -> None:
        """Packets were sealed with `send_keys` by somebody else.

        Raises:
            LocalProtocolError: that was more than the keys allow.
            RemoteProtocolError: the keys are nearly used up since no update was possible.
        """
        self._count_sealed(count)

    def on_ack_of_phase(self, key_phase: int, now: Instant) -> None:
        """The peer acknowledged a packet that we sealed in this key phase.

        Raises:
            RemoteProtocolError: the acknowledgment came without a packet of the new phase.
        """
        if key_phase > self.receive_key_phase:
            # RFC 9001 s6.2: an acknowledgment "carried in a packet protected with old keys where
            # any acknowledged packet was protected with newer keys".
            raise RemoteProtocolError(
                TransportErrorCode.KEY_UPDATE_ERROR, "acknowledged new keys without using them"
            )
        if key_phase == self.send_key_phase and self._phase_acknowledged_at is None:
            self._phase_acknowledged_at = now

    def may_initiate_update(self, now: Instant, largest_probe_timeout: float) -> bool:
        """Tell whether an update may start now (RFC 9001 s6.1 and s6.5, RFC 10069 s2.5).

        Args:
            now: the time.
            largest_probe_timeout: largest PTO of all paths.
        """
        if not self._can_update or self._phase_acknowledged_at is None:
            return False
        waited = now - self._phase_acknowledged_at
        # Only an earlier update has to be given time.
        return (
            self.send_key_phase == 0
            or waited >= KEY_RETENTION_PROBE_TIMEOUTS * largest_probe_timeout
        )

    def initiate_update(self, now: Instant) -> None:  # noqa: ARG002 - every command carries the time
        """Seal with new keys from now on.

        Raises:
            LocalProtocolError: the handshake is not confirmed, or the peer is not known to have
                the current keys.
        """
        if not self._can_update:
            raise LocalProtocolError("the current key phase is not acknowledged yet")
        self._update_send(initiated_locally=True)

    def next_timeout(self, largest_probe_timeout: float) -> Instant | None:
        """Return when the keys of the previous phase are to be discarded."""
        if self._receive is None or self._receive.previous is None:
            return None
        retention = KEY_RETENTION_PROBE_TIMEOUTS * largest_probe_timeout
        return Instant(self._receive.promoted_at + retention)

    def handle_timeout(self, now: Instant, largest_probe_timeout: float) -> None:
        """Discard the keys of the previous phase when it is time (RFC 9001 s6.5)."""
        deadline = self.next_timeout(largest_probe_timeout)
        if self._receive is not None and deadline is not None and now >= deadline:
            self._receive.previous = None

    def take_update_events(self) -> list[tuple[int, bool]]:
        """Return (key phase, initiated locally) of the updates since the last call."""
        if not self._update_events:
            return []
        events, self._update_events = self._update_events, []
        return events

    def forget_path(self, path_id: int) -> None:
        """The path is discarded: nothing more will be opened on it."""
        self._numbers.pop(path_id, None)

    def _count_sealed(self, count: int) -> kernel.PacketKeys:
        if self._send is None:
            raise LocalProtocolError("there are no 1-RTT keys to seal with yet")
        self._send.count(count)
        return self._send.keys

    def _header(self, destination_cid: bytes, number_length: int) -> kernel.ShortHeader:
        return kernel.ShortHeader(destination_cid, self.send_key_phase & 1, number_length)

    @property
    def _can_update(self) -> bool:
        return (
            self._is_handshake_confirmed
            and self._phase_acknowledged_at is not None
            and self._send is not None
            and self.receive_key_phase == self.send_key_phase
        )

    def _check_forgeries(self, receive: ReceiveKeys) -> None:
        if self.failed_open_count > receive.integrity_limit:
            # RFC 9001 s6.6: MUST close the connection.
            raise RemoteProtocolError(
                TransportErrorCode.AEAD_LIMIT_REACHED, "too many packets do not authenticate"
            )

    def _open_all(
        self,
        receive: ReceiveKeys,
        arrival: "_Arrival",
        packets: Sequence[bytes],
        pending: Sequence[int],
        opened: list[OpenedPacket | None],
    ) -> None:
        """Open the packets ``pending`` with the current keys, or with neighbours of these."""
        while pending:
            context = arrival.context(self.receive_key_phase)
            results = kernel.open_batch(receive.current, context, [packets[i] for i in pending])
            numbers: list[int] = []
            others: list[tuple[int, int]] = []
            for index, result in zip(pending, results, strict=True):
                if isinstance(result, kernel.OpenedPacket):
                    _check_reserved_bits(result)
                    opened[index] = result
                    numbers.append(result.packet_number)
                elif isinstance(result, kernel.OtherPhase):
                    others.append((index, result.packet_number))
                elif result.is_forgery:
                    self.failed_open_count += 1
            if numbers:
                self._path_numbers(arrival.path_id).note_current(min(numbers), max(numbers))
            # What is left when others have become the current ones is opened with those.
            pending = self._open_others(receive, arrival, packets, others, opened)

    def _open_others(
        self,
        receive: ReceiveKeys,
        arrival: "_Arrival",
        packets: Sequence[bytes],
        others: Sequence[tuple[int, int]],
        opened: list[OpenedPacket | None],
    ) -> Sequence[int]:
        """Open packets of another phase until it takes over.

        Returns:
            The packets that are left over for the keys that took over.
        """
        phase = self.receive_key_phase
        for position, (index, packet_number) in enumerate(others):
            opened[index] = self._open_other_phase(receive, arrival, packets[index], packet_number)
            if self.receive_key_phase != phase:
                return [left for left, _ in others[position + 1 :]]
        return ()

    def _open_other_phase(
        self, receive: ReceiveKeys, arrival: "_Arrival", packet: bytes, packet_number: int
    ) -> OpenedPacket | None:
        numbers = self._path_numbers(arrival.path_id)
        for keys in receive.neighbours(is_late=numbers.is_late(packet_number)):
            context = arrival.context(self.receive_key_phase + 1)
            (result,) = kernel.open_batch(keys, context, [packet])
            if not isinstance(result, kernel.OpenedPacket):
                continue
            _check_reserved_bits(result)
            if keys is receive.next:
                numbers.check_next(result.packet_number)
                self._promote(receive, arrival.now)
                numbers.note_current(result.packet_number, result.packet_number)
            else:
                numbers.note_previous(result.packet_number)
            return result
        self.failed_open_count += 1
        return None

    def _promote(self, receive: ReceiveKeys, now: Instant) -> None:
        """The peer uses the next keys: they become the current ones (RFC 9001 s6.2)."""
        if self.receive_key_phase == self.send_key_phase:
            if self.send_key_phase and self._send is not None and not self._send.sealed_count:
                # RFC 9001 s6.2: updated twice without waiting for a packet of the first update.
                raise RemoteProtocolError(
                    TransportErrorCode.KEY_UPDATE_ERROR, "keys were updated twice in a row"
                )
            self._update_send(initiated_locally=False)
        self.receive_key_phase += 1
        receive.promote(now)
        for numbers in self._numbers.values():
            numbers.begin_phase()

    def _update_send(self, *, initiated_locally: bool) -> None:
        if self._send is not None:
            self._send = SendKeys(self._send.schedule.updated())
        self.send_key_phase += 1
        self._phase_acknowledged_at = None
        self._update_events.append((self.send_key_phase, initiated_locally))

    def _path_numbers(self, path_id: int) -> PathNumbers:
        numbers = self._numbers.get(path_id)
        if numbers is None:
            numbers = self._numbers[path_id] = PathNumbers()
        return numbers


class _Arrival(NamedTuple):
    """Where and when the packets of a batch arrived."""

    path_id: int
    largest_received: int
    cid_length: int
    now: Instant

    def context(self, key_phase: int) -> kernel.ReceiveContext:
        return kernel.ReceiveContext(
            self.path_id, self.largest_received, self.cid_length, key_phase & 1
        )


class _Other(NamedTuple):
    """A packet of a run that belongs to another key phase."""

    position: int
    packet: bytes
    packet_number: int


def _check_reserved_bits(packet: OpenedPacket) -> None:
    # RFC 9000 s17.3.1: non-zero after removing packet and header protection: PROTOCOL_VIOLATION.
    if packet.has_reserved_bits:
        raise RemoteProtocolError(TransportErrorCode.PROTOCOL_VIOLATION, "reserved bits are set")
