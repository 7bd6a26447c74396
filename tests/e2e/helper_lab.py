"""A helper with an unprivileged core in the laboratory of the namespace tests."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mqvpn_core.demo.processes import Process, stop_process
from mqvpn_core.demo.topology import SERVER_IPV4
from tests.e2e.topology import Lab, eventually

_ROOT = Path(__file__).resolve().parents[2]


class HelperSession:
    """One session of a helper in the client's namespace, with what it has told."""

    def __init__(
        self,
        lab: Lab,
        *,
        secret: Path | None = None,
        resolver_file: Path | None = None,
        **members: bool | str | Sequence[str],
    ) -> None:
        """Start it.

        Args:
            lab: the world, whose server is the profile's.
            secret: file with the key; the right one by default.
            resolver_file: what it sees in place of /etc/resolv.conf.
            members: more of the profile.
        """
        self._lab = lab
        number = len(list(lab.directory.glob("session-*.log")))
        self.log = lab.directory / f"session-{number}.log"
        self.state_directory = lab.directory / "state"
        self._commands = lab.directory / f"session-{number}.fifo"
        os.mkfifo(self._commands)
        profile = lab.directory / f"session-{number}.json"
        pins = [lab.credentials.pin]
        profile.write_text(json.dumps({"server": SERVER_IPV4, "pins": pins, **members}))
        command = [
            *(sys.executable, str(_ROOT / "tests/helper/reachable.py"), sys.executable),
            *("-m", "tests.helper.session_runner", str(profile)),
            *(str(secret or lab.credentials.auth_key), str(self.state_directory)),
            str(self._commands),
        ]
        environment = {"PYTHONPATH": str(_ROOT)}
        if resolver_file is not None:
            environment["MQVPN_TEST_RESOLV_CONF"] = str(resolver_file)
        self.process: Process = lab.world.client.start(command, self.log, environment)

    def events(self, kind: str | None = None) -> list[Mapping[str, object]]:
        """What it told so far, or only events of a kind."""
        found = []
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith('{"event":'):
                event = json.loads(line)
                if kind in {None, event["event"]}:
                    found.append(event)
        return found

    def tell(self, command: str) -> None:
        """Give it a command."""
        with self._commands.open("w") as pipe:
            pipe.write(command + "\n")

    @property
    def core_pids(self) -> list[int]:
        """Processes of the cores so far, the newest last."""
        return [int(str(event["pid"])) for event in self.events("Launched")]

    @property
    def state(self) -> str:
        """State of the tunnel."""
        states = self.events("StateChanged")
        return str(states[-1]["state"]) if states else ""

    def wait_state(self, state: str, seconds: float = 20.0) -> None:
        """Wait for a state."""
        eventually(lambda: self.state == state, seconds, f"state {state}")

    def wait_event(self, kind: str, count: int = 1, seconds: float = 20.0) -> None:
        """Wait until something was told often enough."""
        eventually(lambda: len(self.events(kind)) >= count, seconds, f"{kind} {count} times")

    def tail(self) -> str:
        """The end of what it wrote."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(line[:300] for line in lines[-20:])

    def stop(self) -> None:
        """End the process, if it has not ended; its last words are shown when a test fails."""
        stop_process(self.process)
        sys.stdout.write(f"--- {self.log.name}\n{self.tail()}\n")
