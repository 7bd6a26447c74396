"""The gate: stands where aioquic keeps its 1-RTT keys, so that it never has any.

The engine hands its 1-RTT secrets to the gate; our transport takes them from there. The gate is
"valid" only while our transport asks the engine for frames, and it can neither seal nor open.
That makes a second 1-RTT sender, and with it nonce reuse, impossible by construction.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from aioquic import tls
from aioquic.quic.crypto import KeyUnavailableError


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficSecret:
    """A 1-RTT secret as TLS derived it (RFC 9001 s5.1)."""

    is_send: bool
    """True for our sending direction."""
    cipher_suite: int
    """TLS code point of the cipher suite."""
    secret: bytes
    """Key phase 0 secret."""
    version: int
    """QUIC version, which decides the labels."""


class GateHalf:
    """One direction of the gate; quacks like aioquic's CryptoContext."""

    def __init__(self, gate: "OneRttGate", *, is_send: bool) -> None:
        self._gate = gate
        self._is_send = is_send
        self._has_secret = False

    def is_valid(self) -> bool:
        """Tell the engine whether it may write 1-RTT frames right now."""
        return self._has_secret and self._gate.is_open

    def setup(self, *, cipher_suite: tls.CipherSuite, secret: bytes, version: int) -> None:
        """Take a secret that TLS has derived."""
        self._has_secret = True
        self._gate.secrets.append(
            TrafficSecret(
                is_send=self._is_send,
                cipher_suite=int(cipher_suite),
                secret=secret,
                version=version,
            )
        )

    def teardown(self) -> None:
        """Forget that there was a secret."""
        self._has_secret = False


class OneRttGate:
    """Takes the place of the engine's 1-RTT CryptoPair."""

    aead_tag_size = 16
    key_phase = 0

    def __init__(self) -> None:
        self.is_open = False
        self.secrets: list[TrafficSecret] = []
        self.send = GateHalf(self, is_send=True)
        self.recv = GateHalf(self, is_send=False)

    def take_secrets(self) -> list[TrafficSecret]:
        """Hand over, once, the secrets that have arrived."""
        taken, self.secrets = self.secrets, []
        return taken

    def encrypt_packet(self, *_: object) -> bytes:
        """Refuse: the engine never seals a 1-RTT packet."""
        raise AssertionError("the engine tried to seal a 1-RTT packet")

    def decrypt_packet(self, *_: object) -> tuple[bytes, bytes, int]:
        """Refuse: the engine never opens a 1-RTT packet."""
        raise KeyUnavailableError("1-RTT packets belong to our transport")

    def update_key(self) -> None:
        """Refuse: key updates are `quic.protection`'s."""
        raise AssertionError("the engine tried to update 1-RTT keys")

    def teardown(self) -> None:
        """Forget both directions."""
        self.send.teardown()
        self.recv.teardown()

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Let the engine write 1-RTT frames into our builder for the length of the block."""
        self.is_open = True
        try:
            yield
        finally:
            self.is_open = False
