"""Fresh keys."""

import re

from mqvpn_core.app.keys import hash_of, new_key
from mqvpn_core.config import HashedKey, Secret


def test_key_is_base64url_of_32_bytes_and_no_option() -> None:
    keys = {new_key().reveal() for _ in range(300)}
    assert len(keys) == 300
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{42}", key) for key in keys)


def test_each_hash_has_its_own_salt() -> None:
    key = Secret("the-same-key-for-both")
    first, second = hash_of(key), hash_of(key)
    assert first.salt != second.salt
    assert first == HashedKey.from_key(key, first.salt)
