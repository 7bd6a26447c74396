"""A real server and a real client of ``mqvpn-core`` in a world: command lines, start, status, end.

Knows the command line and nothing of what the programs do.
"""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mqvpn_core.app.control_client import fetch_status
from mqvpn_core.demo.namespaces import NetworkNamespace
from mqvpn_core.demo.processes import Process, stop_process
from mqvpn_core.errors import HostError, MqvpnError
from mqvpn_core.runtime.status_values import Status, decode_status_values

PORT = 443
"""UDP port of the server."""
INNER_SUBNET = "10.0.0.0/24"
"""Pool of inner IPv4 addresses."""
INNER_SUBNET6 = "fd00:6d71::/64"
"""Pool of inner IPv6 addresses."""

WEB_PORT = 80
"""TCP port of the web host."""

_POLL_INTERVAL = 0.1
_START_PATIENCE = 10.0
_LOG_TAIL_LINES = 12


class ProgramError(MqvpnError):
    """A program did not do what it was started for; the message holds the end of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a server and its clients have to agree on, in files below one directory."""

    directory: Path
    """Where the files are."""
    certificate: Path
    """PEM certificate of the server."""
    private_key: Path
    """PEM key of the server."""
    auth_key: Path
    """File with the shared key."""
    pin: str
    """SPKI pin of the certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One running ``mqvpn-core``."""

    name: str
    """What messages call it."""
    process: Process
    """The process."""
    log: Path
    """What it wrote."""
    control_socket: Path
    """Where it serves its status."""
    command: tuple[str, ...] = field(default=())
    """How it was started."""

    def status(self) -> Status | None:
        """Its status now; ``None`` while it serves none."""
        try:
            return decode_status_values(fetch_status(self.control_socket))
        except HostError:
            return None

    def log_tail(self) -> str:
        """The last lines it wrote."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-_LOG_TAIL_LINES:])

    def wait_for(self, condition: Callable[[Status], bool], seconds: float, what: str) -> Status:
        """Wait until its status meets a condition.

        Raises:
            ProgramError: it ended, or the time is up.
        """
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            if self.process.poll() is not None:
                raise ProgramError(
                    f"{self.name} ended with code {self.process.returncode} before {what}:\n"
                    f"{self.log_tail()}"
                )
            status = self.status()
            if status is not None and condition(status):
                return status
            time.sleep(_POLL_INTERVAL)
        raise ProgramError(f"{self.name}: no {what} within {seconds:.0f} s:\n{self.log_tail()}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its exit code."""
        return stop_process(self.process, how)


def executable() -> str:
    """The ``mqvpn-core`` that belongs to this interpreter."""
    beside = Path(sys.executable).with_name("mqvpn-core")
    found = str(beside) if beside.exists() else shutil.which("mqvpn-core")
    if found is None:
        raise ProgramError("mqvpn-core is not installed: pip install . first")
    return found


def make_credentials(directory: Path) -> Credentials:
    """Make a self-signed certificate and a key with the program's own commands."""
    certificate, private_key = directory / "server.crt", directory / "server.key"
    made = _run("gencert", "--cert", str(certificate), "--key", str(private_key), "--json")
    auth_key = directory / "auth.key"
    _run("genkey", "--output", str(auth_key))
    return Credentials(
        directory=directory,
        certificate=certificate,
        private_key=private_key,
        auth_key=auth_key,
        pin=json.loads(made)["pin"],
    )


def start_server(
    namespace: NetworkNamespace,
    credentials: Credentials,
    options: Sequence[str] = (),
    *,
    has_ipv6: bool = True,
) -> Program:
    """Start a server in a namespace; it listens when its status answers.

    Args:
        namespace: where it runs.
        credentials: what it shows, and whom it trusts.
        options: more of the command line.
        has_ipv6: whether its tunnels carry IPv6.
    """
    directory = credentials.directory
    command = (
        *(executable(), "server", "--listen", f"[::]:{PORT}"),
        *("--cert", str(credentials.certificate), "--key", str(credentials.private_key)),
        *("--auth-key-file", str(credentials.auth_key)),
        *("--subnet", INNER_SUBNET),
        *(("--subnet6", INNER_SUBNET6) if has_ipv6 else ()),
        *("--lease-file", str(directory / "leases.json")),
        *("--control-socket", str(directory / "server.sock")),
        *options,
    )
    return start_program("server", namespace, command, directory)


def start_client(
    namespace: NetworkNamespace,
    credentials: Credentials,
    server: str,
    options: Sequence[str] = (),
    *,
    launcher: Sequence[str] = (),
) -> Program:
    """Start a client in a namespace; the namespace's label names its files.

    Args:
        namespace: where it runs.
        credentials: whom it trusts and what it shows.
        server: address of the server.
        options: more of the command line.
        launcher: what to run in place of ``mqvpn-core``.
    """
    host = f"[{server}]" if ":" in server else server
    command = (
        *(launcher or [executable()]),
        *("client", "--server", f"{host}:{PORT}", "--pin", credentials.pin),
        *("--auth-key-file", str(credentials.auth_key)),
        *("--control-socket", str(credentials.directory / f"{namespace.label}.sock")),
        *("--usage-file", "off"),
        *options,
    )
    return start_program(namespace.label, namespace, command, credentials.directory)


def start_web_host(namespace: NetworkNamespace, log: Path, port: int = WEB_PORT) -> Process:
    """Start the tiny web server of `mqvpn_core.demo.web_host` and wait until it listens."""
    command = [sys.executable, "-m", "mqvpn_core.demo.web_host", str(port)]
    process = namespace.start(command, log)
    deadline = time.perf_counter() + _START_PATIENCE
    while time.perf_counter() < deadline:
        try:
            namespace.call(lambda: socket.create_connection(("127.0.0.1", port)).close())
        except ConnectionRefusedError:
            time.sleep(_POLL_INTERVAL)
        else:
            return process
    raise ProgramError(f"the web host does not listen: {log.read_text(encoding='utf-8')}")


def start_program(
    name: str, namespace: NetworkNamespace, command: Sequence[str], directory: Path
) -> Program:
    """Start one ``mqvpn-core`` whose files in ``directory`` carry its name."""
    log = directory / f"{name}.log"
    process = namespace.start(command, log)
    return Program(
        name=name,
        process=process,
        log=log,
        control_socket=directory / f"{name}.sock",
        command=tuple(command),
    )


def _run(*arguments: str) -> str:
    result = subprocess.run([executable(), *arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ProgramError(f"mqvpn-core {arguments[0]} failed: {result.stderr.strip()}")
    return result.stdout
