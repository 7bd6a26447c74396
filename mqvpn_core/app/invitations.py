"""Links that invite a user to this server, with what makes it recognisable.

A self-signed certificate is pinned: nothing else tells the client that it talks to this server. One
that an authority signed is not, unless that is asked for: it is renewed every few weeks, often with
another key, and a pin would lock everybody out then.
"""

from dataclasses import dataclass
from io import StringIO
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509

from mqvpn_core.app.certificates import load_certificates, pin_of
from mqvpn_core.config import DEFAULT_TEMPLATE, HostPort, Secret, ServerConfig
from mqvpn_core.errors import ConfigError
from mqvpn_helper.interface.invite_link import InviteLink, InviteLinkError


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationWishes:
    """What the operator says about a link."""

    server: HostPort | None = None
    """Where clients find this server; None: what the certificate says."""
    title: str = ""
    """What to call it."""
    has_pin: bool | None = None
    """Pin the certificate or not; None: as fits it."""


def make_invitation(
    config: ServerConfig, user: str, key: Secret, wishes: InvitationWishes
) -> InviteLink:
    """Return a link for a user.

    Raises:
        ConfigError: the certificate cannot be read, or it does not tell where the server is.
    """
    certificate = load_certificates(config.cert_file)[0]
    names = _names_of(certificate)
    server = wishes.server or HostPort(
        host=_public_name(names, config.cert_file), port=config.listen[0].port
    )
    is_pinned = _is_self_signed(certificate) if wishes.has_pin is None else wishes.has_pin
    try:
        return InviteLink(
            host=server.host.removesuffix("."),
            port=server.port,
            server_name="" if is_pinned else _other_name(names, server.host),
            pins=(str(pin_of(certificate)),) if is_pinned else (),
            user=user,
            name=wishes.title,
            template="" if config.template == DEFAULT_TEMPLATE else config.template,
            key=key.reveal(),
        )
    except InviteLinkError as error:
        raise ConfigError(f"no link can be made: {error}") from None


def qr_code(text: str) -> str | None:
    """Return a QR code for a terminal; None where the package segno is not installed."""
    try:
        import segno  # noqa: PLC0415 - an extra; a server does without
    except ImportError:
        return None
    drawing = StringIO()
    segno.make(text, error="m", micro=False).terminal(drawing, border=2, compact=True)
    return drawing.getvalue()


def _is_self_signed(certificate: x509.Certificate) -> bool:
    return certificate.issuer == certificate.subject


def _names_of(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    names = list(found.get_values_for_type(x509.DNSName))
    return names + [str(each) for each in found.get_values_for_type(x509.IPAddress)]


def _public_name(names: list[str], file: Path) -> str:
    for name in names:
        if not name.startswith("*") and "." in name.strip(".") and not _is_private(name):
            return name
        if ":" in name and not _is_private(name):
            return name
    raise ConfigError(
        f"{file} names no public host: say where clients find this server, --server HOST[:PORT]"
    )


def _is_private(name: str) -> bool:
    try:
        return not ip_address(name).is_global
    except ValueError:
        return name.endswith((".localhost", ".local", ".internal"))


def _other_name(names: list[str], host: str) -> str:
    """Return the name to look for in the certificate, where it is not that of the host."""
    lowered = [name.lower() for name in names]
    wildcard = f"*.{host.lower().partition('.')[2]}"
    if host.lower() in lowered or wildcard in lowered:
        return ""
    plain = [name for name in names if not name.startswith("*")]
    if not plain:
        raise ConfigError(f"the certificate is not for {host}: give another --server, or --pin it")
    return plain[0]
