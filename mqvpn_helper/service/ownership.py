"""Whose tunnel it is, and what follows from that for who may see and do what."""

from mqvpn_helper.interface.bus_interface import Method
from mqvpn_helper.interface.bus_names import PolkitAction
from mqvpn_helper.service.calls import Caller

ROOT = 0
"""May see everything."""


class Ownership:
    """One tunnel at a time has an owner; its last owner may still read what became of it.

    A kill switch that blocks although there is no tunnel still belongs to the last owner: he has
    not said that he wants traffic outside.

    A: `owner`, `last_owner`, `may_see`, `required_action`. C: `take`, `leave`, `inherit`.
    """

    def __init__(self) -> None:
        """Start without a tunnel."""
        self._owner: int | None = None
        self._last_owner: int | None = None
        self.is_blocking = False
        """A kill switch is in force without a tunnel."""

    @property
    def owner(self) -> int | None:
        """User whose tunnel it is; None: there is no tunnel."""
        return self._owner

    @property
    def last_owner(self) -> int | None:
        """User whose tunnel it is, or was; None: there was none."""
        return self._last_owner

    def take(self, uid: int) -> None:
        """There is a tunnel of this user now."""
        assert self._owner is None
        self._owner = self._last_owner = uid

    def leave(self) -> None:
        """There is no tunnel any more."""
        self._owner = None

    def inherit(self, uid: int | None) -> None:
        """The last tunnel, of a helper that is gone, was this user's."""
        self._last_owner = uid

    def may_see(self, uid: int) -> bool:
        """Return whether a user may see what is private."""
        return uid in (ROOT, self._last_owner)

    def required_action(self, method: Method, caller: Caller) -> PolkitAction | None:
        """Return what the caller must be allowed to call this method now."""
        if method.action is None:
            return None
        owner = self._last_owner if self._owner is None and self.is_blocking else self._owner
        is_owner = caller.uid == owner
        if method.is_free_for_owner and (is_owner or self._is_reading_own(method, caller)):
            return None
        is_guarded = method.is_guarded_from_others or self._owner is None
        if owner is not None and not is_owner and is_guarded:
            return PolkitAction.OTHERS
        return method.action

    def _is_reading_own(self, method: Method, caller: Caller) -> bool:
        """Reading needs no tunnel that is up, only one that was one's own."""
        return method.action is PolkitAction.OTHERS and caller.uid == self._last_owner
