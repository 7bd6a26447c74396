"""Profiles and links: one turned into the other."""

from dataclasses import replace

from mqvpn_gui.user.errors import ProfileError
from mqvpn_gui.user.profile_text import StoredProfile, profile_from_members
from mqvpn_gui.user.secret_text import SecretText
from mqvpn_helper.interface.invite_link import (
    SCHEME,
    InviteLink,
    InviteLinkError,
    decode_invite_link,
    encode_invite_link,
)
from mqvpn_helper.interface.profile import Profile

_ADVICE = "copy it whole; docs/links.md describes what it looks like"


def is_link(text: str) -> bool:
    """Tell whether a text is meant as a link."""
    return text.lstrip()[: len(SCHEME) + 1].lower() == f"{SCHEME}:"


def profile_from_link(text: str) -> tuple[StoredProfile, SecretText | None]:
    """Read a link; its key comes apart from the profile.

    Raises:
        ProfileError: it is not a usable link; the message quotes no key.
    """
    try:
        link = decode_invite_link(text)
    except InviteLinkError as error:
        raise ProfileError(f"the link cannot be used: {error}", _ADVICE) from None
    texts = {
        "name": link.name,
        "server_name": link.server_name,
        "template": link.template,
        "user": link.user,
    }
    members: dict[str, object] = {"server": link.server, "pins": list(link.pins)}
    members |= {name: value for name, value in texts.items() if value}
    secret = None if link.key is None else SecretText(link.key)
    return profile_from_members(members), secret


def link_from_profile(stored: StoredProfile, secret: SecretText | None) -> str:
    """Return a link for another device.

    Only what is about the server goes along; what this machine does with its links stays here.

    Raises:
        ProfileError: the profile cannot be used elsewhere, or is too long for a link.
    """
    settings = stored.settings
    if settings.insecure:
        raise ProfileError(
            "the profile does not check the server's certificate, and no link can say that",
            "ask for a link with a pin: 'mqvpn-core user add NAME' makes one on the server",
        )
    if settings.ca_certificates:
        raise ProfileError(
            "the profile trusts certificates of its own, which do not fit into a link",
            "copy the profile's file instead; 'mqvpn profile show NAME' prints it",
        )
    template = settings.template
    try:
        link = InviteLink(
            host=settings.host.removesuffix("."),
            port=settings.port,
            server_name=settings.server_name.removesuffix("."),
            pins=settings.pins,
            user=stored.user,
            name=settings.name,
            template="" if template == Profile(host=settings.host).template else template,
        )
        if secret is not None:
            link = replace(link, key=secret.reveal())
        return encode_invite_link(link)
    except InviteLinkError as error:
        raise ProfileError(f"no link can be made of this profile: {error}") from None
