"""Secrets stay hidden, hashes recognise their key."""

import copy
import pickle

import pytest

from mqvpn_core.config import HashedKey, Secret
from mqvpn_core.config.secret_values import is_hashed_key, parse_hashed_key
from mqvpn_core.errors import ConfigError

KEY = "correct-horse-battery-staple"
SALT = bytes(range(16))


@pytest.mark.parametrize("shown", [repr, str, "{}".format, "%s".__mod__, "%r".__mod__, ascii])
def test_secret_never_shows(shown: object) -> None:
    assert callable(shown)
    assert KEY not in shown(Secret(KEY))


def test_secret_inside_values_never_shows() -> None:
    assert KEY not in repr({"key": [Secret(KEY)]})
    hashed = HashedKey.from_key(Secret(KEY), SALT)
    assert hashed.digest.hex() not in repr(hashed)


def test_secret_reveals_itself_when_asked() -> None:
    assert Secret(KEY).reveal() == KEY


def test_secrets_compare_by_value() -> None:
    assert Secret(KEY) == Secret(KEY)
    assert Secret(KEY) != Secret(KEY + "x")
    assert Secret(KEY) != KEY
    assert len({Secret(KEY), Secret(KEY), Secret("other")}) == 2


def test_secret_cannot_leave_the_process_by_accident() -> None:
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(Secret(KEY))
    with pytest.raises(TypeError, match="pickled"):
        copy.copy(Secret(KEY))


def test_hash_depends_on_key_and_salt() -> None:
    hashed = HashedKey.from_key(Secret(KEY), SALT)
    assert hashed == HashedKey.from_key(Secret(KEY), SALT)
    assert hashed.digest != HashedKey.from_key(Secret(KEY), bytes(16)).digest
    assert hashed.digest != HashedKey.from_key(Secret("other"), SALT).digest


def test_hash_survives_its_text_form() -> None:
    hashed = HashedKey.from_key(Secret(KEY), SALT)
    assert is_hashed_key(hashed.to_text())
    assert parse_hashed_key(hashed.to_text()) == hashed


GOOD = HashedKey.from_key(Secret(KEY), SALT).to_text()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "sha256:00:00",
        GOOD[:-1],
        GOOD + "0",
        GOOD + ":",
        GOOD.replace("sha256", "sha1"),
        GOOD[:-2] + "zz",
    ],
)
def test_malformed_hash_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ConfigError, match="not a key hash") as caught:
        parse_hashed_key(text)
    assert text in {"", "sha256:"} or text not in str(caught.value)
