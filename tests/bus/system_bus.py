"""A private system bus with real polkitd for tests, and users on it. Needs root.

`SystemBus` is the bus: the helper on it is activated by the first call. `BusUser` is a connection
of one of its users. alice and carol sit at the machine (active sessions on two seats), bob does
not.
"""

import json
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from mqvpn_core.demo.namespaces import NetworkNamespace, namespaces
from mqvpn_core.demo.processes import Process
from mqvpn_helper.interface.bus_interface import INTERFACES
from mqvpn_helper.interface.bus_names import (
    BUS_NAME,
    INTERFACE_NAME,
    OBJECT_PATH,
    PROPERTIES_INTERFACE,
)
from tests.bus.seats import SESSIONS, USERS, pid_namespace, remove_cgroups, scope_of

CHECKOUT = Path(__file__).parents[2]
RESOURCES = CHECKOUT / "resources"
HERE = Path(__file__).parent
PATIENCE = 20.0
_TOOLS = ("dbus-daemon", "runuser", "unshare", "nsenter", "gdbus", "pkcheck")
_POLKITD = ("/usr/lib/polkit-1/polkitd", "/usr/libexec/polkitd")
_SIGNATURES = {(i.name, m.name): m.input_signature for i in INTERFACES for m in i.methods}


def bus_obstacle() -> str | None:
    """Say what is missing for a private bus; None when nothing is."""
    missing = [tool for tool in _TOOLS if shutil.which(tool, path=_PATH) is None]
    if not any(Path(each).exists() for each in _POLKITD):
        missing.append("polkitd")
    known = Path("/proc/filesystems").read_text(encoding="ascii")
    missing += [f"{name} in the kernel" for name in ("overlay", "cgroup2") if name not in known]
    return f"missing: {', '.join(missing)}" if missing else None


_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class CallError(Exception):
    """A call was answered with an error."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


def variant(signature: str, value: object) -> object:
    """A variant for the body of a call."""
    return {"variant": [signature, value]}


def secret(text: str) -> object:
    """A descriptor for the body of a call: the read end of a pipe with this in it."""
    return {"pipe": text}


class BusUser:
    """A connection of one user. C: `call`. A: `properties`, `signal`."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.name = name
        self._process = process
        self.seconds = 0.0
        """How long the last call took."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the connection go."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def call(
        self,
        member: str,
        *body: object,
        interface: str = INTERFACE_NAME,
        signature: str | None = None,
        is_interactive: bool = False,
        to: str = BUS_NAME,
        path: str = OBJECT_PATH,
    ) -> list[object]:
        """Call a method and return what it returns."""
        given = _SIGNATURES.get((interface, member), "") if signature is None else signature
        answer = self.ask(
            {
                "call": member,
                "body": list(body),
                "interface": interface,
                "signature": given,
                "interactive": is_interactive,
                "to": to,
                "path": path,
            }
        )
        seconds = answer["seconds"]
        assert isinstance(seconds, float)
        self.seconds = seconds
        if "error" in answer:
            raise CallError(str(answer["error"]), str(answer["text"]))
        reply = answer["reply"]
        assert isinstance(reply, list)
        return reply

    def properties(self) -> dict[str, object]:
        """All properties of the helper that this user may see."""
        (values,) = self.call("GetAll", INTERFACE_NAME, interface=PROPERTIES_INTERFACE)
        assert isinstance(values, dict)
        return {name: value for name, (_, value) in values.items()}

    def wait_state(self, *states: str, seconds: float = PATIENCE) -> str:
        """Wait until the tunnel is in one of these states."""
        deadline = time.perf_counter() + seconds
        while (state := str(self.properties()["State"])) not in states:
            assert time.perf_counter() < deadline, (state, self.properties())
            time.sleep(0.1)
        return state

    def signal(self, member: str, seconds: float = PATIENCE) -> list[object] | None:
        """The next signal of this name that comes to this user; None when there is none."""
        body = self.ask({"signal": member, "seconds": float(seconds)})["body"]
        assert body is None or isinstance(body, list)
        return body

    def ask(self, request: Mapping[str, object]) -> dict[str, object]:
        """Let the connection do something; see ``caller.py``."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        line = stdout.readline()
        assert line, "the connection is gone"
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer


class SystemBus:
    """The bus. A: `helper_pid`, `log`. C: `user`, `run`, `kill_helper`."""

    def __init__(self, namespace: NetworkNamespace, process: Process, logs: Path, tag: str) -> None:
        self.namespace = namespace
        self.logs = logs
        self._process = process
        self._tag = tag
        self._users: list[BusUser] = []

    def user(self, name: str, *, seated: bool | None = None) -> BusUser:
        """Connect a user; whoever has a session is in it unless told otherwise."""
        command = self.command([sys.executable, str(HERE / "caller.py")], user=name, seated=seated)
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
        )
        self._users.append(BusUser(name, process))
        return self._users[-1]

    def command(
        self, command: Sequence[str], *, user: str = "root", seated: bool | None = None
    ) -> list[str]:
        """The command line that runs a command on this machine, where this bus is the system's."""
        enter = ["nsenter", f"--target={self._inner_pid()}", "--mount", "--pid", "--net"]
        run = ["runuser", "-u", user, "--", *command] if user != "root" else list(command)
        if seated if seated is not None else user in SESSIONS:
            scope = f"/sys/fs/cgroup/{scope_of(user, self._tag)}/cgroup.procs"
            run = ["sh", "-c", f'echo 0 >{scope} && exec "$@"', "sh", *run]
        return [*enter, "--", *run]

    def cgroup(self, user: str) -> str:
        """The control group of a user's session, below the root of all of them."""
        return scope_of(user, self._tag)

    def run(
        self, command: Sequence[str], *, user: str = "root", seated: bool | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.command(command, user=user, seated=seated),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd="/",
        )

    def helper_pid(self) -> int:
        """Process ID of the helper, as this machine counts; 0 when there is none."""
        inside = self.run(
            [
                *("gdbus", "call", "--system", "-d", "org.freedesktop.DBus"),
                *("-o", "/org/freedesktop/DBus"),
                *("-m", "org.freedesktop.DBus.GetConnectionUnixProcessID", BUS_NAME),
            ]
        )
        digits = "".join(filter(str.isdigit, inside.stdout.partition("uint32")[2]))
        return self.outer_pid(int(digits)) if digits else 0

    def outer_pid(self, inner: int) -> int:
        """What this machine calls a process of the private PID namespace."""
        wanted = pid_namespace(self._inner_pid())
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and pid_namespace(int(entry.name)) == wanted:
                numbers = process_status(int(entry.name)).get("NSpid", "").split()
                if numbers and int(numbers[-1]) == inner:
                    return int(entry.name)
        return 0

    def processes(self, words: str) -> list[int]:
        """Process IDs of what runs on the private machine with these words in its command."""
        wanted = pid_namespace(self._inner_pid())
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and pid_namespace(int(entry.name)) == wanted:
                try:
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue
                if words in command:
                    found.append(int(entry.name))
        return found

    @contextmanager
    def logind(self) -> Iterator[Callable[[str], int]]:
        """Play logind: what is yielded takes ``sleep``, ``wake`` or ``count``, see the program."""
        command = self.command([sys.executable, str(HERE / "fake_logind.py")])
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
        ) as logind:
            stdin, stdout = logind.stdin, logind.stdout
            assert stdin is not None
            assert stdout is not None
            assert stdout.readline() == "ready\n"

            def tell(word: str) -> int:
                stdin.write(word + "\n")
                stdin.flush()
                return int(stdout.readline())

            yield tell
            stdin.close()

    @contextmanager
    def password_agent(self, user: BusUser, password: str) -> Iterator[None]:
        """Answer polkit's question for a user's password, as somebody at a terminal would."""
        process = user.ask({"process": 0})["process"]
        command = self.command(
            [sys.executable, str(HERE / "password_agent.py"), str(process), password],
            user=user.name,
        )
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd="/") as agent:
            assert agent.stdout is not None
            assert agent.stdout.readline() == "ready\n"
            try:
                yield
            finally:
                agent.terminate()

    def wait(self, condition: Callable[[], bool], what: str) -> float:
        """Wait for something and return how long it took."""
        started = time.perf_counter()
        while not condition():
            assert time.perf_counter() - started < PATIENCE, f"no {what}\n{self.log()}"
            time.sleep(0.02)
        return time.perf_counter() - started

    def stay(self, condition: Callable[[], bool], *, seconds: float) -> None:
        """Assert that something stays so for a while."""
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            assert condition()
            time.sleep(0.1)

    def log(self) -> str:
        """What the bus, polkitd and the helper have written."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(encoding='utf-8', errors='replace')}"
            for path in sorted(self.logs.glob("*.log"))
        )

    def disconnect_users(self) -> None:
        """Let all connections go."""
        while self._users:
            self._users.pop().close()

    def _inner_pid(self) -> int:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return int(children.read_text(encoding="ascii").split()[0])


@contextmanager
def system_bus(
    directory: Path,
    *,
    namespace: NetworkNamespace | None = None,
    rules: str = "",
    helper: Sequence[str] = (),
) -> Iterator[SystemBus]:
    """Hold a private bus for the length of a block.

    Args:
        directory: for logs.
        namespace: the network of the machine; a new one without links by default.
        rules: text of a polkit rules file.
        helper: arguments of the helper.
    """
    tag = uuid.uuid4().hex[:8]
    directory.chmod(0o755)
    program = directory / "helper"
    program.write_text(
        f"#!/bin/sh\nexec {sys.executable} -I -m mqvpn_helper.service.main"
        f" --verbose {' '.join(helper)} 2>>{directory}/helper.log\n",
        encoding="ascii",
    )
    program.chmod(0o755)
    environment = {
        "PATH": _PATH,
        "BUS_NEEDED_PATHS": " ".join(_needed_paths()),
        "BUS_USERS": "\n".join(f"{name} {uid}" for name, uid in USERS.items()),
        "BUS_SESSIONS": " ".join(SESSIONS),
        "BUS_TAG": tag,
        "BUS_RESOURCES": str(RESOURCES),
        "BUS_HELPER": str(program),
        "BUS_RULES": rules,
        "BUS_LOGS": str(directory),
        "BUS_POLKITD": next(each for each in _POLKITD if Path(each).exists()),
    }
    with ExitStack() as held:
        if namespace is None:
            (namespace,) = held.enter_context(namespaces("bus"))
        held.callback(remove_cgroups, tag)
        log = directory / "system_bus.log"
        process = namespace.start(
            [
                *("unshare", "--mount", "--propagation", "private"),
                *("--pid", "--fork", "--kill-child", "--mount-proc"),
                *("bash", str(HERE / "system_bus.sh")),
            ],
            log,
            environment,
        )
        held.callback(process.wait)
        held.callback(process.kill)
        _wait(lambda: "ready" in log.read_text(encoding="utf-8"), process, log)
        bus = SystemBus(namespace, process, directory, tag)
        held.callback(bus.disconnect_users)
        yield bus


def _wait(condition: Callable[[], bool], process: Process, log: Path) -> None:
    deadline = time.perf_counter() + PATIENCE
    while not condition():
        if process.poll() is not None or time.perf_counter() > deadline:
            raise AssertionError(f"no private bus: {log.read_text(encoding='utf-8')}")
        time.sleep(0.02)


def _needed_paths() -> list[str]:
    """Directories that users of the private machine need to run our programs."""
    return sorted({sys.base_prefix, sys.prefix, str(CHECKOUT)})


def process_status(pid: int) -> dict[str, str]:
    """Return the fields of /proc/PID/status; empty when there is no such process."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
