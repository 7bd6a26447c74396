"""``mqvpn up``, ``down`` and ``recover``."""

import argparse
import os

from mqvpn_gui.command.context import Context, Helper
from mqvpn_gui.command.exit_codes import ExitCode
from mqvpn_gui.command.following import follow_state
from mqvpn_gui.command.helper_client import BusCallError
from mqvpn_gui.command.keys import ask_for_key, key_of
from mqvpn_gui.command.parsing import UsageError
from mqvpn_gui.command.status_text import status_value
from mqvpn_gui.command.words import state_text
from mqvpn_gui.model.helper_state import OFFLINE, HelperState, merged
from mqvpn_gui.user.errors import HelperError, SecretError, UserError
from mqvpn_gui.user.last_profile import last_profile, remember_profile
from mqvpn_gui.user.profile_text import StoredProfile
from mqvpn_gui.user.secret_pipe import secret_pipe
from mqvpn_gui.user.secret_text import SecretText
from mqvpn_helper.interface.bus_interface import (
    CONNECT,
    DISCONNECT,
    PROVIDE_SECRETS,
    RECOVER,
    SECRETS_NEEDED,
    SUBSCRIBE,
)
from mqvpn_helper.interface.bus_names import BusError, TunnelState
from mqvpn_helper.interface.profile import MEMBER_TYPES

_LOOK = 0.5
_GRACE = 3.0
_MAX_TIMEOUT = 3600.0


def up(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn up``."""
    limit = _seconds(namespace.timeout)
    name = _choose(context, namespace.profile)
    stored = context.profiles.read(name)
    with context.open_helper() as helper:
        state = merged(OFFLINE, helper.properties())
        if state.is_wanted and state.profile == _title(name, stored):
            context.show(f"{name} is up already: {state_text(state)}")
            return ExitCode.OK
        key = None if namespace.no_key else key_of(context, namespace, name)
        with secret_pipe(key) as descriptor:
            helper.call(CONNECT, _variants(name, stored), descriptor)
        remember_profile(name)
        if namespace.no_wait:
            context.show(f"connecting to {stored.settings.server}")
            return ExitCode.OK
        try:
            # Only now: what an earlier tunnel was waiting for is none of our business.
            helper.call(SUBSCRIBE, 0)
            state = _wait(context, helper, name, limit)
        except KeyboardInterrupt:
            helper.call(DISCONNECT)
            context.note("", "interrupted: the tunnel was taken down")
            return ExitCode.TUNNEL
    return _report(context, namespace, state, limit)


def _choose(context: Context, wanted: str | None) -> str:
    """Return the name of the profile to use."""
    names = context.profiles.names()
    if wanted is not None:
        if wanted not in names:
            titles = {context.profiles.read(each).settings.name: each for each in names}
            return titles.get(wanted, wanted)
        return wanted
    if len(names) == 1:
        return names[0]
    last = last_profile()
    if last in names:
        return last
    if not names:
        raise UserError("there is no profile yet", "mqvpn profile import adds one")
    raise UsageError("which server?", f"mqvpn up NAME, where NAME is one of: {', '.join(names)}")


def _title(name: str, stored: StoredProfile) -> str:
    return stored.settings.name or name


def _variants(name: str, stored: StoredProfile) -> dict[str, tuple[str, object]]:
    members = {**stored.settings.to_mapping(), "name": _title(name, stored)}
    return {each: (MEMBER_TYPES[each], value) for each, value in members.items()}


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= _MAX_TIMEOUT:
        raise UsageError("--timeout takes seconds, more than 0 and at most 3600")
    return value


def _wait(context: Context, helper: Helper, name: str, limit: float) -> HelperState:
    """Wait until the tunnel is up, has failed, or the time is over; give the key once more."""
    began = context.monotonic()
    state = merged(OFFLINE, helper.properties())
    has_begun = has_asked = False
    for change in follow_state(helper, state, _LOOK):
        state = change.state
        if change.signal is not None and change.signal.name == SECRETS_NEEDED.name:
            if has_asked or not context.is_interactive:
                raise SecretError(
                    "the server does not accept the key",
                    f"ask who runs it for a new one: mqvpn profile set-key {name}",
                )
            has_asked = True
            context.note("the server does not accept this key")
            _provide(helper, ask_for_key(context, name))
        passed = context.monotonic() - began
        # What was before may be shown for a moment: an old error is not the outcome.
        has_begun = has_begun or state.is_wanted or passed > _GRACE
        if state.carries_traffic or passed > limit or (has_begun and state.state in _FINAL):
            break
    return state


_FINAL = (TunnelState.ERROR, TunnelState.OFF, TunnelState.BLOCKED)


def _provide(helper: Helper, key: SecretText) -> None:
    with secret_pipe(key) as descriptor:
        helper.call(PROVIDE_SECRETS, descriptor)


def _report(
    context: Context, namespace: argparse.Namespace, state: HelperState, limit: float
) -> int:
    if namespace.json:
        context.show_json(status_value(state))
    elif state.carries_traffic:
        addresses = ", ".join(state.addresses)
        context.show(f"connected to {state.server}" + (f" as {addresses}" if addresses else ""))
    if state.carries_traffic:
        return ExitCode.OK
    if state.state in _FINAL:
        name, text = state.error
        context.note(f"error: the tunnel did not come up: {text or name or state_text(state)}")
    else:
        context.note(
            f"not connected after {limit:g} seconds; it goes on trying. 'mqvpn status' shows how,"
            " 'mqvpn down' ends it"
        )
    return ExitCode.TUNNEL


def down(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn down``."""
    with context.open_helper() as helper:
        try:
            helper.call(DISCONNECT)
            text = "disconnected"
        except BusCallError as error:
            if error.kind is not BusError.NOT_CONNECTED:
                raise
            text = "there was no tunnel"
        state = merged(OFFLINE, helper.properties())
    if namespace.json:
        context.show_json(status_value(state))
    else:
        context.show(text)
    if state.state is TunnelState.BLOCKED:
        context.note("the kill switch lets nothing out: 'mqvpn killswitch off' opens it")
    return ExitCode.OK


def recover(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn recover``."""
    question = "End the tunnel, open the kill switch and remove every trace of mqvpn?"
    if context.is_interactive and not namespace.yes and not context.confirm(question):
        raise UsageError("nothing was done")
    try:
        with context.open_helper() as helper:
            helper.call(RECOVER)
    except HelperError as error:
        if os.geteuid() == 0 or isinstance(error, BusCallError):
            raise
        raise type(error)(
            error.problem, f"{error.advice}; or as root: mqvpn-core recover".lstrip("; ")
        ) from None
    text = "the network is as it was without mqvpn"
    context.tell(text, {"recovered": True}, as_json=namespace.json)
    return ExitCode.OK
