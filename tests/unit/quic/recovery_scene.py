"""A path that sends, is acknowledged and loses packets."""

from mqvpn_core.ids import Instant
from mqvpn_core.quic.packet_spaces import SentPackets, SentRun
from mqvpn_core.quic.recovery import AckOutcome, PathRecovery

PACKET = 1200


MAX_ACK_DELAY = 0.025


def at(seconds: float) -> Instant:
    return Instant(seconds)


class Sender:
    """A path ID and its network path, without a network."""

    def __init__(self, *, generation: int = 0, congestion: str = "newreno") -> None:
        self.sent = SentPackets()
        self.congestion_name = congestion
        self.recovery = self.new_recovery(generation)

    def new_recovery(self, generation: int) -> PathRecovery:
        return PathRecovery(
            generation=generation,
            congestion=self.congestion_name,
            max_datagram_size=PACKET,
            initial_rtt=0.333,
            max_ack_delay=MAX_ACK_DELAY,
        )

    def send(
        self,
        now: float,
        count: int = 1,
        *,
        size: int = PACKET,
        eliciting: bool = True,
        mtu_probe: int = 0,
    ) -> SentRun:
        run = SentRun(
            first=self.sent.reserve(count),
            count=count,
            sent_at=at(now),
            packet_bytes=size,
            total_bytes=size * count,
            ack_eliciting=eliciting,
            in_flight=eliciting,
            generation=self.recovery.generation,
            is_probe_of_mtu=mtu_probe,
        )
        self.sent.record(run)
        self.recovery.on_run_sent(run, at(now))
        return run

    def ack(
        self,
        now: float,
        *ranges: tuple[int, int],
        delay: float = 0.0,
        ecn: tuple[int, int, int] | None = None,
    ) -> AckOutcome:
        return self.recovery.on_ack(self.sent, ranges, delay, ecn, at(now))

    def next_timeout(self) -> float | None:
        return self.recovery.next_timeout(self.sent, handshake_confirmed=True)


def numbers(runs: list[SentRun]) -> list[int]:
    return [number for run in runs for number in range(run.first, run.stop)]
