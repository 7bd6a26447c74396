"""Self-signed certificates, their pins, and whether certificate files can be used at all.

ECDSA P-256, because every TLS 1.3 stack has to verify it (RFC 8446 s9.1), unlike Ed25519. The
certificate is marked as an end entity: as an authority, strict verifiers would refuse it.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from mqvpn_core.app.given_files import read_given_file
from mqvpn_core.app.new_files import write_new_file
from mqvpn_core.app.secret_sources import exposure_of
from mqvpn_core.config import ClientConfig, Pin, ServerConfig
from mqvpn_core.errors import ConfigError

MAX_DAYS = 36500
"""Longest validity that may be asked for, in days."""

_CLOCK_SKEW = dt.timedelta(days=1)
_EXPIRY_NOTICE = dt.timedelta(days=14)
_MAX_COMMON_NAME = 64  # RFC 5280 appendix A, ub-common-name
_CERT_MODE = 0o644
_KEY_MODE = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCertificate:
    """A certificate and its key as PEM."""

    cert_pem: bytes
    """The certificate."""
    key_pem: bytes
    """Its private key."""
    pin: Pin
    """What a client pins."""
    not_after: dt.datetime
    """Last moment it is valid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFiles:
    """Where to write a certificate."""

    cert_file: Path
    """The certificate."""
    key_file: Path
    """Its private key."""
    overwrite: bool = False
    """Replace files that are there."""


def make_self_signed(names: Sequence[str], days: int, now: dt.datetime) -> NewCertificate:
    """Make a self-signed certificate.

    Args:
        names: host names and IP addresses it is for; the first is its subject.
        days: validity.
        now: the time, with time zone.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0][:_MAX_COMMON_NAME])])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    not_after = (now + dt.timedelta(days=days)).replace(microsecond=0)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(not_after)
        .add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.OID_SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return NewCertificate(
        cert_pem=certificate.public_bytes(Encoding.PEM),
        key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        pin=pin_of(certificate),
        not_after=not_after,
    )


def write_certificate(certificate: NewCertificate, files: CertificateFiles) -> None:
    """Write both files, the key for its owner alone.

    Raises:
        HostError: a file is there already, or the system refuses.
    """
    write_new_file(files.key_file, certificate.key_pem, mode=_KEY_MODE, overwrite=files.overwrite)
    try:
        write_new_file(
            files.cert_file, certificate.cert_pem, mode=_CERT_MODE, overwrite=files.overwrite
        )
    except BaseException:
        if not files.overwrite:
            files.key_file.unlink(missing_ok=True)  # a key without its certificate is of no use
        raise


def pin_of(certificate: x509.Certificate) -> Pin:
    """Return the pin of a certificate's public key."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Pin(sha256=hashlib.sha256(key).digest())


def check_server_files(config: ServerConfig, now: dt.datetime) -> tuple[str, ...]:
    """Return warnings about the certificate, the key and the site directory.

    Raises:
        ConfigError: one cannot be used.
    """
    leaf = load_certificates(config.cert_file)[0]
    data = read_given_file(config.key_file, "a private key")
    try:
        key = load_pem_private_key(data, password=None)
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except TypeError:
        raise ConfigError(f"{config.key_file}: the private key has a password; remove it") from None
    except (ValueError, UnsupportedAlgorithm, AttributeError):  # DH keys have no such encoding
        raise ConfigError(f"{config.key_file}: holds no usable private key in PEM form") from None
    if hashlib.sha256(public).digest() != pin_of(leaf).sha256:
        raise ConfigError(
            f"{config.key_file}: is not the private key of the certificate {config.cert_file}"
        )
    if config.site is not None and not config.site.is_dir():
        raise ConfigError(f"{config.site}: site must be a directory")
    exposure = exposure_of(config.key_file)
    return (*_validity_warnings(leaf, config.cert_file, now), *([exposure] if exposure else []))


def check_client_files(config: ClientConfig) -> tuple[str, ...]:
    """Return warnings about the file of trusted authorities.

    Raises:
        ConfigError: it cannot be used.
    """
    if config.ca_file is not None:
        load_certificates(config.ca_file)
    return ()


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def load_certificates(path: Path) -> list[x509.Certificate]:
    """Read a chain of certificates, the leaf first.

    Raises:
        ConfigError: the file cannot be read, or holds none.
    """
    data = read_given_file(path, "a file of certificates")
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        raise ConfigError(f"{path}: holds no certificate in PEM form") from None


def _validity_warnings(
    certificate: x509.Certificate, path: Path, now: dt.datetime
) -> tuple[str, ...]:
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < first:
        return (f"{path}: the certificate is valid only from {first:%Y-%m-%d}",)
    if now > last:
        return (f"{path}: the certificate expired on {last:%Y-%m-%d}",)
    if now > last - _EXPIRY_NOTICE:
        return (f"{path}: the certificate expires on {last:%Y-%m-%d}",)
    return ()
