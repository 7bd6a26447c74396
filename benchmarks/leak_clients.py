"""The two ways in which people have a client: by the helper on a system bus, and ``mqvpn-core``.

Both are real and whole. What is common to them is a `LeakClient`: it can be wanted or not, it has
processes that can be killed, and it knows when its kill switch is in force.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from mqvpn_core.demo.programs import PORT, Credentials, Program, ProgramError, start_client
from mqvpn_core.demo.story import is_connected
from mqvpn_core.demo.topology import SERVER_IPV4, World
from tests.bus.system_bus import CallError, SystemBus, secret, variant

PATIENCE = 60.0
"""Seconds that anything may take on a busy machine."""
OUTER_NAME_SERVER = "192.0.2.1"
"""Whom the machine asks for names without a tunnel: the router on its first link."""
_INNER_NAME_SERVER = "10.0.0.1"
_LOOK_AGAIN = 0.1
_NO_TUNNEL = frozenset({"off", "blocked", "error"})
_CORE = "mqvpn_core.cli.under_helper"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user wants of the next tunnel."""

    kill_switch: str
    """``off``, ``standard`` or ``always``."""
    has_ipv6: bool
    """Whether the tunnel shall carry IPv6."""
    has_names: bool
    """Whether name servers of the tunnel shall be used."""


class LeakClient(Protocol):
    """A client that things happen to."""

    def start(self, wish: Wish) -> None:
        """Want the tunnel; return when its kill switch is in force."""

    def stop(self) -> None:
        """Want it no more; return when the machine is as that means."""

    def wait_up(self, seconds: float) -> bool:
        """Wait for the tunnel; tell whether it came."""

    def misfortunes(self) -> Mapping[str, Callable[[float], None]]:
        """What may happen to its processes; each takes the seconds until somebody acts on it."""

    def has_given_up(self) -> bool:
        """Tell whether it does nothing more until the user says something."""

    def traces(self) -> str:
        """Return what of the machine is not seen from outside: whom it asks for names."""

    def recover(self) -> None:
        """Take back a kill switch that lasts."""


class ProgramClient:
    """``mqvpn-core client``, which has the privilege itself."""

    def __init__(self, world: World, credentials: Credentials) -> None:
        """Start with none running.

        Args:
            world: where it runs.
            credentials: whom it trusts.
        """
        self._world = world
        self._credentials = credentials
        self._program: Program | None = None
        self._wish: Wish | None = None

    def start(self, wish: Wish) -> None:
        """Want the tunnel; return when its kill switch is in force."""
        self._wish = wish
        options = [] if wish.kill_switch == "off" else [f"--kill-switch={wish.kill_switch}"]
        options += [] if wish.has_ipv6 else ["--no-ipv6"]
        client = start_client(self._world.client, self._credentials, SERVER_IPV4, options)
        # Its socket answers once everything is in force that must be before it connects.
        client.wait_for(lambda _status: True, PATIENCE, "answer")
        self._program = client

    def stop(self) -> None:
        """Want it no more; return when the machine is as that means."""
        if self._program is not None:
            self._program.stop()

    def wait_up(self, seconds: float) -> bool:
        """Wait for the tunnel; tell whether it came."""
        assert self._program is not None
        try:
            self._program.wait_for(is_connected, seconds, "tunnel")
        except ProgramError:
            return False
        return True

    def misfortunes(self) -> Mapping[str, Callable[[float], None]]:
        """What may happen to its process."""
        return {"kill -9 of the client": self._kill, "machine suspended": self._suspend}

    def has_given_up(self) -> bool:
        """Never: it goes on until it is stopped."""
        return False

    def traces(self) -> str:
        """Return nothing: it is not told to change whom the machine asks."""
        return ""

    def recover(self) -> None:
        """Take back a kill switch that lasts, as one that starts without it does."""
        self.start(Wish(kill_switch="off", has_ipv6=True, has_names=False))
        self.stop()

    def _kill(self, seconds: float) -> None:
        assert self._program is not None
        assert self._wish is not None
        self._program.stop(signal.SIGKILL)
        time.sleep(seconds)
        self.start(self._wish)

    def _suspend(self, seconds: float) -> None:
        assert self._program is not None
        self._program.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._program.process.send_signal(signal.SIGCONT)


class HelperClient:
    """The helper on a system bus with real polkitd, called by an ordinary user."""

    def __init__(self, bus: SystemBus, logind: Callable[[str], int], key: str, pin: str) -> None:
        """Take the machine.

        Args:
            bus: the bus.
            logind: tells of suspend and resume.
            key: the user's key.
            pin: of the server.
        """
        self._bus = bus
        self._logind = logind
        self._key = key
        self._pin = pin
        self._user = bus.user("alice")
        self._wish: Wish | None = None

    def start(self, wish: Wish) -> None:
        """Want the tunnel; return when its kill switch is in force."""
        self._wish = wish
        profile = {
            "server": variant("s", f"{SERVER_IPV4}:{PORT}"),
            "pins": variant("as", [self._pin]),
            "paths": variant("as", ["wlan0", "lte0"]),
            "kill_switch": variant("s", wish.kill_switch),
            "ipv6": variant("b", wish.has_ipv6),
            "dns": variant("as", [_INNER_NAME_SERVER] if wish.has_names else []),
        }
        self._call("Connect", profile, secret(self._key))
        self._wait(lambda seen: seen["KillSwitch"] == wish.kill_switch, PATIENCE)

    def stop(self) -> None:
        """Want it no more; return when the machine is as that means."""
        try:
            self._call("Disconnect")
        except CallError as error:
            # A crash may have left no tunnel to end, and a kill switch that lasts stays.
            if not error.name.endswith(".NotConnected"):
                raise

    def wait_up(self, seconds: float) -> bool:
        """Wait for the tunnel; tell whether it came."""
        return self._wait(lambda seen: seen["State"] in {"up", "degraded"}, seconds)

    def misfortunes(self) -> Mapping[str, Callable[[float], None]]:
        """What may happen to its processes."""
        return {
            "kill -9 of the core": self._kill_core,
            "kill -9 of the helper": lambda seconds: self._end_helper(signal.SIGKILL, seconds),
            "kill -9 of both": self._kill_both,
            "helper told to end": lambda seconds: self._end_helper(signal.SIGTERM, seconds),
            "machine suspended": self._suspend,
        }

    def has_given_up(self) -> bool:
        """Tell whether its cores have died too often without any tunnel."""
        return self._properties()["State"] in _NO_TUNNEL

    def traces(self) -> str:
        """Return whom the machine asks for names."""
        return self._bus.run(["sh", "-c", "ls -l /etc/resolv.conf*; cat /etc/resolv.conf"]).stdout

    def recover(self) -> None:
        """Take back a kill switch that lasts, as root does."""
        self._bus.user("root").call("Recover")

    def _kill_core(self, seconds: float) -> None:
        for core in self._bus.processes(_CORE):
            _send(core, signal.SIGKILL)
        time.sleep(seconds)
        self._revive()

    def _kill_both(self, seconds: float) -> None:
        for core in self._bus.processes(_CORE):
            _send(core, signal.SIGKILL)
        self._end_helper(signal.SIGKILL, seconds)

    def _end_helper(self, how: signal.Signals, seconds: float) -> None:
        helper = self._bus.helper_pid()
        if helper:
            _send(helper, how)
            self._bus.wait(lambda: self._bus.helper_pid() != helper, "end of the helper")
        time.sleep(seconds)
        self._revive()

    def _suspend(self, seconds: float) -> None:
        """Suspend as logind does it: told before, nothing runs, told after."""
        self._logind("sleep")
        frozen = [*self._bus.processes(_CORE), self._bus.helper_pid()]
        for each in filter(None, frozen):
            _send(each, signal.SIGSTOP)
        time.sleep(seconds)
        for each in filter(None, frozen):
            _send(each, signal.SIGCONT)
        self._logind("wake")

    def _revive(self) -> None:
        """Do what a user does who finds no tunnel: want it again."""
        assert self._wish is not None
        if self._properties()["State"] in _NO_TUNNEL:
            # A session of the same helper that has given up is for `has_given_up`.
            with suppress(CallError):
                self.start(self._wish)

    def _wait(self, condition: Callable[[dict[str, object]], bool], seconds: float) -> bool:
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            if condition(self._properties()):
                return True
            time.sleep(_LOOK_AGAIN)
        return False

    def _properties(self) -> dict[str, object]:
        return self._user.properties()

    def _call(self, member: str, *body: object) -> None:
        self._user.call(member, *body)


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
