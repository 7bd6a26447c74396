"""Whether a caller may: asks polkit, with the caller's bus name as the subject, never a process ID.

root is not asked about. Where there is no polkit, root alone may change anything.
"""

import enum
import logging
from itertools import count
from typing import Protocol

import trio
from jeepney import DBusAddress, new_method_call

from mqvpn_helper.interface.bus_names import PolkitAction
from mqvpn_helper.service.bus_link import BusLink, BusReplyError

_log = logging.getLogger(__name__)

_POLKIT = DBusAddress(
    "/org/freedesktop/PolicyKit1/Authority",
    bus_name="org.freedesktop.PolicyKit1",
    interface="org.freedesktop.PolicyKit1.Authority",
)
_ALLOW_USER_INTERACTION = 1
_SECONDS = 25
_INTERACTIVE_SECONDS = 180
_ROOT = 0


class Verdict(enum.Enum):
    """What the authority says."""

    GRANTED = "granted"
    """Yes."""
    DENIED = "denied"
    """No, and nothing would change that."""
    CHALLENGE = "challenge"
    """Only after the user has proved something, which the caller did not allow to ask for."""
    REFUSED = "refused"
    """No, after the user may have been asked: polkit does not say which of the two it was."""
    UNANSWERED = "unanswered"
    """The user was asked and did not answer, or there is nothing to ask with."""
    UNAVAILABLE = "unavailable"
    """There is nobody to ask."""


class Authority(Protocol):
    """Decides who may do what."""

    async def check(
        self, sender: str, uid: int, action: PolkitAction, *, is_interactive: bool
    ) -> Verdict:
        """Return whether a caller may do something.

        Args:
            sender: its name on the bus.
            uid: its user.
            action: what it wants to do.
            is_interactive: the user may be asked for a password meanwhile.
        """


class PolkitAuthority:
    """The real one."""

    def __init__(self, bus: BusLink) -> None:
        """Take the bus that polkit is on."""
        self._bus = bus
        self._numbers = count(1)

    async def check(
        self, sender: str, uid: int, action: PolkitAction, *, is_interactive: bool
    ) -> Verdict:
        """Return what polkit says."""
        if uid == _ROOT:
            return Verdict.GRANTED
        cancellation_id = f"mqvpn-{next(self._numbers)}"
        seconds = _INTERACTIVE_SECONDS if is_interactive else _SECONDS
        verdict = Verdict.UNANSWERED
        with trio.move_on_after(seconds) as patience:
            try:
                verdict = await self._ask(sender, action, cancellation_id, is_interactive)
            except BusReplyError as error:
                _log.warning("polkit does not answer: %s", error)
                return Verdict.UNAVAILABLE
            except trio.Cancelled:
                self._bus.post(
                    new_method_call(_POLKIT, "CancelCheckAuthorization", "s", (cancellation_id,))
                )
                raise
        return Verdict.UNANSWERED if patience.cancelled_caught else verdict

    async def _ask(
        self, sender: str, action: PolkitAction, cancellation_id: str, is_interactive: bool
    ) -> Verdict:
        subject = ("system-bus-name", {"name": ("s", sender)})
        flags = _ALLOW_USER_INTERACTION if is_interactive else 0
        (result,) = await self._bus.call(
            new_method_call(
                _POLKIT,
                "CheckAuthorization",
                "(sa{sv})sa{ss}us",
                (subject, action.value, {}, flags, cancellation_id),
            )
        )
        assert isinstance(result, tuple)
        is_authorized, is_challenge, details = result
        if is_authorized:
            return Verdict.GRANTED
        if is_challenge:
            return Verdict.UNANSWERED if is_interactive else Verdict.CHALLENGE
        if "polkit.dismissed" in details:
            return Verdict.UNANSWERED
        return Verdict.REFUSED if is_interactive else Verdict.DENIED
