"""How much each link has carried in a calendar month, and what that means for data caps. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from mqvpn_core.tunnel.link_rules import value_for

_PERCENT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Bytes by link in one month."""

    month: str = ""
    """The month, ``YYYY-MM``; empty before anything was counted."""
    bytes_by_link: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """IP packets in both directions, by name of the link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapStanding:
    """Where a link stands with its cap."""

    link: str
    """Name of the link."""
    used_bytes: int
    """What it has carried this month."""
    cap_bytes: int
    """What it may carry."""

    @property
    def is_reached(self) -> bool:
        """Whether nothing more may go over it."""
        return self.used_bytes >= self.cap_bytes

    def exceeds(self, percent: int) -> bool:
        """Tell whether a share of the cap is used."""
        return self.used_bytes * _PERCENT >= self.cap_bytes * percent


def add_usage(usage: Usage, month: str, more: Mapping[str, int]) -> Usage:
    """Return usage with more bytes in it; a new month begins at zero."""
    counted = dict(usage.bytes_by_link) if usage.month == month else {}
    for link, count in more.items():
        counted[link] = counted.get(link, 0) + count
    return Usage(month=month, bytes_by_link=MappingProxyType(counted))


def cap_of(link: str, caps: Iterable[tuple[str, int]]) -> int:
    """Return what a link may carry in a month, in bytes; 0 when it has no cap."""
    return value_for(tuple(caps), link) or 0


def cap_standings(usage: Usage, caps: Iterable[tuple[str, int]]) -> tuple[CapStanding, ...]:
    """Return where every link stands that has a cap and has carried something."""
    known = tuple(caps)
    return tuple(
        CapStanding(link=link, used_bytes=used, cap_bytes=cap)
        for link, used in sorted(usage.bytes_by_link.items())
        if (cap := value_for(known, link)) is not None
    )
