"""A profile as a file: TOML with the keys of mqvpn-core's own configuration, without any secret.

Only what differs from the defaults is written. Amounts are written as people write them and read
in either form, text or number of bytes.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mqvpn_gui.user.errors import ProfileError
from mqvpn_gui.user.quantities import parse_rate, parse_size, write_rate, write_size
from mqvpn_gui.user.toml_text import write_toml
from mqvpn_helper.interface.invite_link import InviteLink, InviteLinkError
from mqvpn_helper.interface.members import MemberError
from mqvpn_helper.interface.profile import Profile

MAX_PROFILE_BYTES = 65536
"""Largest profile file."""

_USER = "user"
_SECRETS = frozenset({"auth_key", "auth_key_file", "key", "password"})
_HEADING = "# A server of mqvpn; the key is in the keyring, not here. See: mqvpn profile --help\n"
_AMOUNTS: Mapping[str, tuple[Callable[[str], int], Callable[[int], str]]] = MappingProxyType(
    {"caps": (parse_size, write_size), "rate_limits": (parse_rate, write_rate)}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProfile:
    """A profile as the user keeps it."""

    settings: Profile
    """What the helper is asked for."""
    user: str = ""
    """Whom the server invited; for people, and for links to share."""

    @property
    def title(self) -> str:
        """What to call it in a sentence."""
        return self.settings.name or self.settings.server


def write_profile(stored: StoredProfile) -> str:
    """Return the text of a profile's file."""
    members: dict[str, object] = dict(stored.settings.to_mapping())
    defaults = Profile(host="unused.invalid").to_mapping()
    shown = {
        name: value
        for name, value in members.items()
        if name == "server" or value != defaults[name]
    }
    for name, (_, write) in _AMOUNTS.items():
        table = shown.get(name)
        if isinstance(table, Mapping):
            shown[name] = {link: write(count) for link, count in table.items()}
    if stored.user:
        shown[_USER] = stored.user
    return _HEADING + write_toml(shown)


def read_profile(text: str) -> StoredProfile:
    """Read the text of a profile's file.

    Raises:
        ProfileError: it is not a profile; the message says which key is wrong.
    """
    if len(text) > MAX_PROFILE_BYTES:
        raise ProfileError(f"a profile has at most {MAX_PROFILE_BYTES} bytes")
    try:
        members: dict[str, object] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        problem = f"{error}".splitlines()[0][:120] if str(error) else "too deep"
        raise ProfileError(f"not valid TOML: {problem}") from None
    for name in members:
        if name in _SECRETS:
            raise ProfileError(
                f"{name} must not stand in a profile", "take it out; mqvpn profile set-key keeps it"
            )
    return profile_from_members(members)


def profile_from_members(members: Mapping[str, object]) -> StoredProfile:
    """Check the members of a profile: those that the helper takes, ``user``, and amounts as text.

    Raises:
        ProfileError: something is wrong with them.
    """
    given = dict(members)
    user = given.pop(_USER, "")
    if not isinstance(user, str):
        raise ProfileError(f"{_USER} is no text")
    for name, (parse, _) in _AMOUNTS.items():
        table = given.get(name)
        if isinstance(table, Mapping):
            given[name] = {
                link: parse(amount) if isinstance(amount, str) else amount
                for link, amount in table.items()
            }
    try:
        settings = Profile.from_mapping(given)
        # Refuses a name of a user that could not be shared in a link.
        link = InviteLink(host=settings.host.removesuffix("."), user=user)
    except (MemberError, InviteLinkError) as error:
        raise ProfileError(str(error)) from None
    return StoredProfile(settings=settings, user=link.user)
