"""Another scheduler while the tunnel runs: what is asked over the control socket, carried out."""

import logging
from collections.abc import Callable
from dataclasses import replace

from mqvpn_core.config import Scheduler, ServerConfig
from mqvpn_core.config.parsing import choice

_log = logging.getLogger(__name__)

scheduler_named = choice(Scheduler)
"""Return the scheduler with a name; raises ConfigError when there is none."""


def switch_scheduler(carry_out: Callable[[Scheduler], None], name: str) -> None:
    """Let packets be spread over paths in another way from now on, until the program ends.

    Args:
        carry_out: does it.
        name: of the scheduler.

    Raises:
        ConfigError: there is no such scheduler.
    """
    scheduler = scheduler_named(name)
    carry_out(scheduler)
    _log.info("packets are spread over paths by the scheduler %s now", scheduler.value)


def with_scheduler(config: ServerConfig, scheduler: Scheduler) -> ServerConfig:
    """Return the settings with another scheduler."""
    return replace(config, quic=replace(config.quic, scheduler=scheduler))
