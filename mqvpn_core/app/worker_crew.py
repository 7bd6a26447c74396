"""The worker processes of a server, kept running by their parent.

    run
    `- _keep, one for each worker
       `- _serve_one       while its process lives
          |- _answer       its questions to the shared books
          |- _hear         its reports
          |- _command      orders to it
          |- _read_status  how it is, when somebody asks
          `- _follow       its events, into those of the server

A worker that dies costs its own clients a reconnect: its sockets, its queue of the device and the
leases of its clients are the parent's, and the next process takes them on. Packets of clients that
do not know yet are answered by stateless resets (RFC 9000 s10.3), so they come back at once.
"""

import errno
import logging
import math
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import product

import trio

from mqvpn_core.app.worker_orders import Begin, Order, Stop, encode_order, for_worker, reload_orders
from mqvpn_core.config import ServerConfig
from mqvpn_core.errors import DecodeError, HostError, HostLostError
from mqvpn_core.quic.connection_steering import ConnectionSteering, SteeringKey
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.control_asking import ControlAsker
from mqvpn_core.runtime.control_codec import StatusReply, StatusRequest
from mqvpn_core.runtime.event_log import EventLog
from mqvpn_core.runtime.event_relay import relay_events
from mqvpn_core.runtime.local_pairs import enlarge_buffer, local_pair, message_pair
from mqvpn_core.runtime.status_values import Status, WorkerStatus, decode_status_values
from mqvpn_core.runtime.steering_filter import SharedPort
from mqvpn_core.runtime.tun_queue import switch_queue
from mqvpn_core.runtime.worker_ledger import WorkerLedger
from mqvpn_core.runtime.worker_messages import (
    MAX_MESSAGE_BYTES,
    AcquireAddress,
    AddressMoved,
    Listening,
    ReleaseAddress,
    decode_question,
    decode_report,
    encode_answer,
)
from mqvpn_helper.interface.host_plan import HostPlan

_log = logging.getLogger(__name__)

FIRST_RESTART_PAUSE = 0.1
"""Seconds before a worker that died is started again."""
LONGEST_RESTART_PAUSE = 30.0
"""The same for one that dies again and again."""
HEALTHY_AGE = 60.0
"""Seconds after which a worker counts as having worked."""
CLOSING_PATIENCE = 5.0
"""Seconds that workers have for closing their tunnels."""
STATUS_PATIENCE = 2.0
"""Seconds that a worker has for saying how it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewThings:
    """What the workers are given."""

    ports: tuple[SharedPort, ...]
    """Addresses to listen on."""
    queues: tuple[int, ...]
    """Queues of the TUN device, one for each worker."""
    plan: HostPlan
    """What the machine has."""
    key: SteeringKey
    """How packets are spread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewBooks:
    """Where it is noted what the workers do."""

    ledger: WorkerLedger
    """The shared books."""
    note_leases: Callable[[], None]
    """Told when the lease table has changed; must not block."""
    note_mtu: Callable[[], None]
    """Told when a worker needs another MTU; must not block."""
    events: EventLog
    """Where to tell what happens to clients."""


@dataclass(slots=True)
class _Worker:
    """One place of the crew, whatever process has it."""

    number: int
    inbox: socket.socket
    outbox: socket.socket
    state: str = "starting"
    pid: int = 0
    restarts: int = 0
    mtu: int | None = None
    status: Status | None = None
    orders: trio.MemorySendChannel[Order] | None = None
    asker: ControlAsker | None = None
    answered: trio.Event | None = None


class WorkerCrew:
    """All workers.

    A: `is_listening`, `statuses`, `worker_statuses`, `smallest_mtu`. C: `reload`, `stop`.
    Tasks: `run`, `gather`.
    """

    def __init__(self, config: ServerConfig, things: CrewThings, books: CrewBooks) -> None:
        """Prepare; nothing runs yet."""
        self.is_listening = trio.Event()
        """Set when every worker has come up once."""
        self._config = config
        self._things = things
        self._books = books
        self._stopping = trio.Event()
        self._workers: list[_Worker] = []
        for number in range(config.workers):
            inbox, outbox = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            enlarge_buffer(outbox)
            self._workers.append(_Worker(number, inbox, outbox))

    @property
    def statuses(self) -> tuple[Status, ...]:
        """What the workers said at the last `gather`."""
        return tuple(each.status for each in self._workers if each.status is not None)

    @property
    def worker_statuses(self) -> tuple[WorkerStatus, ...]:
        """How the workers are."""
        return tuple(
            WorkerStatus(
                number=each.number,
                pid=each.pid,
                state=each.state,
                client_count=0 if each.status is None else each.status.client_count,
                restarts=each.restarts,
            )
            for each in self._workers
        )

    def smallest_mtu(self) -> int | None:
        """Return what the smallest tunnel of all needs, None without tunnels."""
        return min((each.mtu for each in self._workers if each.mtu is not None), default=None)

    def reload(self, config: ServerConfig, gone: frozenset[str | None]) -> None:
        """Have all go by another configuration, and close the tunnels of some users."""
        self._config = config
        for worker, order in product(self._workers, reload_orders(config, gone)):
            self._order(worker, order)

    def stop(self) -> None:
        """Have all close their tunnels in order and end; `run` returns when they have."""
        self._stopping.set()
        for worker in self._workers:
            self._order(worker, Stop())

    async def run(self) -> None:
        """Keep the workers running until `stop`.

        Raises:
            HostError: a worker does not come up at the beginning.
        """
        try:
            async with trio.open_nursery() as nursery:
                for worker in self._workers:
                    nursery.start_soon(self._keep, worker)
        finally:
            for worker in self._workers:
                worker.inbox.close()
                worker.outbox.close()

    async def gather(self) -> None:
        """Ask all workers for their status."""
        async with trio.open_nursery() as nursery:
            for worker in self._workers:
                nursery.start_soon(self._ask_status, worker)

    async def _ask_status(self, worker: _Worker) -> None:
        if worker.asker is None:
            return
        with trio.move_on_after(STATUS_PATIENCE), suppress(HostLostError):
            # Whoever asks while an answer is on its way waits for that one.
            answered = worker.answered
            if answered is None:
                answered = worker.answered = trio.Event()
                await worker.asker.send(StatusRequest())
            await answered.wait()

    async def _read_status(
        self, worker: _Worker, process: trio.Process, asker: ControlAsker
    ) -> None:
        try:
            while True:
                reply = await asker.next_reply()
                if isinstance(reply, StatusReply):
                    worker.status = decode_status_values(reply.status)
                if worker.answered is not None:
                    worker.answered.set()
                    worker.answered = None
        except DecodeError as error:
            _expel(process, error)
        except HostLostError:
            pass  # it has ended

    async def _keep(self, worker: _Worker) -> None:
        pause = FIRST_RESTART_PAUSE
        while not self._stopping.is_set():
            started = trio.current_time()
            worker.state = "starting"
            how = await self._serve_one(worker)
            self._forget(worker)
            if self._stopping.is_set():
                return
            if not self.is_listening.is_set() and worker.restarts == 0:
                raise HostError(f"worker {worker.number} does not start: it ended with {how}")
            if trio.current_time() - started >= HEALTHY_AGE:
                pause = FIRST_RESTART_PAUSE
            worker.state, worker.restarts = "waiting", worker.restarts + 1
            _log.error(
                "worker %d ended with %s; its clients have to reconnect; next start in %.1f s",
                *(worker.number, how, pause),
            )
            with trio.move_on_after(pause):
                await self._stopping.wait()
            pause = min(2 * pause, LONGEST_RESTART_PAUSE)

    def _forget(self, worker: _Worker) -> None:
        worker.pid, worker.mtu, worker.status = 0, None, None
        worker.orders = worker.asker = worker.answered = None
        self._books.ledger.forget(worker.number)
        self._books.note_leases()
        self._send_notices()

    async def _serve_one(self, worker: _Worker) -> int:
        """Start a process, serve it until it ends, and return its exit code."""
        with ExitStack() as near:
            channel, far_channel = message_pair(near)
            desk, far_desk = message_pair(near)
            streams = [local_pair(near, socket.SOCK_STREAM) for _ in range(2)]
            far_readers = [far for _, far in streams]
            begin = self._begin(worker, far_desk, far_readers)
            process = await self._start(begin, far_channel)
            worker.pid = process.pid
            for far in (far_channel, far_desk, *far_readers):
                far.close()
            switch_queue(self._things.queues[worker.number], is_attached=True)
            try:
                async with trio.open_nursery() as nursery:
                    orders, to_send = trio.open_memory_channel[Order](math.inf)
                    worker.orders = orders
                    self._order(worker, begin)
                    for address, owner in self._books.ledger.owners.items():
                        self._order(worker, AddressMoved(address=address, worker=owner))
                    if self._stopping.is_set():
                        self._order(worker, Stop())
                    of = trio.socket.from_stdlib_socket
                    status, events = (trio.SocketStream(of(each)) for each, _ in streams)
                    worker.asker = ControlAsker(status)
                    nursery.start_soon(self._command, process, of(channel), to_send)
                    nursery.start_soon(self._answer, worker, process, of(desk))
                    nursery.start_soon(self._hear, worker, process, of(channel))
                    nursery.start_soon(self._read_status, worker, process, worker.asker)
                    nursery.start_soon(self._follow, process, ControlAsker(events))
                    code = await process.wait()
                    nursery.cancel_scope.cancel()
            finally:
                switch_queue(self._things.queues[worker.number], is_attached=False)
                with suppress(ProcessLookupError):
                    process.kill()
                with trio.CancelScope(shield=True):
                    code = await process.wait()
        return code

    def _begin(self, worker: _Worker, desk: socket.socket, readers: list[socket.socket]) -> Begin:
        things = self._things
        return Begin(
            config=for_worker(self._config),
            steering=ConnectionSteering(
                key=things.key, count=len(self._workers), own=worker.number
            ),
            sockets=tuple(
                (port.sockets[worker.number].fileno(), port.local_address) for port in things.ports
            ),
            tun=things.queues[worker.number],
            plan=things.plan,
            inbox=worker.inbox.fileno(),
            outboxes=tuple(
                None if each is worker else each.outbox.fileno() for each in self._workers
            ),
            desk=desk.fileno(),
            readers=tuple(each.fileno() for each in readers),
        )

    async def _start(self, begin: Begin, channel: socket.socket) -> trio.Process:
        inherited = [
            *(channel.fileno(), begin.tun, begin.inbox, begin.desk, *begin.readers),
            *(fd for fd, _ in begin.sockets),
            *(fd for fd in begin.outboxes if fd is not None),
        ]
        command = [sys.executable, "-IB", "-m", "mqvpn_core.cli.server_worker"]
        try:
            return await trio.lowlevel.open_process(
                [*command, str(channel.fileno())], stdin=subprocess.DEVNULL, pass_fds=inherited
            )
        except OSError as error:
            raise HostError(f"cannot start a worker: {error.strerror}") from error

    def _order(self, worker: _Worker, order: Order) -> None:
        if worker.orders is not None:
            with suppress(trio.BrokenResourceError):
                worker.orders.send_nowait(order)

    def _send_notices(self) -> None:
        while (next_one := self._books.ledger.next_notice()) is not None:
            number, notice = next_one
            self._order(self._workers[number], notice)

    async def _command(
        self,
        process: trio.Process,
        channel: trio.socket.SocketType,
        orders: trio.MemoryReceiveChannel[Order],
    ) -> None:
        async for order in orders:
            try:
                await channel.send(encode_order(order))
            except OSError as error:
                if error.errno == errno.EMSGSIZE:  # the next process begins with all of it
                    _log.error("an order is too long for process %d: killed", process.pid)
                    process.kill()
                return  # it is ending
            if isinstance(order, Stop):
                await trio.sleep(CLOSING_PATIENCE)
                _log.warning("process %d does not stop: killed", process.pid)
                process.kill()

    async def _answer(
        self, worker: _Worker, process: trio.Process, desk: trio.socket.SocketType
    ) -> None:
        ledger = self._books.ledger
        try:
            while data := await desk.recv(MAX_MESSAGE_BYTES):
                question = decode_question(data)
                await desk.send(encode_answer(ledger.answer(worker.number, question, read_clock())))
                self._send_notices()
                if isinstance(question, AcquireAddress | ReleaseAddress):
                    self._books.note_leases()
        except DecodeError as error:
            _expel(process, error)
        except OSError:
            pass  # it has ended

    async def _hear(
        self, worker: _Worker, process: trio.Process, channel: trio.socket.SocketType
    ) -> None:
        try:
            while data := await channel.recv(MAX_MESSAGE_BYTES):
                report = decode_report(data)
                if isinstance(report, Listening):
                    worker.state = "running"
                    if all(each.state == "running" for each in self._workers):
                        self.is_listening.set()
                else:
                    worker.mtu = report.mtu
                    self._books.note_mtu()
        except DecodeError as error:
            _expel(process, error)
        except OSError:
            pass  # it has ended

    async def _follow(self, process: trio.Process, asker: ControlAsker) -> None:
        try:
            await relay_events(asker, self._books.events)
        except DecodeError as error:
            _expel(process, error)
        except HostLostError:
            pass  # it has ended


def _expel(process: trio.Process, error: DecodeError) -> None:
    _log.error("process %d says what makes no sense (%s): killed", process.pid, error)
    process.kill()
