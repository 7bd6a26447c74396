"""What is looked at when something does not work, and the report about it.

The helper's report is untrusted and may be of another version.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mqvpn_gui.model.plain_text import plain

MAX_REPORT_BYTES = 4 << 20
"""Longest report that is read."""

_MAX_LEFTOVERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check."""

    subject: str
    """What was looked at, as the report names it; the same in every language."""
    name: str
    """The same for the user."""
    is_good: bool | None
    """Whether it is in order; None: it could not be looked at, or does not matter now."""
    text: str = ""
    """What was found."""
    advice: str = ""
    """What to do; empty: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """What the helper's report says of the machine."""

    has_tun: bool | None = None
    """The kernel has TUN devices; None: not known, as below."""
    has_nft: bool | None = None
    """The program of nftables is installed."""
    journals: tuple[str, ...] | None = None
    """TUN devices that something on the machine was changed for."""


def facts_from(report: bytes) -> MachineFacts:
    """Read the helper's report; what is not right in it counts as missing."""
    found = _parsed(report)
    machine = found.get("machine") if isinstance(found, Mapping) else None
    if not isinstance(machine, Mapping):
        return MachineFacts()
    has_tun, has_nft, journal = (machine.get(name) for name in ("has_tun", "has_nft", "journal"))
    return MachineFacts(
        has_tun=has_tun if isinstance(has_tun, bool) else None,
        has_nft=has_nft if isinstance(has_nft, bool) else None,
        journals=(
            tuple(plain(each, 32) for each in journal[:_MAX_LEFTOVERS])
            if isinstance(journal, list)
            else None
        ),
    )


def pretty_report(checks: Sequence[Check], window: Mapping[str, str], report: bytes | None) -> str:
    """Return everything as it can be read and sent to somebody.

    Args:
        checks: results; what they say in words may name somebody and is left out.
        window: facts about this program.
        report: the helper's; None: there is none.
    """
    parts: dict[str, object] = {
        "checks": [{"subject": each.subject, "in_order": each.is_good} for each in checks],
        "window": dict(window),
    }
    if report is not None:
        parsed = _parsed(report)
        text = report[:MAX_REPORT_BYTES].decode("utf-8", errors="replace")
        parts["helper"] = text if parsed is None else parsed
    return json.dumps(parts, indent=2, ensure_ascii=False)


def _parsed(report: bytes) -> object:
    """What is in the JSON; None when it is none."""
    try:
        return json.loads(report[:MAX_REPORT_BYTES])
    except (ValueError, RecursionError):
        return None
