"""From TLS traffic secrets to packet keys: labels, key updates and the limits of each AEAD.

Pure functions and one frozen value; which phase is in use is for `quic/protection.py`.

Implements RFC 9001 s5.1, s6.1 and s6.6, and the labels of QUIC v2 (RFC 9369 s3.3.2).
"""

from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from mqvpn_core.dataplane.kernel import CipherSuite, PacketKeys
from mqvpn_core.errors import LocalProtocolError

QUIC_VERSION_2 = 0x6B3343CF

_IV_BYTES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class AeadLimits:
    """How many packets an AEAD may protect, and how many forgeries it may see (RFC 9001 s6.6)."""

    confidentiality: int
    """Packets sealed with one key."""
    integrity: int
    """Packets that failed to open, in all phases together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySchedule:
    """The secret of one direction in one key phase."""

    suite: CipherSuite
    """Suite of the handshake."""
    secret: bytes
    """TLS traffic secret, or the one that key updates made of it."""
    label_prefix: str
    """Prefix of all labels; depends on the QUIC version."""
    header_protection_key: bytes
    """The key that no update changes."""

    def updated(self) -> "KeySchedule":
        """Return the schedule of the next phase (RFC 9001 s6.1)."""
        label = self.label_prefix + "ku"
        return KeySchedule(
            suite=self.suite,
            secret=hkdf_expand_label(self.suite, self.secret, label, len(self.secret)),
            label_prefix=self.label_prefix,
            header_protection_key=self.header_protection_key,
        )

    def packet_keys(self) -> PacketKeys:
        """Return the keys of this phase (RFC 9001 s5.1)."""
        key_label, iv_label = self.label_prefix + "key", self.label_prefix + "iv"
        return PacketKeys(
            self.suite,
            hkdf_expand_label(self.suite, self.secret, key_label, _key_bytes(self.suite)),
            hkdf_expand_label(self.suite, self.secret, iv_label, _IV_BYTES),
            self.header_protection_key,
        )


def key_schedule(cipher_suite: int, secret: bytes, version: int) -> KeySchedule:
    """Return the schedule of phase 0.

    Args:
        cipher_suite: TLS code point.
        secret: application traffic secret of one direction.
        version: QUIC version, which chooses the labels.

    Raises:
        LocalProtocolError: the handshake chose a suite that was not to be offered.
    """
    try:
        suite = CipherSuite(cipher_suite)
    except ValueError:
        raise LocalProtocolError(f"cipher suite 0x{cipher_suite:04x} is not supported") from None
    # RFC 9369 s3.3.2: QUIC v2 has labels of its own.
    prefix = "quicv2 " if version == QUIC_VERSION_2 else "quic "
    return KeySchedule(
        suite=suite,
        secret=secret,
        label_prefix=prefix,
        header_protection_key=hkdf_expand_label(suite, secret, prefix + "hp", _key_bytes(suite)),
    )


def aead_limits(suite: CipherSuite) -> AeadLimits:
    """Return the usage limits of the suite's AEAD (RFC 9001 s6.6)."""
    if suite is CipherSuite.CHACHA20_POLY1305_SHA256:
        # Sealing is limited by the packet numbers alone.
        return AeadLimits(confidentiality=1 << 62, integrity=1 << 36)
    return AeadLimits(confidentiality=1 << 23, integrity=1 << 52)


def hkdf_expand_label(suite: CipherSuite, secret: bytes, label: str, length: int) -> bytes:
    """Return HKDF-Expand-Label with an empty context (RFC 8446 s7.1)."""
    full_label = b"tls13 " + label.encode()
    info = length.to_bytes(2, "big") + bytes((len(full_label),)) + full_label + b"\x00"
    algorithm = SHA384() if suite is CipherSuite.AES_256_GCM_SHA384 else SHA256()
    return HKDFExpand(algorithm, length, info).derive(secret)


def _key_bytes(suite: CipherSuite) -> int:
    return 16 if suite is CipherSuite.AES_128_GCM_SHA256 else 32
