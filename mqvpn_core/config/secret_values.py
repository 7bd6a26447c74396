"""Secrets that do not print, and the salted hash a server keeps of a key.

Threat model of `HashedKey`. A key made by ``genkey`` has 256 random bits, so nobody can find it by
guessing, however fast the hash: one salted SHA-256 is enough, costs about a microsecond, and gives
a flood of wrong keys nothing to burn our CPU with. A slow password hash would protect short keys
that people invent; those are refused by length instead (`MIN_SERVER_KEY_LENGTH`), because whoever
can read the server's file can already read its TLS key.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import NoReturn

from typing_extensions import override

from mqvpn_core.errors import ConfigError

MIN_SERVER_KEY_LENGTH = 16
"""Shortest key a server accepts, in characters; ``genkey`` makes 43."""

MAX_KEY_LENGTH = 512
"""Longest key, in characters: it must fit one HTTP header field."""

_SCHEME = "sha256"
_SALT_BYTES = 16
_DIGEST_BYTES = 32


class Secret:
    """Text that must never be shown: ``repr``, ``str`` and ``format`` hide it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Wrap ``value``."""
        self._value = value

    def reveal(self) -> str:
        """Return the text itself, for the one place that sends or hashes it."""
        return self._value

    @override
    def __repr__(self) -> str:
        return "Secret(hidden)"

    @override
    def __str__(self) -> str:
        return "(hidden)"

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    @override
    def __hash__(self) -> int:
        return hash((Secret, self._value))

    @override
    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied into another process")


@dataclass(frozen=True, slots=True, kw_only=True)
class HashedKey:
    """What a server stores of a key: enough to recognise it, too little to use it."""

    salt: bytes
    """16 random bytes."""
    digest: bytes
    """SHA-256 of salt and key."""

    @classmethod
    def from_key(cls, key: Secret, salt: bytes) -> "HashedKey":
        """Hash ``key`` with ``salt`` (16 random bytes, which the caller draws)."""
        return cls(salt=salt, digest=digest_of(key.reveal().encode(), salt))

    @override
    def __repr__(self) -> str:
        return "HashedKey(hidden)"

    def to_text(self) -> str:
        """Return the form for a configuration file: ``sha256:SALT:DIGEST`` in hex."""
        return f"{_SCHEME}:{self.salt.hex()}:{self.digest.hex()}"


def digest_of(key: bytes, salt: bytes) -> bytes:
    """Return the digest that `HashedKey` compares."""
    return hashlib.sha256(salt + key).digest()


def is_hashed_key(text: str) -> bool:
    """Tell whether ``text`` is meant as a hash rather than a key."""
    return text.startswith(f"{_SCHEME}:")


def parse_hashed_key(text: str) -> HashedKey:
    """Read what `HashedKey.to_text` wrote.

    Raises:
        ConfigError: the text is not ``sha256:SALT:DIGEST``. It does not quote the text.
    """
    parts = text.split(":")
    try:
        scheme, salt, digest = parts[0], bytes.fromhex(parts[1]), bytes.fromhex(parts[2])
    except (IndexError, ValueError):
        scheme, salt, digest = "", b"", b""
    if (scheme, len(parts), len(salt), len(digest)) != (_SCHEME, 3, _SALT_BYTES, _DIGEST_BYTES):
        raise ConfigError(
            "this is not a key hash: write the line 'mqvpn-core genkey' printed as 'hash',"
            " sha256:SALT:DIGEST in hex"
        )
    return HashedKey(salt=salt, digest=digest)
