"""Certificates, keys and session tickets as aioquic wants them, behind our own names."""

import hashlib
from dataclasses import dataclass, replace
from typing import NewType

from aioquic import tls
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from mqvpn_core.errors import ConfigError

SessionTicket = NewType("SessionTicket", tls.SessionTicket)
"""A ticket of an earlier connection, without permission for 0-RTT data."""

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCertificate:
    """A certificate chain with its private key."""

    chain: tuple[x509.Certificate, ...]
    """The server's certificate first."""
    private_key: PrivateKey
    """Key of the first certificate."""

    @property
    def pin(self) -> bytes:
        """SHA-256 digest of the SubjectPublicKeyInfo (RFC 7469 s2.4)."""
        return spki_digest(self.chain[0])


def spki_digest(certificate: x509.Certificate) -> bytes:
    """Digest that identifies the public key of a certificate."""
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


def load_server_certificate(chain_pem: bytes, key_pem: bytes) -> ServerCertificate:
    """Parse PEM texts and check that they belong together.

    Raises:
        ConfigError: a text is no PEM, the key type is not supported or does not match.
    """
    try:
        chain = tuple(x509.load_pem_x509_certificates(chain_pem))
    except ValueError as error:
        raise ConfigError(f"the certificate file holds no PEM certificate: {error}") from error
    try:
        key = load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"the key file holds no unencrypted PEM private key: {error}") from error
    if isinstance(key, dsa.DSAPrivateKey | ed448.Ed448PrivateKey) or not isinstance(
        key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    ):
        raise ConfigError("the private key must be ECDSA, RSA or Ed25519")
    certificate = ServerCertificate(chain=chain, private_key=key)
    own = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if hashlib.sha256(own).digest() != certificate.pin:
        raise ConfigError("the private key does not belong to the first certificate")
    return certificate


def strip_early_data(ticket: tls.SessionTicket, *, server_name: str | None) -> SessionTicket:
    """Copy a ticket so that it resumes the session but never sends 0-RTT data.

    0-RTT would share path 0's packet number space between the engine and our transport.
    """
    return SessionTicket(replace(ticket, max_early_data_size=None, server_name=server_name or ""))
