"""Makes keys: 256 random bits, as text that fits a header field, a command line and a file."""

import secrets

from mqvpn_core.config.secret_values import HashedKey, Secret

_KEY_BYTES = 32
_SALT_BYTES = 16


def new_key() -> Secret:
    """Return a fresh key: 43 characters of base64url, the first of them no dash."""
    while True:
        text = secrets.token_urlsafe(_KEY_BYTES)
        if not text.startswith("-"):  # on a command line it would look like an option
            return Secret(text)


def hash_of(key: Secret) -> HashedKey:
    """Return the hash of ``key`` under a fresh salt, for a server's file."""
    return HashedKey.from_key(key, secrets.token_bytes(_SALT_BYTES))
