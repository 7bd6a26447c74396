"""Checks with an answer in words: what works, what does not, and what to do.

Made from the report of the helper, which is untrusted and may be of another version, and from what
this program knows itself.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mqvpn_gui.model.plain_text import plain

MAX_REPORT_BYTES = 4 << 20
"""Longest report that is read."""

_MAX_CHECKS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check."""

    name: str
    """What was looked at."""
    is_good: bool | None
    """Whether it is in order; None: it could not be looked at."""
    text: str = ""
    """What was found."""
    advice: str = ""
    """What to do; empty: nothing."""


def checks_from(report: bytes) -> list[Check]:
    """Read the checks of the helper's report; a report without any gives one that says so."""
    try:
        found = json.loads(report)
    except (ValueError, RecursionError):
        return [Check(name="report", is_good=False, text="the helper's report cannot be read")]
    listed = found.get("checks") if isinstance(found, Mapping) else None
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        return [Check(name="report", is_good=None, text="the helper's report has no checks")]
    return [_check_from(each) for each in listed[:_MAX_CHECKS] if isinstance(each, Mapping)]


def _check_from(given: Mapping[str, object]) -> Check:
    good = given.get("ok")
    return Check(
        name=plain(given.get("name"), 60),
        is_good=good if isinstance(good, bool) else None,
        text=plain(given.get("text")),
        advice=plain(given.get("advice")),
    )


def pretty_report(report: bytes) -> str:
    """The report as it can be read and sent to somebody, indented; as it is when it is no JSON."""
    text = report[:MAX_REPORT_BYTES].decode("utf-8", errors="replace")
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False, sort_keys=True)
    except (ValueError, RecursionError):
        return text
