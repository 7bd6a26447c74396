"""Whose tunnel it is, and what follows from that for who may see and do what."""

from mqvpn_helper.interface.bus_interface import Method
from mqvpn_helper.interface.bus_names import PolkitAction
from mqvpn_helper.service.calls import Caller

ROOT = 0
"""May see everything."""


class Ownership:
    """One tunnel at a time has an owner; its last owner may still read what became of it.

    A: `owner`, `may_see`, `required_action`. C: `take`, `leave`.
    """

    def __init__(self) -> None:
        """Start without a tunnel."""
        self._owner: int | None = None
        self._last_owner: int | None = None

    @property
    def owner(self) -> int | None:
        """User whose tunnel it is; None: there is no tunnel."""
        return self._owner

    def take(self, uid: int) -> None:
        """There is a tunnel of this user now."""
        assert self._owner is None
        self._owner = self._last_owner = uid

    def leave(self) -> None:
        """There is no tunnel any more."""
        self._owner = None

    def may_see(self, uid: int) -> bool:
        """Return whether a user may see what is private."""
        return uid in (ROOT, self._last_owner)

    def required_action(self, method: Method, caller: Caller) -> PolkitAction | None:
        """Return what the caller must be allowed to call this method now."""
        if method.action is None:
            return None
        is_owner = caller.uid == self._owner
        if method.is_free_for_owner and (is_owner or self._is_reading_own(method, caller)):
            return None
        is_foreign = self._owner is not None and not is_owner
        if method.is_guarded_from_others and is_foreign:
            return PolkitAction.OTHERS
        return method.action

    def _is_reading_own(self, method: Method, caller: Caller) -> bool:
        """Reading needs no tunnel that is up, only one that was one's own."""
        return method.action is PolkitAction.OTHERS and caller.uid == self._last_owner
