"""A worker's view of the books that all processes of a server share.

The sessions ask for keys, quota and addresses in the middle of a round and need the answer at once,
so a worker waits for its parent: a tenth of a millisecond, once or a few times for each tunnel
that is opened, never for a packet. Whether a lease is still current is known here.
"""

import socket
from contextlib import suppress
from typing import TypeAlias

from typing_extensions import override

from mqvpn_core.config import IPNetwork
from mqvpn_core.errors import DecodeError, HostLostError
from mqvpn_core.ids import Instant
from mqvpn_core.masque.address_pool import AddressPool, Lease
from mqvpn_core.masque.authentication import Accepted, Decision, RateLimited, Refused
from mqvpn_core.masque.server_policy import TunnelQuota
from mqvpn_core.runtime.worker_messages import (
    MAX_MESSAGE_BYTES,
    AcquireAddress,
    Answer,
    GiveBackTunnel,
    IPAddress,
    JudgeKey,
    LeaseLost,
    Question,
    ReleaseAddress,
    TakeTunnel,
    decode_answer,
    encode_question,
)

PATIENCE = 5.0
"""Seconds after which a parent that does not answer counts as gone."""

_Decided: TypeAlias = Accepted | Refused | RateLimited


class ParentDesk:
    """Asks the parent, and waits. C: `ask`, `tell`."""

    def __init__(self, connected: socket.socket) -> None:
        """Ask over this socket, which keeps messages apart."""
        self._socket = connected
        self._socket.settimeout(PATIENCE)

    def ask(self, question: Question) -> Answer:
        """Return the answer.

        Raises:
            HostLostError: there is none.
        """
        try:
            self._socket.send(encode_question(question))
            return decode_answer(self._socket.recv(MAX_MESSAGE_BYTES))
        except (OSError, DecodeError) as error:
            raise HostLostError("the parent process does not answer") from error

    def tell(self, question: Question) -> None:
        """Say what needs no answer; a parent that is gone need not be told."""
        with suppress(HostLostError):
            self.ask(question)


class SharedAuthenticator:
    """Has the parent judge keys: failed attempts count for the server as a whole."""

    def __init__(self, desk: ParentDesk) -> None:
        """Ask there."""
        self._desk = desk

    def authenticate(self, authorization: bytes | None, peer_host: str, now: Instant) -> Decision:
        """Judge one request; the parent has the same clock.

        Args:
            authorization: value of the Authorization field.
            peer_host: IP address of the client.
            now: not needed here.
        """
        del now
        if authorization is None:
            return Refused()
        decision = self._desk.ask(JudgeKey(authorization=authorization, peer_host=peer_host))
        return decision if isinstance(decision, _Decided) else Refused()


class SharedQuota(TunnelQuota):
    """The quota of the server as a whole."""

    def __init__(self, desk: ParentDesk) -> None:
        """Ask there."""
        super().__init__()
        self._desk = desk

    @override
    def take(self, user: str | None) -> bool:
        if self._desk.ask(TakeTunnel(user=user)) is not True:
            return False
        self.open_count += 1
        return True

    @override
    def give_back(self, user: str | None) -> None:
        self.open_count -= 1
        self._desk.tell(GiveBackTunnel(user=user))


class SharedPool(AddressPool):
    """A pool that the parent leases from; knows which leases of this worker are current."""

    def __init__(self, network: IPNetwork, desk: ParentDesk) -> None:
        """Lease addresses of this network, there."""
        super().__init__(network)
        self._desk = desk
        self._current: dict[IPAddress, int] = {}

    @override
    def is_current(self, lease: Lease) -> bool:
        return self._current.get(lease.address) == lease.generation

    @override
    def acquire(
        self, user: str, *, instance: str = "", requested: IPAddress | None = None
    ) -> Lease | None:
        return self._acquire(user, instance, requested, is_exact=False)

    @override
    def acquire_exactly(
        self, user: str, requested: IPAddress, *, instance: str = ""
    ) -> Lease | None:
        return self._acquire(user, instance, requested, is_exact=True)

    @override
    def release(self, lease: Lease) -> None:
        if self.is_current(lease):
            del self._current[lease.address]
            self._desk.tell(ReleaseAddress(address=lease.address, generation=lease.generation))

    def lose(self, lost: LeaseLost) -> None:
        """A lease has ended, because its client is elsewhere now."""
        if self._current.get(lost.address) == lost.generation:
            del self._current[lost.address]

    def _acquire(
        self, user: str, instance: str, requested: IPAddress | None, *, is_exact: bool
    ) -> Lease | None:
        lease = self._desk.ask(
            AcquireAddress(
                version=self.network.version,
                user=user,
                instance=instance,
                requested=requested,
                is_exact=is_exact,
            )
        )
        if not isinstance(lease, Lease):
            return None
        self._current[lease.address] = lease.generation
        return lease
