"""Randomness and dates from a seed.

Our rooms take entropy as an argument. aioquic reads ``os.urandom`` and today's date, and its key
exchange asks ``cryptography`` for new keys: ``seeded_libraries`` replaces these for the length of a
``with`` block. Only tests may use it.
"""

import datetime as dt
import os
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from random import Random

from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_FIXED_DATE = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def seeded_dice(seed: int, name: str) -> Random:
    """Return a generator that follows from a seed and a name, for choices rather than bytes."""
    return Random(f"{name} {seed}")  # noqa: S311 - a simulation, not cryptography


class SeededEntropy:
    """An entropy source whose bytes follow from a seed and a name.

    Streams with different names are independent: drawing more from one does not shift another.
    """

    def __init__(self, seed: int, name: str) -> None:
        """Start a stream."""
        self._dice = seeded_dice(seed, name)

    def __call__(self, length: int) -> bytes:
        """Return the next bytes."""
        return self._dice.randbytes(length)


class _SeededAesGcm:
    """Stands in for the AESGCM class where aioquic makes a key for its Retry tokens."""

    def __init__(self, entropy: SeededEntropy) -> None:
        self._entropy = entropy

    def generate_key(self, bit_length: int) -> bytes:
        """Return the next key."""
        return self._entropy(bit_length // 8)

    def __call__(self, key: bytes) -> AESGCM:
        """Return the real cipher."""
        return AESGCM(key)


@contextmanager
def seeded_libraries(seed: int, clock: Callable[[], float] | None = None) -> Iterator[None]:
    """Make aioquic and its key exchange follow the seed.

    Args:
        seed: what everything follows from.
        clock: seconds to add to the fixed date; without it the date stands still.
    """
    entropy = SeededEntropy(seed, "libraries")
    seeded_os = types.ModuleType("os")
    vars(seeded_os).update(vars(os))
    vars(seeded_os)["urandom"] = entropy

    def date_now() -> dt.datetime:
        return _FIXED_DATE + dt.timedelta(seconds=clock() if clock is not None else 0.0)

    def new_x25519_key() -> x25519.X25519PrivateKey:
        return x25519.X25519PrivateKey.from_private_bytes(entropy(32))

    def new_x448_key() -> x448.X448PrivateKey:
        return x448.X448PrivateKey.from_private_bytes(entropy(56))

    def new_curve_key(curve: ec.EllipticCurve, backend: None = None) -> ec.EllipticCurvePrivateKey:
        del backend
        # Half the key size stays below the order of every curve.
        return ec.derive_private_key(int.from_bytes(entropy(curve.key_size // 16)) + 1, curve)

    with ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if name.startswith("aioquic.") and vars(module).get("os") is os:
                stack.enter_context(_replaced(module, "os", seeded_os))
        tls = sys.modules.get("aioquic.tls")
        if tls is not None:
            stack.enter_context(_replaced(tls, "utcnow", date_now))
        retry = sys.modules.get("aioquic.quic.retry")
        if retry is not None:
            stack.enter_context(_replaced(retry, "AESGCM", _SeededAesGcm(entropy)))
        stack.enter_context(_replaced(x25519.X25519PrivateKey, "generate", new_x25519_key))
        stack.enter_context(_replaced(x448.X448PrivateKey, "generate", new_x448_key))
        stack.enter_context(_replaced(ec, "generate_private_key", new_curve_key))
        yield


@contextmanager
def _replaced(owner: object, name: str, value: object) -> Iterator[None]:
    """Set an attribute for a while."""
    original = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)
