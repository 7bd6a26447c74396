"""What the next helper needs to have a tunnel again, should this one die or be started anew.

It is written before anything of the tunnel is in force, follows every change of the user's wishes,
and is gone as soon as the user, or an error, has ended the tunnel. A tunnel that is tied to a
program is not remembered: that program brings it up again, or is gone.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import trio
from typing_extensions import override

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.private_files import read_file, replace_file
from mqvpn_helper.host.process_identity import current_netns
from mqvpn_helper.host.wish_files import WishFiles, find_wishes
from mqvpn_helper.interface.control_packets import LINK
from mqvpn_helper.interface.host_plan import KillSwitchMode
from mqvpn_helper.interface.members import MemberError, MemberReader
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.interface.tunnel_settings import PathPolicy
from mqvpn_helper.session.secret_copy import SecretCopy
from mqvpn_helper.session.secret_shelf import SecretShelf

_LOGGER = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
"""How often a tunnel is brought up again that never worked in between: it may be what kills us."""
_VERSION = 1
_MAX_FILE_BYTES = 1 << 20
_MAX_UID = (1 << 32) - 2
_MAX_POLICIES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user wants, later changes included."""

    profile: Profile
    """The tunnel."""
    policies: tuple[tuple[str, PathPolicy], ...] = ()
    """What interfaces are used for, by name, beside what the profile says."""

    def with_policy(self, interface: str, policy: PathPolicy) -> "Wish":
        """Return the same with another use of an interface.

        Args:
            interface: its name, or a pattern.
            policy: what is wanted of it; what it does not say stays as it was.
        """
        policies = dict(self.policies)
        before = policies.get(interface, PathPolicy())
        policies[interface] = PathPolicy(
            role=policy.role if policy.role is not None else before.role,
            cap_bytes=policy.cap_bytes if policy.cap_bytes is not None else before.cap_bytes,
            rate_limit=policy.rate_limit if policy.rate_limit is not None else before.rate_limit,
        )
        return replace(self, policies=tuple(policies.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedTunnel:
    """A tunnel that is to be: somebody asks for it, or an earlier helper had it when it ended."""

    wish: Wish
    """What its user wants."""
    owner: int
    """That user."""
    secret: int | None
    """Where the secret can be read, whoever takes this closes it; None: it is lost."""
    attempts: int = 0
    """How often it has been brought up again without working in between, this time included."""


class TunnelMemory(Protocol):
    """The memory of one session; what goes wrong there is logged, never raised."""

    async def keep(self, wish: Wish, *, has_worked: bool) -> None:
        """Remember what is wanted from now on, and whether this tunnel has ever worked."""

    async def keep_secret(self, secret: SecretCopy) -> None:
        """Remember the secret, in place of an earlier one."""

    async def forget(self) -> None:
        """Forget everything: nobody wants this tunnel any more."""


class StoredMemory(TunnelMemory):
    """The memory on disk, which is in memory where ``/run`` is, and on the shelf for secrets."""

    def __init__(self, files: WishFiles, shelf: SecretShelf, wanted: WantedTunnel) -> None:
        """Name the places.

        Args:
            files: where the wish is.
            shelf: where the secret is.
            wanted: the tunnel.
        """
        self._files = files
        self._shelf = shelf
        self._owner = wanted.owner
        self._attempts = wanted.attempts
        self._is_tied = wanted.wish.profile.tied

    @override
    async def keep(self, wish: Wish, *, has_worked: bool) -> None:
        if has_worked:
            self._attempts = 0
        data = _encode(wish, self._owner, self._attempts)
        await _in_thread(self._forget_all if self._is_tied else lambda: self._write(data))

    @override
    async def keep_secret(self, secret: SecretCopy) -> None:
        fd = secret.fileno()
        if not self._is_tied:
            await _in_thread(lambda: self._shelf.put(self._files, fd))

    @override
    async def forget(self) -> None:
        await _in_thread(lambda: _forget(self._files, self._shelf))

    def _write(self, data: bytes) -> None:
        replace_file(self._files.wish, data)
        # One tunnel at a time: this one has taken the place of whatever there was.
        for other in self._all_wishes():
            if other.wish != self._files.wish:
                other.forget()

    def _forget_all(self) -> None:
        self._shelf.clear(self._files)
        for each in self._all_wishes():
            each.forget()

    def _all_wishes(self) -> Iterator[WishFiles]:
        return find_wishes(self._files.wish.parent, current_netns())


def memory_of(wanted: WantedTunnel, directory: Path, shelf: SecretShelf) -> TunnelMemory:
    """Return the memory of a tunnel.

    Args:
        wanted: the tunnel.
        directory: where the journal is.
        shelf: where its secret may wait.
    """
    files = WishFiles(directory, wanted.wish.profile.tun_name, current_netns())
    return StoredMemory(files, shelf, wanted)


def recall(directory: Path, shelf: SecretShelf) -> WantedTunnel | None:
    """Return the tunnel of a helper that is gone, if it can be had again.

    Args:
        directory: where the journal is.
        shelf: where the secret may be.
    """
    netns = current_netns()
    try:
        for files in find_wishes(directory, netns):
            found = _recall_one(files, shelf)
            if found is not None:
                return found
    except (OSError, HostChangeError) as error:
        _LOGGER.warning("what an earlier helper wanted cannot be used: %s", error)
    shelf.clear(WishFiles(directory, "none", netns))
    return None


def _recall_one(files: WishFiles, shelf: SecretShelf) -> WantedTunnel | None:
    try:
        wish, owner, attempts = _decode(read_file(files.wish, _MAX_FILE_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        _LOGGER.warning("%s cannot be used: %s", files.wish, error)
        _forget(files, shelf)
        return None
    if attempts >= MAX_ATTEMPTS:
        _LOGGER.warning("a tunnel has come up %d times in vain and is given up", attempts)
        _forget(files, shelf)
        return None
    # On disk before the attempt: it may be what ends this process.
    replace_file(files.wish, _encode(wish, owner, attempts + 1))
    secret = shelf.take(files)
    if secret is None and wish.profile.kill_switch is KillSwitchMode.OFF:
        # Nothing is in force any more, and nothing could be brought up without a question.
        _forget(files, shelf)
        return None
    return WantedTunnel(wish=wish, owner=owner, secret=secret, attempts=attempts + 1)


def _forget(files: WishFiles, shelf: SecretShelf) -> None:
    shelf.clear(files)
    files.forget()


async def _in_thread(write: Callable[[], None]) -> None:
    """Do it to its end, whatever is cancelled meanwhile; a failure only costs a question."""
    try:
        await trio.to_thread.run_sync(write)
    except (OSError, HostChangeError) as error:
        _LOGGER.warning("the next helper will not have this tunnel: %s", error)


def _encode(wish: Wish, owner: int, attempts: int) -> bytes:
    content = {
        "version": _VERSION,
        "owner": owner,
        "attempts": attempts,
        "profile": wish.profile.to_mapping(),
        "policies": {name: policy.to_mapping() for name, policy in wish.policies},
    }
    return json.dumps(content, indent=1).encode("ascii")


def _decode(data: bytes) -> tuple[Wish, int, int]:
    """Read a wish, its owner and the attempts; `ValueError` when it is none."""
    reader = MemberReader(_members(json.loads(data.decode("ascii"))), "wish")
    reader.whole("version", _VERSION, _VERSION)
    owner = reader.whole("owner", 0, _MAX_UID)
    attempts = reader.whole("attempts", 0, MAX_ATTEMPTS)
    profile = Profile.from_mapping(_members(reader.any("profile")))
    policies = reader.table("policies", LINK, _read_policy, count=_MAX_POLICIES)
    reader.finish()
    return Wish(profile=profile, policies=policies), owner, attempts


def _read_policy(reader: MemberReader, name: str) -> PathPolicy:
    return PathPolicy.from_mapping(_members(reader.any(name)))


def _members(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise MemberError("wish: that is no JSON object")
    members: dict[str, object] = value
    return members
