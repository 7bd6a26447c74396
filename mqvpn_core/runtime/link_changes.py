"""What the user changed at his links while the client ran, kept over restarts.

The newest word counts: a change holds until it is changed again, or until the configuration says
something else about links than it did when the change was made.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import trio

from mqvpn_core.runtime.control_codec import SetLinkRequest
from mqvpn_core.runtime.state_files import members_of, read_json, replace_file

DEFAULT_ROLE = "default"
"""In place of a role: what the configuration says, or what the link suggests."""

MAX_CHANGES = 256
"""Links and patterns that are remembered; the oldest change goes first."""

_VERSION = 1
_MAX_FILE_BYTES = 1 << 18
_FIELDS = ("role", "cap", "rate_limit")
_log = logging.getLogger(__name__)


async def _replace_in_thread(path: Path, data: bytes) -> None:
    await trio.to_thread.run_sync(replace_file, path, data)


class LinkChanges:
    """The changes in force, oldest first.

    A: `requests`. C: `load`, `note`. Tasks: `run`.
    """

    def __init__(
        self,
        file: Path | None,
        configured: str,
        save: Callable[[Path, bytes], Awaitable[None]] = _replace_in_thread,
    ) -> None:
        """Start without changes.

        Args:
            file: where they are kept; None keeps them in memory.
            configured: all that the configuration says about links, as text to compare.
            save: replaces the file; raises OSError.
        """
        self._file = file
        self._configured = configured
        self._save = save
        self._changes: dict[str, SetLinkRequest] = {}
        self._stirred = trio.Event()

    @property
    def requests(self) -> tuple[SetLinkRequest, ...]:
        """What to ask for again after a restart, in this order."""
        return tuple(self._changes.values())

    def load(self) -> None:
        """Take the changes of earlier runs; a damaged file costs them, but not the start."""
        if self._file is None:
            return
        try:
            document = read_json(self._file, _MAX_FILE_BYTES)
            configured, changes = _decode(members_of(self._file, document, _VERSION))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            _log.warning("file %s: %s; the configuration of links counts", self._file, error)
            return
        if configured != self._configured:
            _log.info("the configuration of links is new: earlier changes by command do not count")
            return
        self._changes = {change.link: change for change in changes}

    def note(self, request: SetLinkRequest) -> None:
        """Remember a change, and have it written soon."""
        old = self._changes.pop(request.link, SetLinkRequest(link=request.link))
        new = replace(
            old,
            role=old.role if request.role is None else request.role,
            cap=old.cap if request.cap is None else request.cap,
            rate_limit=old.rate_limit if request.rate_limit is None else request.rate_limit,
        )
        if new.role == DEFAULT_ROLE:
            new = replace(new, role=None)
        if new != SetLinkRequest(link=request.link):
            self._changes[request.link] = new
        while len(self._changes) > MAX_CHANGES:
            del self._changes[next(iter(self._changes))]
        self._stirred.set()

    async def run(self) -> None:
        """Write what changes until cancelled; then once more if something has changed."""
        try:
            while True:
                await self._stirred.wait()
                self._stirred = trio.Event()
                await self._write()
        finally:
            if self._stirred.is_set():
                with trio.CancelScope(shield=True):
                    await self._write()

    async def _write(self) -> None:
        if self._file is None:
            return
        links = [
            {"link": change.link}
            | {name: text for name in _FIELDS if (text := getattr(change, name)) is not None}
            for change in self._changes.values()
        ]
        document = {"version": _VERSION, "configured": self._configured, "links": links}
        try:
            await self._save(self._file, json.dumps(document, indent=1).encode() + b"\n")
        except OSError as error:
            _log.warning("file %s: %s; changes of links end with this run", self._file, error)


def _decode(document: Mapping[str, object]) -> tuple[str, list[SetLinkRequest]]:
    """Read what `LinkChanges` wrote; raises ValueError."""
    configured, links = document.get("configured"), document.get("links")
    if not isinstance(configured, str) or not isinstance(links, list):
        raise ValueError("no configuration or no links")  # noqa: TRY004 - the caller asks for one kind
    return configured, list(_requests(links))


def _requests(links: list[object]) -> Iterator[SetLinkRequest]:
    for entry in links[:MAX_CHANGES]:
        if not isinstance(entry, dict):
            raise ValueError("a link is no object")  # noqa: TRY004 - as above
        values = [entry.get(name) for name in ("link", *_FIELDS)]
        link, role, cap, rate_limit = (
            value if value is None or isinstance(value, str) else "" for value in values
        )
        if not link or "" in {role, cap, rate_limit}:
            raise ValueError("a link has no name, or a value that is no text")
        yield SetLinkRequest(link=link, role=role, cap=cap, rate_limit=rate_limit)
