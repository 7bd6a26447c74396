"""Who may open a tunnel: Bearer keys against stored hashes, with failed attempts rate-limited.

A client sends ``Authorization: Bearer KEY`` (RFC 6750 s2.1); the key alone says who it is. Every
stored key is compared, in constant time and without stopping at a match, so neither the answer nor
its delay tells which users exist. Knows nothing of HTTP beyond that one field value; random salts
were drawn by whoever made the hashes. RFC 9484 s11: a proxy should restrict its use to
authenticated users.
"""

import hmac
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

from mqvpn_core.config.secret_values import MAX_KEY_LENGTH, HashedKey, digest_of
from mqvpn_core.ids import Instant

_MINUTE = 60.0
_SOURCE_PREFIX_V6 = 64
"""A site has at least a /64, so all its addresses count as one source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The key is valid."""

    user: str | None
    """The named user it belongs to; ``None`` for the shared key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """No key, a malformed field or an unknown key: the caller must not tell which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimited:
    """Too many wrong keys from this source; the key was not looked at."""

    retry_after: float
    """Seconds until the next attempt is looked at."""


Decision: TypeAlias = Accepted | Refused | RateLimited


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticationLimits:
    """Bounds on guessing and on the memory spent to count guesses."""

    max_failures: int = 10
    """Wrong keys one source may send at once, and then a minute."""
    max_sources: int = 4096
    """Sources remembered; the one that has been quiet longest is forgotten first."""


class Authenticator:
    """Decides over credentials.

    A: `source_count`. B: `authenticate`. C: `replace_keys` (reload). There are no outputs besides
    the returned decision.
    """

    def __init__(
        self,
        users: Mapping[str, HashedKey],
        shared: HashedKey | None,
        limits: AuthenticationLimits | None = None,
    ) -> None:
        """Start with these keys.

        Args:
            users: key hash of each named user.
            shared: hash of the key that any client may use.
            limits: bounds; the defaults when absent.
        """
        self._users = dict(users)
        self._shared = shared
        self._limits = AuthenticationLimits() if limits is None else limits
        self._failures: OrderedDict[str, _FailureCount] = OrderedDict()

    @property
    def source_count(self) -> int:
        """Number of sources whose failures are remembered."""
        return len(self._failures)

    def replace_keys(self, users: Mapping[str, HashedKey], shared: HashedKey | None) -> None:
        """Use other keys from now on; counted failures stay."""
        self._users = dict(users)
        self._shared = shared

    def authenticate(self, authorization: bytes | None, peer_host: str, now: Instant) -> Decision:
        """Judge one request.

        Args:
            authorization: value of the Authorization field; ``None`` when absent.
            peer_host: IP address of the client, as text.
            now: the time.
        """
        if authorization is None:
            return Refused()  # nothing was guessed, so nothing is counted
        source = _source_of(peer_host)
        wait = self._wait_for(source, now)
        if wait > 0:
            # A right key is refused as well: otherwise guessing would go on unhindered.
            return RateLimited(retry_after=wait)
        token = _bearer_token(authorization)
        match = None if token is None else self._match(token)
        if match is None:
            self._count_failure(source, now)
            return Refused()
        return match

    def _match(self, token: bytes) -> Accepted | None:
        digests: dict[bytes, bytes] = {}
        found: Accepted | None = None
        if self._shared is not None and _is_key_of(self._shared, token, digests):
            found = Accepted(user=None)
        for name, stored in self._users.items():  # no early exit: the delay must not name a user
            if _is_key_of(stored, token, digests):
                found = Accepted(user=name)
        return found

    def _wait_for(self, source: str, now: Instant) -> float:
        count = self._failures.get(source)
        if count is None:
            return 0.0
        missing = 1.0 - self._allowance(count, now)
        return max(0.0, missing * _MINUTE / self._limits.max_failures)

    def _allowance(self, count: "_FailureCount", now: Instant) -> float:
        refill = (now - count.updated) * self._limits.max_failures / _MINUTE
        return min(float(self._limits.max_failures), count.allowance + refill)

    def _count_failure(self, source: str, now: Instant) -> None:
        old = self._failures.pop(source, None)
        before = float(self._limits.max_failures) if old is None else self._allowance(old, now)
        self._failures[source] = _FailureCount(allowance=before - 1.0, updated=now)
        if len(self._failures) > self._limits.max_sources:
            self._failures.popitem(last=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _FailureCount:
    """Token bucket of one source."""

    allowance: float
    """Failures it still had at ``updated``."""
    updated: Instant
    """Time of the last failure."""


def _bearer_token(authorization: bytes) -> bytes | None:
    # RFC 9110 s11.4: credentials = auth-scheme 1*SP token68; the scheme ignores case.
    scheme, _, rest = authorization.partition(b" ")
    token = rest.strip(b" ")
    if scheme.lower() != b"bearer" or not 0 < len(token) <= MAX_KEY_LENGTH:
        return None
    return token


def _is_key_of(stored: HashedKey, token: bytes, digests: dict[bytes, bytes]) -> bool:
    digest = digests.get(stored.salt)
    if digest is None:
        digest = digests[stored.salt] = digest_of(token, stored.salt)
    return hmac.compare_digest(digest, stored.digest)


def _source_of(peer_host: str) -> str:
    address = ip_address(peer_host.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(IPv6Network((address, _SOURCE_PREFIX_V6), strict=False))
    return str(address)
