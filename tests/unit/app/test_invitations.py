"""Links of a server: they lead to it, and recognise it without trusting anybody else."""

import datetime as dt
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from mqvpn_core.app.certificates import make_self_signed
from mqvpn_core.app.invitations import InvitationWishes, make_invitation, qr_code
from mqvpn_core.config import HostPort, Secret, ServerConfig
from mqvpn_core.errors import ConfigError

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
KEY = Secret("the-key-of-alice")
NONE = InvitationWishes()


def _self_signed(directory: Path, *names: str) -> tuple[ServerConfig, str]:
    made = make_self_signed(names, 10, NOW)
    (directory / "c.pem").write_bytes(made.cert_pem)
    config = ServerConfig(
        cert_file=directory / "c.pem",
        key_file=directory / "k.pem",
        listen=(HostPort(host="::", port=8443),),
    )
    return config, str(made.pin)


def _signed(directory: Path, *names: str) -> ServerConfig:
    """A configuration with a certificate that an authority signed."""
    config, _ = _self_signed(directory, *names)
    leaf = x509.load_pem_x509_certificate(config.cert_file.read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "An Authority")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(leaf.subject)
        .issuer_name(issuer)
        .public_key(leaf.public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
    )
    config.cert_file.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    return config


def test_a_self_signed_server_is_pinned(tmp_path: Path) -> None:
    config, pin = _self_signed(tmp_path, "vpn.example.org")
    link = make_invitation(config, "alice", KEY, replace(NONE, title="Office"))
    assert (link.host, link.port, link.user, link.name) == (
        "vpn.example.org",
        8443,
        "alice",
        "Office",
    )
    assert (link.pins, link.server_name, link.key) == ((pin,), "", "the-key-of-alice")
    assert make_invitation(config, "a", KEY, replace(NONE, has_pin=False)).pins == ()


def test_what_the_operator_says_about_the_host_wins(tmp_path: Path) -> None:
    config, pin = _self_signed(tmp_path, "localhost")
    wishes = InvitationWishes(server=HostPort(host="192.0.2.1", port=443))
    link = make_invitation(replace(config, template="/x/"), "alice", KEY, wishes)
    assert (link.server, link.pins, link.template) == ("192.0.2.1:443", (pin,), "/x/")


@pytest.mark.parametrize(
    "names", [("localhost",), ("*.example.org",), ("192.168.1.1", "10.0.0.1"), ("vpn.local",)]
)
def test_without_a_public_name_the_operator_is_asked(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    config, _ = _self_signed(tmp_path, *names)
    with pytest.raises(ConfigError, match=r"names no public host: .*--server"):
        make_invitation(config, "alice", KEY, NONE)


def test_public_addresses_are_names(tmp_path: Path) -> None:
    for address in ("1.1.1.1", "2606:4700::1111"):
        config, _ = _self_signed(tmp_path, "localhost", address)
        assert make_invitation(config, "alice", KEY, NONE).host == address


def test_a_signed_certificate_is_not_pinned_unless_asked(tmp_path: Path) -> None:
    config = _signed(tmp_path, "vpn.example.org", "*.example.net")
    assert make_invitation(config, "alice", KEY, NONE).pins == ()
    assert make_invitation(config, "alice", KEY, NONE).server_name == ""
    assert len(make_invitation(config, "a", KEY, replace(NONE, has_pin=True)).pins) == 1
    for host, name in (("a.example.net", ""), ("192.0.2.1", "vpn.example.org")):
        wishes = InvitationWishes(server=HostPort(host=host))
        assert make_invitation(config, "alice", KEY, wishes).server_name == name
    wild = _signed(tmp_path, "*.example.net")
    with pytest.raises(ConfigError, match=r"is not for other\.example"):
        make_invitation(wild, "a", KEY, InvitationWishes(server=HostPort(host="other.example")))


def test_a_certificate_that_cannot_be_read(tmp_path: Path) -> None:
    config, _ = _self_signed(tmp_path, "vpn.example.org")
    config.cert_file.write_text("nothing")
    with pytest.raises(ConfigError, match="holds no certificate"):
        make_invitation(config, "alice", KEY, NONE)


def test_a_qr_code_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = qr_code("mqvpn://vpn.example.org/#key")
    assert drawing is not None
    assert len(drawing.splitlines()) > 10
    monkeypatch.setitem(sys.modules, "segno", None)
    assert qr_code("mqvpn://vpn.example.org/#key") is None
