"""Machines that have nothing of ours yet, for commands as they stand in the documents. Needs root.

All of them are this machine with another layer on top (overlayfs), seen by chroot in one private
mount and PID namespace. What commands write ends up in the layer and shows what they leave behind;
it vanishes with the namespaces, as all processes do.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mqvpn_core.demo.namespaces import NetworkNamespace, namespaces
from mqvpn_core.demo.processes import Process
from tests.documents.blocks import ROOT

CHECKOUT = "/srv/mqvpn"
"""Where a copy of the checkout is on each machine."""
PATIENCE = 20.0
_TOOLS = (
    "unshare",
    "nsenter",
    "chroot",
    "runuser",
    "useradd",
    "install",
    "ping",
    "nft",
    "dbus-daemon",
)
_POLKITD = ("/usr/lib/polkit-1/polkitd", "/usr/libexec/polkitd")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CAN_MAKE_ENVIRONMENTS = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
_INSTALLED = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "resources")
_PACKAGES = ("mqvpn_core", "mqvpn_gui", "mqvpn_helper")
_PASSED_ON = ("PIP_", "SSL_", "http_proxy", "https_proxy", "no_proxy")
# Written by the machine's own tools whatever they do, and caches.
_ASIDE = ("root/", "srv/", "tmp/", "run/", "var/cache/", "var/log/", "etc/.pwd.lock")

_HOLD = """\
set -eu
mount -t tmpfs -o mode=755 tmpfs "$1"
echo ready
exec sleep infinity
"""
_MAKE = """\
set -eu
base=$1 lower=$2 root=$1/root
mkdir -p "$base/layer" "$base/work" "$root"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$base/layer,workdir=$base/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
"""


def machine_obstacle() -> str | None:
    """Say what is missing for such machines; None when nothing is."""
    missing = [tool for tool in _TOOLS if shutil.which(tool, path=_PATH) is None]
    if subprocess.run(
        ["python3", "-c", _CAN_MAKE_ENVIRONMENTS], check=False, env={"PATH": _PATH}
    ).returncode:
        missing.append("a python3 of the system, 3.11 or newer, with venv")
    known = Path("/proc/filesystems").read_text(encoding="ascii")
    missing += [f"{name} in the kernel" for name in ("overlay",) if name not in known]
    return f"missing: {', '.join(missing)}" if missing else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A shell script that ran to its end."""

    code: int
    """Exit code."""
    out: str
    """Standard output."""
    err: str
    """Standard error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine. A: ``files``, ``read``. C: ``run``, ``start``, ``write``."""

    place: Path
    """Its root, as the holder of the namespaces sees it."""
    holder: int
    """Process whose mount and PID namespaces it is in."""
    network: NetworkNamespace | None
    """Its network; None: that of this machine, to install things."""
    log: Path
    """What programs that were started say."""
    started: list[Process]
    """Programs that were started, to wait for when the namespaces are gone."""

    def run(
        self, script: str, *, user: str = "root", directory: str = CHECKOUT, given: str = ""
    ) -> Finished:
        """Run commands, which have to succeed, and return what they said.

        Args:
            script: for a shell, which stops at the first failure.
            user: who runs it.
            directory: where.
            given: standard input.
        """
        done = subprocess.run(
            self._command(script, user, directory),
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
            env=_environment(user),
        )
        finished = Finished(code=done.returncode, out=done.stdout, err=done.stderr)
        assert finished.code == 0, f"{script}\n{finished.out}\n{finished.err}"
        return finished

    def start(self, script: str) -> "Program":
        """Start what runs until it is stopped, or until the machine ends."""
        number = f"/tmp/{time.perf_counter_ns()}.pid"  # noqa: S108 - that of the machine
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                self._command(f"echo $$ >{number}\nexec {script}", "root", CHECKOUT),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment("root"),
            )
        self.started.append(process)
        return Program(machine=self, process=process, number=number)

    def start_bus(self) -> None:
        """Start the system bus with polkit."""
        self.run("mkdir -p /run/dbus; dbus-daemon --system --fork")
        self.start(f"{next(each for each in _POLKITD if Path(each).exists())} --no-debug")

    def write(self, path: str, text: str) -> None:
        """Write a file."""
        self.run(f"mkdir -p $(dirname {path}); cat > {path}", directory="/", given=text)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something holds."""
        deadline = time.perf_counter() + PATIENCE
        while not condition():
            text = self.log.read_text(encoding="utf-8", errors="replace")
            assert time.perf_counter() < deadline, f"no {what}\n{text}"
            time.sleep(0.05)

    def files(self) -> set[str]:
        """Files and folders that this machine has beyond what was there before, and no caches."""
        layer = Path(f"/proc/{self.holder}/root{self.place.parent}/layer")
        found = {
            str(path.relative_to(layer))
            for path in layer.rglob("*")
            # A file that was there and is removed is a character device in a layer.
            if not path.is_char_device()
            and not (path.is_dir() and _is_of_this_machine(layer, path))
        }
        return {each for each in found if not each.startswith(_ASIDE)}

    def has(self, path: str) -> bool:
        """Whether there is such a file, by its path from the root."""
        return os.path.lexists(f"/proc/{self.holder}/root{self.place}/{path}")

    def _command(self, script: str, user: str, directory: str) -> list[str]:
        enter = ["nsenter", f"--target={self.holder}", "--mount", "--pid"]
        if self.network is not None:
            enter.append(f"--net={self.network.path}")
        run = ["runuser", "-u", user, "--"] if user != "root" else []
        shell = ["sh", "-ec", f"cd {directory}\n{script}"]
        return [*enter, "--", "chroot", str(self.place), *run, *shell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program that runs on a machine. C: ``interrupt``."""

    machine: Machine
    """Where it runs."""
    process: Process
    """What waits for it."""
    number: str
    """File with its process ID there."""

    def interrupt(self) -> int:
        """End it as Ctrl-C does, and return its exit code."""
        self.machine.run(f"kill -INT $(cat {self.number})")
        return self.process.wait(PATIENCE)


class Machines:
    """Makes machines. C: ``make``."""

    def __init__(self, holder: int, place: Path, directory: Path) -> None:
        self._holder = holder
        self._place = place
        self._directory = directory
        self.started: list[Process] = []
        """Programs that run on any of the machines."""

    def make(
        self, name: str, network: NetworkNamespace | None, below: Sequence[Machine] = ()
    ) -> Machine:
        """Make a machine.

        Args:
            name: what its folder is called.
            network: its network; None has that of this machine.
            below: machines that it starts as, the first one on top; they must not change any more.
        """
        base = self._place / name
        lower = ":".join([*(str(each.place.parent / "layer") for each in below), "/"])
        enter = ["nsenter", f"--target={self._holder}", "--mount", "--pid"]
        enter += [] if network is None else [f"--net={network.path}"]
        command = [*enter, "--", "bash", "-c", _MAKE, "make", str(base), lower]
        subprocess.run(command, check=True)
        machine = Machine(
            place=base / "root",
            holder=self._holder,
            network=network,
            log=self._directory / f"{name}.log",
            started=self.started,
        )
        machine.log.touch()
        source = Path(f"/proc/{self._holder}/root{machine.place}{CHECKOUT}")
        if not source.exists():
            _copy_checkout(source)
        return machine


@contextmanager
def machines(directory: Path) -> Iterator[Machines]:
    """Hold the namespaces of machines for the length of a block.

    Args:
        directory: an empty one for what they are made of and for logs.
    """
    place = directory / "machines"
    place.mkdir()
    log = directory / "holder.log"
    with ExitStack() as held:
        (namespace,) = held.enter_context(namespaces("machines"))
        process = namespace.start(
            [
                *("unshare", "--mount", "--propagation", "private"),
                *("--pid", "--fork", "--kill-child", "--mount-proc"),
                *("bash", "-c", _HOLD, "hold", str(place)),
            ],
            log,
        )
        held.callback(process.wait)
        held.callback(process.kill)
        deadline = time.perf_counter() + PATIENCE
        while "ready" not in log.read_text(encoding="utf-8"):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.perf_counter() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.02)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        made = Machines(int(children.read_text(encoding="ascii").split()[0]), place, directory)
        yield made
    for each in made.started:
        each.wait(PATIENCE)


def _is_of_this_machine(layer: Path, path: Path) -> bool:
    return (Path("/") / path.relative_to(layer)).is_dir()


def _copy_checkout(target: Path) -> None:
    target.mkdir(parents=True)
    unwanted = shutil.ignore_patterns("__pycache__", "*.so")
    for name in (*_INSTALLED, *_PACKAGES):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=unwanted)
        else:
            shutil.copy(source, target / name)


def _environment(user: str) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    home = "/root" if user == "root" else f"/srv/{user}"
    # The pure wheel: a compiler's minute shows nothing here.
    own = {"PATH": _PATH, "HOME": home, "LANG": "C.UTF-8", "MQVPN_NATIVE": "off"}
    return {**kept, **own}
