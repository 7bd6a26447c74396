"""What `benchmarks.throughput` has to show, and whether it did."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.samples import Footprint, Middle, Result, ratio
from benchmarks.tunnels import Way

MAX_COST = {True: 1.1, False: 2.2}
"""Processor seconds a gigabyte and side, over links with offloads and without."""
MIN_SHARE_OF_RAW = 0.2
MAX_RTT_ADDED_US = 250.0
MIN_REFERENCE_MBIT = 200.0
MIN_TWO_PATHS = 0.95
"""Two paths in relation to one: more paths never cost throughput."""

_SIDES = ("client", "server")
_OFFLOADS = (True, False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A bar and what was measured."""

    what: str
    """In words."""
    value: float
    """Measured."""
    limit: float
    """The bar."""
    is_most: bool
    """The bar is an upper one."""

    @property
    def is_met(self) -> bool:
        """Whether the bar is passed."""
        return self.value <= self.limit if self.is_most else self.value >= self.limit

    def text(self) -> str:
        """One line."""
        sign = "<=" if self.is_most else ">="
        word = "passed" if self.is_met else "FAILED"
        return f"{word}  {self.what}: {self.value:.2f} (bar {sign} {self.limit:g})"


def judge(results: Sequence[Result], footprints: Sequence[Footprint]) -> list[Verdict]:
    """Return a verdict for each bar of which there are figures."""
    return [
        *_costs(results),
        *_shares_of_raw(results),
        *_round_trips(footprints),
        *_reference(results),
        *_two_paths(results),
        *_against_wireguard(results),
    ]


def _costs(results: Sequence[Result]) -> Iterator[Verdict]:
    for offloads in _OFFLOADS:
        for result in _one_flow(results, Way(variant="tunnel", kernel="native", offloads=offloads)):
            for side, cost in zip(_SIDES, result.costs, strict=True):
                if cost is not None:
                    yield _at_most(
                        f"CPU-s/GB of the {side}, {_name(result)}", cost, MAX_COST[offloads]
                    )


def _shares_of_raw(results: Sequence[Result]) -> Iterator[Verdict]:
    for offloads in _OFFLOADS:
        native = Way(variant="tunnel", kernel="native", offloads=offloads)
        raw = Way(variant="raw", offloads=offloads)
        for one in _one_flow(results, native):
            for other in _one_flow(results, raw):
                yield from _at_least(f"share of bare veth, {_name(one)}", (one, other))


def _round_trips(footprints: Sequence[Footprint]) -> Iterator[Verdict]:
    for each in footprints:
        if each.way.kernel == "native" and each.way.paths == 1 and each.rtt_added_us is not None:
            yield _at_most(
                f"idle round trip added in us, {each.way.name}", each.rtt_added_us, MAX_RTT_ADDED_US
            )


def _reference(results: Sequence[Result]) -> Iterator[Verdict]:
    for result in _one_flow(results, Way(variant="tunnel", kernel="reference")):
        yield Verdict(
            what=f"Mbit/s, {_name(result)}",
            value=result.mbit.median,
            limit=MIN_REFERENCE_MBIT,
            is_most=False,
        )


def _two_paths(results: Sequence[Result]) -> Iterator[Verdict]:
    for one in results:
        if one.way.paths == 1:
            continue
        single = Way(variant=one.way.variant, kernel=one.way.kernel, offloads=one.way.offloads)
        for other in results:
            if other.way == single and other.load == one.load:
                yield from _at_least(
                    f"two paths in relation to one, {_name(one)}", (one, other), MIN_TWO_PATHS
                )


def _against_wireguard(results: Sequence[Result]) -> Iterator[Verdict]:
    native = Way(variant="tunnel", kernel="native")
    for one in _one_flow(results, native):
        for other in _one_flow(results, Way(variant="wireguard-go")):
            for side, ours, theirs in zip(_SIDES, one.costs, other.costs, strict=True):
                if one.load == other.load and ours is not None and theirs is not None:
                    yield _at_most(
                        f"CPU-s/GB of the {side} against wireguard-go, {_name(one)}",
                        ours,
                        theirs.median,
                    )


def _one_flow(results: Sequence[Result], way: Way) -> Iterator[Result]:
    for result in results:
        if result.way == way and result.load.proto == "tcp" and result.load.flows == 1:
            yield result


def _name(result: Result) -> str:
    return f"{result.way.name} {result.load.name} {result.load.direction}"


def _at_most(what: str, value: Middle, limit: float) -> Verdict:
    return Verdict(what=what, value=value.median, limit=limit, is_most=True)


def _at_least(
    what: str, results: tuple[Result, Result], limit: float = MIN_SHARE_OF_RAW
) -> Iterator[Verdict]:
    if results[0].load == results[1].load and (share := ratio(results)) is not None:
        yield Verdict(what=what, value=share.median, limit=limit, is_most=False)
