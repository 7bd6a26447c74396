"""The keyring's states, each in words that say what to do."""

import copy
import os
import pickle
import threading
from collections.abc import Callable

import keyring
import pytest
from keyring.errors import KeyringError, KeyringLocked, NoKeyringError, PasswordDeleteError

from mqvpn_gui.user.errors import (
    KeyringAbsentError,
    KeyringLockedError,
    KeyringTimeoutError,
    SecretError,
)
from mqvpn_gui.user.secret_pipe import secret_pipe
from mqvpn_gui.user.secret_store import SecretStore, open_keyring
from mqvpn_gui.user.secret_text import SecretText
from tests.user.fake_keyring import FakeKeyring

KEY = SecretText("a-key-of-some-length")


def test_keys_are_kept_by_profile() -> None:
    fake = FakeKeyring()
    store = SecretStore(lambda: fake)
    store.write("office", KEY)
    store.write("home", SecretText("another"))
    assert fake.kept["org.mqvpn.Client", "profile:office"] == "a-key-of-some-length"
    assert store.read("office") == KEY
    assert store.read("nowhere") is None
    store.forget("office")
    store.forget("office")
    assert store.read("office") is None
    assert store.read("home") == SecretText("another")


@pytest.mark.parametrize(
    ("raised", "expected", "text"),
    [
        (KeyringLocked("x"), KeyringLockedError, "is locked; unlock it"),
        (NoKeyringError("x"), KeyringAbsentError, "no keyring on this desktop"),
        (PasswordDeleteError("x"), SecretError, "does not give the key up"),
        (KeyringError("SECRET"), SecretError, "refused; give the key each time: --ask"),
        (OSError("SECRET"), SecretError, "failed .OSError."),
    ],
)
def test_what_back_ends_raise_is_explained(
    raised: Exception, expected: type[SecretError], text: str
) -> None:
    fake = FakeKeyring()
    fake.error = raised
    store = SecretStore(lambda: fake)
    calls: list[Callable[[], object]] = [
        lambda: store.read("p"),
        lambda: store.write("p", KEY),
        lambda: store.forget("p"),
    ]
    for call in calls:
        with pytest.raises(expected, match=text) as caught:
            call()
        assert type(caught.value) is expected
        assert "SECRET" not in str(caught.value)


def test_a_keyring_that_waits_is_announced_and_then_given_up() -> None:
    fake = FakeKeyring()
    fake.gate = threading.Event()
    waits: list[int] = []
    store = SecretStore(lambda: fake, timeout=0.05, on_wait=lambda: waits.append(1))
    try:
        with pytest.raises(KeyringTimeoutError, match=r"within 0\.05 seconds; look for a window"):
            store.read("p")
    finally:
        fake.gate.set()
    assert waits == [1]


def test_a_keyring_that_answers_is_not_announced() -> None:
    store = SecretStore(FakeKeyring, on_wait=lambda: pytest.fail("announced"))
    assert store.read("p") is None


def test_what_keeps_no_secrets_is_no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = type("Plain", (FakeKeyring,), {"__module__": "keyrings.alt.file"})()
    nothing = type("Null", (FakeKeyring,), {"__module__": "keyring.backends.null"})()
    for backend in (plain, nothing):
        monkeypatch.setattr(keyring, "get_keyring", lambda backend=backend: backend)
        with pytest.raises(KeyringAbsentError, match="not kept in plain text"):
            SecretStore(open_keyring).write("p", KEY)
        assert backend.kept == {}


def test_a_secret_shows_itself_to_nobody_but_who_asks() -> None:
    assert [repr(KEY), str(KEY), f"{KEY}"] == ["SecretText(hidden)", "(hidden)", "(hidden)"]
    assert KEY.reveal() == "a-key-of-some-length"
    assert KEY != "a-key-of-some-length"
    assert hash(KEY) == hash(SecretText("a-key-of-some-length"))
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(KEY)
    with pytest.raises(TypeError, match="cannot be pickled"):
        copy.copy(KEY)


@pytest.mark.parametrize("text", ["", "with blank", "ü", "x" * 513, "line\n", "\0"])
def test_a_secret_that_no_server_takes_is_refused_unquoted(text: str) -> None:
    with pytest.raises(SecretError) as caught:
        SecretText(text)
    assert not text or text not in str(caught.value)


def test_a_pipe_holds_the_key_and_is_closed_afterwards() -> None:
    with secret_pipe(SecretText("k" * 512)) as descriptor:
        assert not os.get_inheritable(descriptor)
        assert os.read(descriptor, 4096) == b"k" * 512
        assert os.read(descriptor, 1) == b""
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)
    with secret_pipe(None) as descriptor:
        assert os.read(descriptor, 1) == b""
