"""The state of the tunnel as it changes."""

from collections.abc import Iterator
from dataclasses import dataclass

from mqvpn_gui.command.context import Helper
from mqvpn_gui.command.helper_client import HelperSignal
from mqvpn_gui.model.helper_state import OFFLINE, HelperState, merged, with_statistics
from mqvpn_gui.user.errors import HelperError
from mqvpn_helper.interface.bus_interface import STATS, SUBSCRIBE
from mqvpn_helper.interface.bus_names import INTERFACE_NAME, TunnelState


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One step."""

    state: HelperState
    """The state after it."""
    signal: HelperSignal | None
    """What brought it; None: nothing came for a while."""


def follow_state(
    helper: Helper, state: HelperState, patience: float, interval_ms: int = 0
) -> Iterator[Change]:
    """Give the state after each signal, and once each ``patience`` seconds without one.

    A helper that is gone while somebody wants something of it is started again: the next one brings
    the tunnel up again.

    Args:
        helper: whose signals; subscribed already.
        state: what is known.
        patience: seconds.
        interval_ms: what it was subscribed with.

    Raises:
        HelperError: the helper is gone, and nobody needs it or it cannot be started.
    """
    yield Change(state=state, signal=None)
    while True:
        for signal in helper.signals(patience):
            state = _applied(state, signal)
            yield Change(state=state, signal=signal)
        if helper.is_helper_gone:
            if state.state in (TunnelState.OFF, TunnelState.ERROR):
                raise HelperError("the helper has ended", "'mqvpn status' starts it again")
            helper.find()
            helper.call(SUBSCRIBE, interval_ms)
        # A signal that was lost must not leave a wrong state on the screen for ever.
        state = merged(OFFLINE, helper.properties())
        yield Change(state=state, signal=None)


def _applied(state: HelperState, signal: HelperSignal) -> HelperState:
    match signal.name, signal.values:
        case "PropertiesChanged", (str(interface), dict(changed), *_):
            return merged(state, changed) if interface == INTERFACE_NAME else state
        case STATS.name, (_, paths):
            return with_statistics(state, paths)
        case _:
            return state
