"""Changes that the user makes to his links while the client runs."""

import logging
from collections.abc import Callable
from typing import TypeVar

from mqvpn_core.config import LinkRole
from mqvpn_core.config.parsing import choice, link_name, optional
from mqvpn_core.config.quantities import rate, size
from mqvpn_core.errors import ConfigError
from mqvpn_core.runtime.control_codec import SetLinkRequest
from mqvpn_core.runtime.link_changes import DEFAULT_ROLE, LinkChanges
from mqvpn_core.runtime.rule_board import RuleBoard
from mqvpn_core.runtime.usage_keeper import UsageKeeper

NO_LIMIT = "none"
"""In place of an amount or a rate."""

_log = logging.getLogger(__name__)

T = TypeVar("T")


class LinkControl:
    """Carries out what is asked over the control socket. C: `restore`, `set_link`. Tasks: `run`."""

    def __init__(self, board: RuleBoard, usage: UsageKeeper, changes: LinkChanges) -> None:
        """Change these rules and caps, and have that remembered."""
        self._board = board
        self._usage = usage
        self._changes = changes

    def restore(self) -> None:
        """Carry out again what was asked for in earlier runs."""
        self._changes.load()
        for request in self._changes.requests:
            try:
                self._carry_out(request)
            except ConfigError as error:
                _log.warning("an earlier change of %s does not count: %s", request.link, error)

    async def run(self) -> None:
        """Keep what is changed over restarts, until cancelled."""
        await self._changes.run()

    def set_link(self, request: SetLinkRequest) -> None:
        """Change what is asked for, or nothing at all.

        Raises:
            ConfigError: a value is not allowed.
        """
        self._carry_out(request)
        self._changes.note(request)

    def _carry_out(self, request: SetLinkRequest) -> None:
        check_request(request)
        name = request.link
        if request.role is not None:
            self._board.set_role(name, _role(request.role))
        if request.cap is not None:
            self._usage.set_cap(name, _cap(request.cap))
        if request.rate_limit is not None:
            self._board.set_rate_limit(name, _rate_limit(request.rate_limit))


def check_request(request: SetLinkRequest) -> None:
    """Refuse a request that cannot be carried out.

    Raises:
        ConfigError: a value is not allowed, or there is none.
    """
    link_name(request.link)
    given = (
        _is_given(request.role, _role),
        _is_given(request.cap, _cap),
        _is_given(request.rate_limit, _rate_limit),
    )
    if not any(given):
        raise ConfigError("nothing to change: give a role, a cap or a rate limit")


def _is_given(text: str | None, parse: Callable[[str], T]) -> bool:
    if text is None:
        return False
    parse(text)
    return True


_role = optional(choice(LinkRole), DEFAULT_ROLE)
_cap = optional(size, NO_LIMIT)
_rate_limit = optional(rate, NO_LIMIT)
