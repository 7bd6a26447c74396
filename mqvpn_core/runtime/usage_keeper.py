"""Counts what goes over each link, keeps it over restarts, and enforces data caps.

Counted at the sockets, with IP and UDP headers: handshakes and lost connections cost money, too.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import trio

from mqvpn_core.config.quantities import size_text
from mqvpn_core.errors import HostError
from mqvpn_core.runtime.rule_board import RuleBoard
from mqvpn_core.runtime.state_files import members_of, read_json, replace_file
from mqvpn_core.tunnel.link_usage import Usage, add_usage, cap_standings

INTERVAL = 1.0
"""Seconds between two looks at the counters: what a cap may be exceeded by."""
SAVE_INTERVAL = 60.0
"""Seconds between two writes of the file."""

_VERSION = 1
_MAX_FILE_BYTES = 1 << 20
_MAX_COUNT = 1 << 62
_IPV4_AND_UDP_HEADERS = 28
_IPV6_AND_UDP_HEADERS = 48
_log = logging.getLogger(__name__)


class Counters(Protocol):
    """What a socket counts."""

    @property
    def received_count(self) -> int:
        """UDP datagrams received."""

    @property
    def received_bytes(self) -> int:
        """Their payload."""

    @property
    def sent_count(self) -> int:
        """UDP datagrams sent."""

    @property
    def sent_bytes(self) -> int:
        """Their payload."""


class CountingSocket(Protocol):
    """What is read of a socket."""

    @property
    def counters(self) -> Counters:
        """What went through so far."""

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will go through."""


@dataclass(slots=True)
class _Meter:
    link: str
    socket: CountingSocket
    header_bytes: int
    seen_bytes: int = 0

    def take(self) -> int:
        """Return what went through since the last time, in bytes of IP packets."""
        counters = self.socket.counters
        packets = counters.received_count + counters.sent_count
        total = counters.received_bytes + counters.sent_bytes + packets * self.header_bytes
        taken, self.seen_bytes = total - self.seen_bytes, total
        return taken


async def _replace_in_thread(path: Path, data: bytes) -> None:
    await trio.to_thread.run_sync(replace_file, path, data)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSettings:
    """What a usage keeper is told."""

    file: Path | None
    """Where usage is kept; None keeps it in memory."""
    caps: tuple[tuple[str, int], ...] = ()
    """Bytes a month by name or pattern of the link."""
    warn_percent: int = 80
    """Share of a cap at which to warn."""
    month: Callable[[], str] = field(kw_only=True)
    """Returns the present month, ``YYYY-MM``."""
    save: Callable[[Path, bytes], Awaitable[None]] = _replace_in_thread
    """Replaces the file; raises OSError."""


class UsageKeeper:
    """Usage of all links.

    A: `usage`, `caps`. C: `load`, `adopt`, `count`, `watch`, `set_cap`. Tasks: `run`.
    """

    def __init__(self, settings: UsageSettings, board: RuleBoard) -> None:
        """Prepare.

        Args:
            settings: where and how much.
            board: told which links are used up.
        """
        self.usage = Usage()
        """What every link has carried this month."""
        self.caps = settings.caps
        """Caps in force, by name or pattern."""
        self._settings = settings
        self._board = board
        self._meters: list[_Meter] = []
        self._warned: set[tuple[str, str, bool]] = set()
        self._saved = Usage()

    def load(self) -> None:
        """Take the usage of earlier runs.

        A damaged file, or one of a newer version, costs the count of this month, which is no reason
        not to start: it is reported, and replaced.

        Raises:
            HostError: the file cannot be read.
        """
        path = self._settings.file
        if path is None:
            return
        try:
            document = read_json(path, _MAX_FILE_BYTES)
            usage = _decode(members_of(path, document, _VERSION))
        except FileNotFoundError:
            return
        except ValueError as error:
            _log.warning("usage file %s cannot be used (%s): counting begins anew", path, error)
            return
        except OSError as error:
            raise HostError(
                f"usage file {path}: {error.strerror}; choose another one with --usage-file PATH,"
                " or none with --usage-file off"
            ) from error
        self.usage = self._saved = usage

    def adopt(self, usage: Usage) -> None:
        """Take the usage of earlier runs from somebody who has kept it; ours is added to it."""
        if usage.month == self.usage.month or not self.usage.month:
            self.usage = add_usage(usage, usage.month, self.usage.bytes_by_link)
        self._count()

    def count(self) -> None:
        """Bring the usage up to date at once."""
        self._count()

    def watch(self, link: str, socket: CountingSocket, *, is_ipv6: bool) -> None:
        """Count what goes through a socket of a link until it is closed."""
        header = _IPV6_AND_UDP_HEADERS if is_ipv6 else _IPV4_AND_UDP_HEADERS
        self._meters.append(_Meter(link, socket, header))

    def set_cap(self, pattern: str, cap_bytes: int | None) -> None:
        """Change the cap of a link, or of all links of a pattern; None takes it away."""
        others = [(known, cap) for known, cap in self.caps if known != pattern]
        mine = [] if cap_bytes is None else [(pattern, cap_bytes)]
        self.caps = (*mine, *others)
        self._warned.clear()
        self._count()

    async def run(self) -> None:
        """Count, enforce and save until cancelled; then save a last time."""
        saved_at = trio.current_time()
        try:
            while True:
                used_up = self._board.rules.used_up
                self._count()
                is_urgent = self._board.rules.used_up != used_up
                if is_urgent or trio.current_time() >= saved_at + SAVE_INTERVAL:
                    saved_at = trio.current_time()
                    await self._save()
                await trio.sleep(INTERVAL)
        finally:
            self._count()
            with trio.CancelScope(shield=True):
                await self._save()

    def _count(self) -> None:
        more: dict[str, int] = {}
        for meter in self._meters:
            more[meter.link] = more.get(meter.link, 0) + meter.take()
        self._meters = [meter for meter in self._meters if not meter.socket.is_closed]
        self.usage = add_usage(self.usage, self._settings.month(), more)
        used_up = self._links_used_up()
        self._warn()
        self._board.set_used_up(used_up)

    def _links_used_up(self) -> frozenset[str]:
        standings = cap_standings(self.usage, self.caps)
        return frozenset(standing.link for standing in standings if standing.is_reached)

    def _warn(self) -> None:
        percent = self._settings.warn_percent
        for standing in cap_standings(self.usage, self.caps):
            warning = (standing.link, self.usage.month, standing.is_reached)
            if not standing.exceeds(percent) or warning in self._warned:
                continue
            self._warned.add(warning)
            cap = size_text(standing.cap_bytes)
            if standing.is_reached:
                _log.warning(
                    "%s has carried its %s of this month and is not used any more",
                    standing.link,
                    cap,
                )
            else:
                _log.warning("%s has carried %d %% of its %s a month", standing.link, percent, cap)

    async def _save(self) -> None:
        path = self._settings.file
        if path is None or self.usage == self._saved:
            return
        usage = self.usage
        try:
            await self._settings.save(path, _encode(usage))
        except OSError as error:
            _log.warning("usage file %s: %s; caps may count wrong after a restart", path, error)
        else:
            self._saved = usage


def _encode(usage: Usage) -> bytes:
    document = {
        "version": _VERSION,
        "month": usage.month,
        "bytes": {link: usage.bytes_by_link[link] for link in sorted(usage.bytes_by_link)},
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def _decode(document: Mapping[str, object]) -> Usage:
    """Read what `_encode` wrote; raises ValueError."""
    month, counts = document.get("month"), document.get("bytes")
    if not isinstance(month, str) or not isinstance(counts, dict):
        raise ValueError("no month or no bytes")  # noqa: TRY004 - the caller asks for one kind
    return Usage(month=month, bytes_by_link=MappingProxyType(dict(_counts(counts))))


def _counts(counts: Mapping[object, object]) -> Iterable[tuple[str, int]]:
    for link, count in counts.items():
        is_number = isinstance(count, int) and not isinstance(count, bool)
        if not isinstance(link, str) or not isinstance(count, int) or not is_number:
            raise ValueError("a count is no number")
        if not 0 <= count < _MAX_COUNT:
            raise ValueError("a count is out of range")
        yield link, count
