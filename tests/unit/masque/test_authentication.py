"""Bearer keys: who is accepted, what is refused alike, and how guessing is limited."""

import hmac

import pytest

from mqvpn_core.config import HashedKey, Secret
from mqvpn_core.ids import Instant
from mqvpn_core.masque.authentication import (
    Accepted,
    AuthenticationLimits,
    Authenticator,
    RateLimited,
    Refused,
)

NOW = Instant(1000.0)
HOST = "192.0.2.1"
ALICE, BOB, SHARED = "alices-own-key-0001", "bobs-own-key-000002", "the-shared-key-0003"
SALT, OTHER_SALT = bytes(16), bytes(range(16))


def hashed(key: str, salt: bytes = SALT) -> HashedKey:
    return HashedKey.from_key(Secret(key), salt)


def make(limits: AuthenticationLimits | None = None) -> Authenticator:
    users = {"alice": hashed(ALICE), "bob": hashed(BOB, OTHER_SALT)}
    return Authenticator(users, hashed(SHARED), limits)


def bearer(key: str) -> bytes:
    return f"Bearer {key}".encode()


def later(seconds: float) -> Instant:
    return Instant(NOW + seconds)


@pytest.mark.parametrize(("key", "user"), [(ALICE, "alice"), (BOB, "bob"), (SHARED, None)])
def test_key_tells_who_it_is(key: str, user: str | None) -> None:
    assert make().authenticate(bearer(key), HOST, NOW) == Accepted(user=user)


@pytest.mark.parametrize("value", [b"bearer %s", b"BEARER %s", b"Bearer   %s", b"Bearer %s  "])
def test_scheme_ignores_case_and_extra_blanks(value: bytes) -> None:
    """RFC 9110 s11.1 and s11.4."""
    assert make().authenticate(value % ALICE.encode(), HOST, NOW) == Accepted(user="alice")


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b" ",
        b"Bearer",
        b"Bearer ",
        b"Basic " + ALICE.encode(),
        ALICE.encode(),
        b"Bearer\t" + ALICE.encode(),
        b"Bearer alice:" + ALICE.encode(),
        b"Bearer " + ALICE.encode() + b"x",
        b"Bearer " + ALICE[:-1].encode(),
        b"Bearer " + ALICE.upper().encode(),
        b"Bearer " + hashed(ALICE).to_text().encode(),
        b"Bearer " + b"x" * 100_000,
        b"Bearer \xff\x00\x01",
        bytes(range(256)),
    ],
)
def test_everything_else_is_refused_alike(value: bytes | None) -> None:
    assert make().authenticate(value, HOST, NOW) == Refused()


def test_nobody_is_accepted_without_keys() -> None:
    assert Authenticator({}, None).authenticate(bearer(ALICE), HOST, NOW) == Refused()


def test_named_user_wins_over_the_shared_key() -> None:
    both = Authenticator({"alice": hashed(ALICE)}, hashed(ALICE))
    assert both.authenticate(bearer(ALICE), HOST, NOW) == Accepted(user="alice")


@pytest.mark.parametrize("key", [ALICE, BOB, SHARED, "nobodys-key-at-all-4"])
def test_every_stored_key_is_compared_whoever_asks(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    real = hmac.compare_digest
    lengths: list[tuple[int, int]] = []

    def counting(left: bytes, right: bytes) -> bool:
        lengths.append((len(left), len(right)))
        return real(left, right)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    make().authenticate(bearer(key), HOST, NOW)
    assert lengths == [(32, 32)] * 3


def test_guessing_is_limited_per_source() -> None:
    judge = make(AuthenticationLimits(max_failures=3))
    for _ in range(3):
        assert judge.authenticate(bearer("wrong"), HOST, NOW) == Refused()
    limited = judge.authenticate(bearer("wrong"), HOST, NOW)
    assert isinstance(limited, RateLimited)
    assert limited.retry_after == pytest.approx(20.0)


def test_even_the_right_key_waits() -> None:
    judge = make(AuthenticationLimits(max_failures=1))
    judge.authenticate(bearer("wrong"), HOST, NOW)
    assert isinstance(judge.authenticate(bearer(ALICE), HOST, NOW), RateLimited)
    assert judge.authenticate(bearer(ALICE), HOST, later(60.0)) == Accepted(user="alice")


def test_the_wait_that_is_told_is_long_enough() -> None:
    judge = make(AuthenticationLimits(max_failures=7))
    for _ in range(7):
        judge.authenticate(bearer("wrong"), HOST, NOW)
    limited = judge.authenticate(bearer("wrong"), HOST, NOW)
    assert isinstance(limited, RateLimited)
    soon = later(limited.retry_after - 0.01)
    assert isinstance(judge.authenticate(bearer("wrong"), HOST, soon), RateLimited)
    in_time = later(limited.retry_after + 0.001)
    assert judge.authenticate(bearer("wrong"), HOST, in_time) == Refused()


def test_waiting_in_vain_does_not_lengthen_the_wait() -> None:
    judge = make(AuthenticationLimits(max_failures=1))
    judge.authenticate(bearer("wrong"), HOST, NOW)
    for second in range(59):
        assert isinstance(judge.authenticate(bearer("wrong"), HOST, later(second)), RateLimited)
    assert judge.authenticate(bearer(ALICE), HOST, later(60)) == Accepted(user="alice")


def test_over_an_hour_no_more_than_the_limit_is_looked_at() -> None:
    judge = make(AuthenticationLimits(max_failures=10))
    looked_at = sum(
        judge.authenticate(bearer("wrong"), HOST, later(second)) == Refused()
        for second in range(3600)
    )
    assert 600 <= looked_at <= 610


def test_right_keys_and_missing_ones_cost_nothing() -> None:
    judge = make(AuthenticationLimits(max_failures=1))
    for _ in range(100):
        assert judge.authenticate(bearer(ALICE), HOST, NOW) == Accepted(user="alice")
        assert judge.authenticate(None, HOST, NOW) == Refused()
    assert judge.source_count == 0


@pytest.mark.parametrize(
    ("first", "second", "is_one_source"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
    ],
)
def test_sources(first: str, second: str, is_one_source: bool) -> None:
    judge = make(AuthenticationLimits(max_failures=1))
    judge.authenticate(bearer("wrong"), first, NOW)
    decision = judge.authenticate(bearer(ALICE), second, NOW)
    assert isinstance(decision, RateLimited) == is_one_source


def test_memory_is_bounded_and_the_quietest_source_is_forgotten() -> None:
    judge = make(AuthenticationLimits(max_failures=1, max_sources=100))
    for number in range(1000):
        judge.authenticate(bearer("wrong"), f"10.0.{number // 256}.{number % 256}", NOW)
    assert judge.source_count == 100
    assert judge.authenticate(bearer(ALICE), "10.0.0.0", NOW) == Accepted(user="alice")
    assert isinstance(judge.authenticate(bearer(ALICE), "10.0.3.231", NOW), RateLimited)


def test_replaced_keys_hold_at_once_and_failures_stay() -> None:
    judge = make(AuthenticationLimits(max_failures=1))
    judge.authenticate(bearer("wrong"), HOST, NOW)
    judge.replace_keys({"carol": hashed("carols-own-key-0005")}, None)
    assert isinstance(judge.authenticate(bearer(ALICE), HOST, NOW), RateLimited)
    assert judge.authenticate(bearer(ALICE), "198.51.100.1", NOW) == Refused()
    carol = judge.authenticate(bearer("carols-own-key-0005"), "198.51.100.2", NOW)
    assert carol == Accepted(user="carol")
