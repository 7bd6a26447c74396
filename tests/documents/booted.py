"""A Debian with systemd, booted by systemd-nspawn in a network of its own. Needs root.

What it writes is in memory and gone with it, unless it is asked to keep it.
"""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mqvpn_core.demo.namespaces import NetworkNamespace

PATIENCE = 60.0
_PLACE = "/srv"
# As udev leaves it; containers have no udev.
_OPEN_TUN = "chmod 666 /dev/net/tun"
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """A booted Debian. A: ``files``. C: ``run``, ``wait``."""

    init: int
    """Process ID of its systemd."""

    def run(self, script: str, *, user: str = "root", given: str = "") -> str:
        """Run commands, which have to succeed, in /srv, and return what they printed.

        Args:
            script: for a shell, which stops at the first failure.
            user: who runs it.
            given: standard input.
        """
        enter = ["nsenter", f"--target={self.init}", "--all", "--"]
        change = [] if user == "root" else ["runuser", "-u", user, "--", "env", f"HOME=/srv/{user}"]
        place = _PLACE if user == "root" else f"{_PLACE}/{user}"
        done = subprocess.run(
            [*enter, *change, "sh", "-ec", f"cd {place}\n{script}"],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env=_ENVIRONMENT,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}\n{self._journal()}"
        return done.stdout

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something holds."""
        deadline = time.perf_counter() + PATIENCE
        while not condition():
            assert time.perf_counter() < deadline, f"no {what}\n{self._journal()}"
            time.sleep(0.2)

    def _journal(self) -> str:
        command = [
            "nsenter",
            f"--target={self.init}",
            "--all",
            "--",
            "journalctl",
            "-b",
            "-n",
            "60",
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def files(self) -> set[str]:
        """All files and folders but logs, caches, and what the package system keeps for itself."""
        aside = ("/var/lib/dpkg", "/var/lib/apt", "/var/cache", "/var/log", "/var/tmp", "/srv")  # noqa: S108 - not ours
        found = self.run("find / -xdev").splitlines()
        return {each for each in found if not each.startswith((*aside, "/var/lib/systemd/"))}


@contextmanager
def booted(
    root: Path, network: NetworkNamespace, log: Path, *, keeps_files: bool = False
) -> Iterator[Booted]:
    """Hold a booted Debian for the length of a block; at its end it is shut down in order.

    Args:
        root: what it starts as.
        network: its network.
        log: what it says while it boots.
        keeps_files: write to ``root``, so that the next boot finds it.
    """
    command = [
        *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit"),
        f"--volatile={'no' if keeps_files else 'overlay'}",
        *(f"--directory={root}", f"--network-namespace-path={network.path}"),
        *("--capability=CAP_NET_ADMIN", "--boot"),
    ]
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield _wait_booted(process, log)
    finally:
        process.terminate()  # systemd-nspawn has the system shut down
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_booted(process: subprocess.Popen[bytes], log: Path) -> Booted:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    ask = ["systemctl", "is-system-running"]
    deadline = time.perf_counter() + PATIENCE
    while True:
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.perf_counter() < deadline, log.read_text(errors="replace")
        for each in children.read_text(encoding="ascii").split():
            enter = ["nsenter", f"--target={each}", "--all", "--", *ask]
            state = subprocess.run(
                enter, capture_output=True, text=True, check=False, env=_ENVIRONMENT
            ).stdout.strip()
            if state in {"running", "degraded"}:
                machine = Booted(init=int(each))
                machine.run(_OPEN_TUN)
                return machine
        time.sleep(0.2)
