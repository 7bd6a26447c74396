"""A self-signed certificate that follows from a seed.

Ed25519, because its signatures have one length and no randomness: ECDSA would make the size of a
handshake, and so the trace of a simulation, differ from run to run.
"""

import datetime as dt
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from mqvpn_core.testing.entropy import SeededEntropy

_VALID_FROM = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
_VALID_TO = dt.datetime(2120, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfSignedCertificate:
    """A certificate and its key, in the forms that configurations ask for."""

    certificate: x509.Certificate
    """The certificate."""
    private_key: ed25519.Ed25519PrivateKey
    """Its key."""

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def private_key_pem(self) -> bytes:
        """The key as PEM."""
        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def make_certificate(
    seed: int, host_name: str = "vpn.example", *, more_names: int = 0
) -> SelfSignedCertificate:
    """Make a self-signed certificate.

    Args:
        seed: decides the key and with it every byte.
        host_name: the DNS name it is good for.
        more_names: further names, some 30 bytes each, for a certificate of any size.
    """
    entropy = SeededEntropy(seed, "certificate")
    private_key = ed25519.Ed25519PrivateKey.from_private_bytes(entropy(32))
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host_name)])
    names = [x509.DNSName(host_name)]
    names += [x509.DNSName(f"alias{index:05}.{host_name}") for index in range(more_names)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(int.from_bytes(entropy(8)) + 1)
        .not_valid_before(_VALID_FROM)
        .not_valid_after(_VALID_TO)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private_key, algorithm=None)
    )
    return SelfSignedCertificate(certificate=certificate, private_key=private_key)
