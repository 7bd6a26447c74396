"""The rules for links while a client runs: they can be changed, and followed."""

from dataclasses import replace

import trio

from mqvpn_core.config import LinkRole
from mqvpn_core.tunnel.link_rules import LinkRules


class RuleBoard:
    """The rules in force.

    A: `rules`, `version`. C: `set_role`, `set_rate_limit`, `set_used_up`. Tasks: `wait_change`.
    """

    def __init__(self, rules: LinkRules) -> None:
        """Begin with the configured rules."""
        self.rules = rules
        """What holds now."""
        self.version = 0
        """Grows with each change."""
        self._configured = dict(rules.roles)
        self._changed = trio.Event()

    def set_role(self, pattern: str, role: LinkRole | None) -> None:
        """Give a link, or all links of a pattern, another role.

        Args:
            pattern: name or pattern of links; what was said last goes first.
            role: the role; None takes back what was said before, down to the configuration.
        """
        others = [(known, kept) for known, kept in self.rules.roles if known != pattern]
        if role is not None:
            roles = [(pattern, role), *others]
        elif pattern in self._configured:
            roles = [*others, (pattern, self._configured[pattern])]
        else:
            roles = others
        self._put(replace(self.rules, roles=tuple(roles)))

    def set_rate_limit(self, pattern: str, bytes_per_second: int | None) -> None:
        """Limit the rate of a link, or of all links of a pattern; None takes the limit away."""
        others = [(known, kept) for known, kept in self.rules.rate_limits if known != pattern]
        mine = [] if bytes_per_second is None else [(pattern, bytes_per_second)]
        self._put(replace(self.rules, rate_limits=(*mine, *others)))

    def set_used_up(self, names: frozenset[str]) -> None:
        """Say whose data cap is reached."""
        self._put(replace(self.rules, used_up=names))

    async def wait_change(self, version: int) -> None:
        """Wait until there is a newer version than this one."""
        while self.version <= version:
            await self._changed.wait()

    def _put(self, rules: LinkRules) -> None:
        if rules != self.rules:
            self.rules = rules
            self.version += 1
            self._changed.set()
            self._changed = trio.Event()
