"""Seeded randomness: same seed, same bytes; and nothing stays patched."""

import os
import sys

import aioquic.tls
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.retry import QuicRetryTokenHandler
from cryptography.hazmat.primitives.asymmetric import ec, x25519

from mqvpn_core.testing.certificates import make_certificate
from mqvpn_core.testing.entropy import SeededEntropy, seeded_libraries


def client_hello(seed: int) -> bytes:
    with seeded_libraries(seed):
        client = QuicConnection(configuration=QuicConfiguration(server_name="vpn.example"))
        client.connect("anywhere", now=1.0)
        return b"".join(data for data, _ in client.datagrams_to_send(now=1.0))


def test_entropy_follows_seed_and_name() -> None:
    def first_bytes(seed: int, name: str) -> bytes:
        return SeededEntropy(seed, name)(16)

    assert first_bytes(1, "a") == first_bytes(1, "a")
    assert len({first_bytes(1, "a"), first_bytes(1, "b"), first_bytes(2, "a")}) == 3
    assert len(SeededEntropy(1, "a")(1000)) == 1000


def test_a_client_hello_follows_the_seed() -> None:
    assert client_hello(1) == client_hello(1)
    assert client_hello(1) != client_hello(2)


def test_nothing_stays_patched() -> None:
    generate, new_key, utcnow = (
        x25519.X25519PrivateKey.generate,
        ec.generate_private_key,
        aioquic.tls.utcnow,
    )
    client_hello(1)
    assert x25519.X25519PrivateKey.generate == generate
    assert ec.generate_private_key is new_key
    assert aioquic.tls.utcnow is utcnow
    assert vars(sys.modules["aioquic.quic.connection"])["os"] is os
    assert client_hello(1) == client_hello(1)
    fresh = [x25519.X25519PrivateKey.generate().private_bytes_raw() for _ in range(2)]
    assert fresh[0] != fresh[1]


def test_curve_keys_follow_the_seed() -> None:
    def key(seed: int) -> int:
        with seeded_libraries(seed):
            return ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value

    assert key(3) == key(3)
    assert key(3) != key(4)


def test_retry_tokens_follow_the_seed() -> None:
    def token(seed: int) -> bytes:
        with seeded_libraries(seed):
            return QuicRetryTokenHandler().create_token(
                address=("192.0.2.1", 443),
                original_destination_connection_id=b"12345678",
                retry_source_connection_id=b"abcdefgh",
                now=1.0,
            )

    assert token(3) == token(3)
    assert token(3) != token(4)


def test_the_date_may_follow_a_clock() -> None:
    with seeded_libraries(1, lambda: 3600.0):
        later = aioquic.tls.utcnow()
    with seeded_libraries(1):
        fixed = aioquic.tls.utcnow()
    assert (later - fixed).total_seconds() == 3600


def test_certificates_follow_the_seed() -> None:
    assert make_certificate(1).certificate_pem == make_certificate(1).certificate_pem
    assert make_certificate(1).certificate_pem != make_certificate(2).certificate_pem
    assert b"BEGIN PRIVATE KEY" in make_certificate(1).private_key_pem
