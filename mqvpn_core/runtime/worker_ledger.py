"""The parent's books for several worker processes: who may have a tunnel, and which address.

Answers what workers ask, remembers what each of them has, and takes it all back when one is gone.
The answers are those of the same authenticator, pools and quota that a single process has, so that
limits and leases are those of the server as a whole.
"""

from collections import Counter, deque
from dataclasses import dataclass, field

from mqvpn_core.errors import DecodeError
from mqvpn_core.ids import Instant
from mqvpn_core.masque.address_pool import AddressPool, Lease
from mqvpn_core.masque.server_policy import PolicyParts
from mqvpn_core.runtime.worker_messages import (
    AcquireAddress,
    AddressMoved,
    Answer,
    GiveBackTunnel,
    IPAddress,
    JudgeKey,
    LeaseLost,
    Notice,
    Question,
    ReleaseAddress,
    TakeTunnel,
)


@dataclass(slots=True)
class _Account:
    """What one worker has."""

    leases: dict[IPAddress, Lease] = field(default_factory=dict)
    tunnels: Counter[str | None] = field(default_factory=Counter)

    def give_back(self, user: str | None) -> None:
        """Note one tunnel less; who has none is forgotten, names may be without number."""
        if not self.tunnels[user]:
            raise DecodeError("gives back a tunnel that it does not have")
        self.tunnels[user] -= 1
        if not self.tunnels[user]:
            del self.tunnels[user]


class WorkerLedger:
    """Books of all workers.

    A: `owners`, `users`. B: `answer`. C: `forget`. D: `next_notice`.
    """

    def __init__(self, parts: PolicyParts, worker_count: int) -> None:
        """Begin with workers that have nothing.

        Args:
            parts: the books of the server as a whole.
            worker_count: how many workers there are.
        """
        self._authenticator = parts.authenticator
        self._pools: dict[int, AddressPool] = {pool.network.version: pool for pool in parts.pools}
        self._quota = parts.quota
        self._accounts = [_Account() for _ in range(worker_count)]
        self._owners: dict[IPAddress, int] = {}
        self._notices: deque[tuple[int, Notice]] = deque()

    @property
    def owners(self) -> dict[IPAddress, int]:
        """Addresses that clients have, by the workers that serve them."""
        return dict(self._owners)

    def answer(self, worker: int, question: Question, now: Instant) -> Answer:
        """Answer a worker's question.

        Args:
            worker: who asks.
            question: what.
            now: the time.

        Raises:
            DecodeError: it gives back what it does not have, or asks for a pool that is not there.
        """
        account = self._accounts[worker]
        match question:
            case JudgeKey():
                return self._authenticator.authenticate(
                    question.authorization, question.peer_host, now
                )
            case TakeTunnel():
                if not self._quota.take(question.user):
                    return False
                account.tunnels[question.user] += 1
                return True
            case GiveBackTunnel():
                account.give_back(question.user)
                self._quota.give_back(question.user)
                return True
            case AcquireAddress():
                return self._acquire(worker, question)
            case ReleaseAddress():
                self._release(worker, question.address, question.generation)
                return True

    def forget(self, worker: int) -> None:
        """A worker is gone, and its clients' tunnels with it; their addresses stay reserved."""
        account, self._accounts[worker] = self._accounts[worker], _Account()
        for user, count in account.tunnels.items():
            for _ in range(count):
                self._quota.give_back(user)
        for lease in account.leases.values():
            self._pools[lease.address.version].release(lease)
            if self._owners.get(lease.address) == worker:
                self._move(lease.address, None)

    @property
    def users(self) -> frozenset[str | None]:
        """Who has tunnels."""
        return frozenset(user for account in self._accounts for user in account.tunnels)

    def next_notice(self) -> tuple[int, Notice] | None:
        """Return the oldest notice not handed out yet, and for which worker it is."""
        return self._notices.popleft() if self._notices else None

    def _acquire(self, worker: int, question: AcquireAddress) -> Lease | None:
        pool = self._pools.get(question.version)
        if pool is None:
            raise DecodeError("asks for a pool that is not there")
        if question.is_exact:
            if question.requested is None:
                raise DecodeError("asks for exactly no address")
            lease = pool.acquire_exactly(
                question.user, question.requested, instance=question.instance
            )
        else:
            lease = pool.acquire(
                question.user, instance=question.instance, requested=question.requested
            )
        if lease is not None:
            self._take_over(worker, lease)
            self._accounts[worker].leases[lease.address] = lease
        return lease

    def _take_over(self, worker: int, lease: Lease) -> None:
        """The address may have been a client's of another worker until now."""
        before = self._owners.get(lease.address)
        if before is not None and before != worker:
            old = self._accounts[before].leases.pop(lease.address)
            lost = LeaseLost(address=old.address, generation=old.generation)
            self._notices.append((before, lost))
        if before != worker:
            self._move(lease.address, worker)

    def _release(self, worker: int, address: IPAddress, generation: int) -> None:
        lease = self._accounts[worker].leases.get(address)
        # Another one is no fault: it may have been taken over while the message was on its way.
        if lease is None or lease.generation != generation:
            return
        del self._accounts[worker].leases[address]
        self._pools[address.version].release(lease)
        self._move(address, None)

    def _move(self, address: IPAddress, worker: int | None) -> None:
        if worker is None:
            del self._owners[address]
        else:
            self._owners[address] = worker
        notice = AddressMoved(address=address, worker=worker)
        self._notices += [(each, notice) for each in range(len(self._accounts))]
