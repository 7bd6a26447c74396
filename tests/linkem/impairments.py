"""What a link does to the packets of one direction, as values and as words of the emulator."""

from dataclasses import dataclass

MEGABIT = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstLoss:
    """Gilbert-Elliott: a good and a bad state, changed at random by each packet."""

    to_bad: float
    """Chance to go from good to bad."""
    to_good: float
    """Chance to go from bad to good; its inverse is the mean length of a burst."""
    loss_in_good: float = 0.0
    """Share lost in the good state."""
    loss_in_bad: float = 1.0
    """Share lost in the bad state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoDel:
    """Active queue management of RFC 8289."""

    target: float = 0.005
    """Delay in the queue that is acceptable for good."""
    interval: float = 0.1
    """How long it may be exceeded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Impairments:
    """One direction of a link; the default is a perfect one."""

    bits_per_second: float = 0
    """Rate; 0 is unlimited, and then there is no queue."""
    queue_bytes: int = 256_000
    """What the queue before the transmitter holds."""
    delay: float = 0.0
    """One way."""
    jitter: float = 0.0
    """How far the delay strays up and down."""
    wander: float = 0.02
    """Time in which the jitter moves to a new value; 0 draws one for each packet."""
    may_reorder: bool = False
    """Whether jitter lets packets overtake."""
    loss: float = 0.0
    """Share lost at random."""
    burst: BurstLoss | None = None
    """Loss in bursts."""
    duplicated: float = 0.0
    """Share that arrives twice."""
    codel: CoDel | None = None
    """Queue management; without it the queue is only full or not."""
    overhead_bytes: int = 0
    """What a packet costs on the link on top of its own bytes."""

    def words(self) -> str:
        """The settings as the emulator reads them."""
        burst, codel = "off", "off"
        if self.burst is not None:
            shares = (self.burst.to_bad, self.burst.to_good)
            losses = (self.burst.loss_in_good, self.burst.loss_in_bad)
            burst = ",".join(_percent(share) for share in (*shares, *losses))
        if self.codel is not None:
            codel = f"{_us(self.codel.target)},{_us(self.codel.interval)}"
        return (
            f"rate {self.bits_per_second:.0f} limit {self.queue_bytes}"
            f" overhead {self.overhead_bytes} delay {_us(self.delay)} jitter {_us(self.jitter)}"
            f" wander {_us(self.wander)} reorder {self.may_reorder:d}"
            f" loss {_percent(self.loss)} burst {burst} duplicate {_percent(self.duplicated)}"
            f" codel {codel}"
        )


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.3f}us"


def _percent(share: float) -> str:
    return f"{share * 100:.6f}"
