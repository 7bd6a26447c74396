"""Links that go through the emulator: started and stopped, and changed while they carry packets."""

import enum
import itertools
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path

from mqvpn_core.demo.namespaces import NetworkNamespace
from mqvpn_core.demo.processes import stop_process
from tests.linkem.building import EmulatorError, emulator_executable
from tests.linkem.impairments import Impairments

_START_PATIENCE = 5.0
_ANSWER_PATIENCE = 5.0
_POLL_INTERVAL = 0.002
_numbers = itertools.count()


class Kind(enum.Enum):
    """What stands at the end of a link."""

    TUN = "tun"
    """A new device that carries IP packets."""
    TAP = "tap"
    """A new device that carries Ethernet frames."""
    VETH = "veth"
    """One end of a veth pair that is there; `switch_offloads_off` at its peer first."""


class Direction(enum.Enum):
    """Which way packets go."""

    UP = "fwd"
    """From the near end to the far end."""
    DOWN = "rev"
    """From the far end to the near end."""
    BOTH = "both"
    """Either way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One end of a link."""

    namespace: NetworkNamespace
    """The machine."""
    interface: str
    """Its interface."""
    kind: Kind = Kind.TUN
    """What the interface is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions:
    """How the emulator works."""

    tick_us: int = 300
    """It wakes up at most this often."""
    seed: int | None = None
    """Where its random numbers begin; ``None``: anywhere."""
    coalesces: bool = False
    """Whether the kernel gets datagrams of one flow together, as from a network card; TUN only."""
    mtu: int = 1500
    """Of the devices it makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatistics:
    """What happened in one direction since the start."""

    packets_in: int
    """Packets that entered."""
    bytes_in: int
    """Their bytes."""
    packets_out: int
    """Packets that left."""
    bytes_out: int
    """Their bytes."""
    queued: int
    """Packets in the queue now."""
    flying: int
    """Packets under way now."""
    longest_queue: int
    """Most bytes that were in the queue at once."""
    lost: int
    """Packets lost at random or in bursts."""
    overflowed: int
    """Packets that found the queue full."""
    codel_dropped: int
    """Packets that CoDel dropped."""
    marked: int
    """Packets that CoDel marked instead."""
    swallowed: int
    """Packets that went into a black hole."""
    unplugged: int
    """Packets at an end without carrier."""
    unwritten: int
    """Packets that the kernel did not take, because the interface is down."""


class EmulatedLink:
    """A running link between two interfaces. `emulate` makes one for the length of a block."""

    def __init__(self, near: End, far: End, folder: Path, options: LinkOptions) -> None:
        """Make the interfaces and begin to carry packets, for now without any impairment.

        Args:
            near: one end; packets from here go up.
            far: the other end.
            folder: for the emulator's log and its socket.
            options: how it works.

        Raises:
            EmulatorError: it cannot be built or does not start.
        """
        stem = f"link{next(_numbers)}"
        self.near = near
        self.far = far
        self._socket = folder / f"{stem}.sock"
        self._log = folder / f"{stem}.log"
        command = [str(emulator_executable()), "-s", str(self._socket), "-R"]
        command += ["-a", _spec(near), "-b", _spec(far)]
        command += ["-t", str(options.tick_us), "-m", str(options.mtu)]
        command += ["-G"] if options.coalesces else []
        command += ["-n", str(options.seed)] if options.seed is not None else []
        self._process = far.namespace.start(command, self._log)
        self._wait_until_it_listens()

    def impair(self, impairments: Impairments, direction: Direction = Direction.BOTH) -> None:
        """Change what the link does to packets from now on."""
        self._order(f"{direction.value} {impairments.words()}")

    def set_black_hole(self, *, on: bool, direction: Direction = Direction.BOTH) -> None:
        """Let everything vanish without a word, or end that."""
        self._order(f"{direction.value} hole {on:d}")

    def set_carrier(self, *, on: bool, near: bool = True) -> None:
        """Give the device of one end its carrier, or take it away."""
        self._order(f"carrier {'a' if near else 'b'} {on:d}")

    def statistics(self, direction: Direction) -> LinkStatistics:
        """Count what happened in one direction."""
        for line in self._order("stats").splitlines():
            name, _, columns = line.partition(" ")
            if name == direction.value:
                values = dict(column.split("=") for column in columns.split())
                names = (each.name for each in fields(LinkStatistics))
                return LinkStatistics(**{each: int(values[each]) for each in names})
        raise EmulatorError(f"no statistics of {direction}")

    def stop(self) -> None:
        """End the emulator; TUN and TAP devices vanish with it."""
        stop_process(self._process)

    def _order(self, words: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_ANSWER_PATIENCE)
                connection.connect(str(self._socket))
                connection.sendall(words.encode() + b"\n")
                answer = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
        except OSError as error:
            raise EmulatorError(f"{self._name} does not answer: {error}{self._tail()}") from error
        if not answer.endswith("ok\n"):
            raise EmulatorError(f"{self._name} refuses {words!r}: {answer.strip()}")
        return answer

    def _wait_until_it_listens(self) -> None:
        deadline = time.perf_counter() + _START_PATIENCE
        while time.perf_counter() < deadline and self._process.poll() is None:
            with suppress(EmulatorError):  # not yet
                self._order("")
                return
            time.sleep(_POLL_INTERVAL)
        stop_process(self._process)
        raise EmulatorError(f"{self._name} does not start{self._tail()}")

    @property
    def _name(self) -> str:
        return f"the link {self.near.interface} - {self.far.interface}"

    def _tail(self) -> str:
        text = self._log.read_text(encoding="utf-8", errors="replace").strip()
        return f": {text}" if text else ""


@contextmanager
def emulate(
    near: End, far: End, folder: Path, options: LinkOptions | None = None
) -> Iterator[EmulatedLink]:
    """Hold an emulated link for the length of a block."""
    link = EmulatedLink(near, far, folder, options or LinkOptions())
    try:
        yield link
    finally:
        link.stop()


def _spec(end: End) -> str:
    return f"{end.kind.value}:{end.interface}@{end.namespace.path}"
