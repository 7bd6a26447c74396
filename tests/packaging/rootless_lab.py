"""A user without any privilege who has podman, in a machine of his own. Needs root to make it.

Mount and PID namespace are private: the user stands in copies of the lists of users, and what he
has started ends with the laboratory. Images stay in its folder, so the next run is faster.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mqvpn_core.demo.namespaces import NetworkNamespace
from tests.packaging.flatpak_lab import CHECKOUT, copy_checkout, mirror, run

TOOLS = ("podman", "buildah", "crun", "slirp4netns", "newuidmap", "mmdebstrap", "setpriv")
UID = 61234
_HOME = "/srv/alice"
_BASE = "localhost/mqvpn-base"
RECIPE = CHECKOUT / "packaging/container/Containerfile"
_OF_THE_MACHINE = [f"--volume={name}:{name}:ro" for name in ("/etc/ssl/certs", "/etc/resolv.conf")]
_PASSED_ON = ("PIP_", "SSL_", "http_proxy", "https_proxy", "no_proxy")
# Everybody may open the device, as udev makes it on other machines. Machines of tests have control
# groups of two kinds, which no runtime takes.
_MAKE = f"""\
set -eu
mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /srv
mkdir /srv/dev {_HOME}
mknod -m 666 /srv/dev/tun c 10 200
mount --bind /srv/dev/tun /dev/net/tun
mount --bind "$1" {_HOME}
for list in passwd group subuid subgid; do cp "/etc/$list" "/srv/dev/$list"; done
echo alice:x:{UID}:{UID}::{_HOME}:/bin/sh >>/srv/dev/passwd
echo alice:x:{UID}: >>/srv/dev/group
echo alice:200000:65536 >>/srv/dev/subuid
echo alice:200000:65536 >>/srv/dev/subgid
for list in passwd group subuid subgid; do mount --bind "/srv/dev/$list" "/etc/$list"; done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/user/{UID}
chown {UID}:{UID} {_HOME} /run/user/{UID}
chmod 700 /run/user/{UID}
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo ready
exec sleep infinity
"""
# The recipes are built and run as they stand, and with what this laboratory needs beside that:
# building takes a changed root and the machine's network, running takes no groups, and no limits
# that only root could raise; and there is no journal.
_PODMAN = """\
#!/bin/sh
case $1 in
build) shift; set -- build --isolation=chroot --network=host $BUILD_OPTIONS "$@" ;;
run) shift
    set -- --ulimit=nofile=1024:1024 --ulimit=nproc=512:512 "$@"
    set -- run --log-driver=k8s-file --cgroups=disabled "$@" ;;
esac
exec /usr/bin/podman --log-level=error "$@"
"""


def missing_tools() -> list[str]:
    """Programs that are not here."""
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    return [tool for tool in TOOLS if shutil.which(tool, path=path) is None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rootless:
    """The user's machine. A: ``images``. C: ``run``, ``prepare``."""

    home: Path
    """His home, from outside."""
    holder: int
    """Process whose namespaces they are."""
    network: NetworkNamespace
    """Where his containers run."""
    build_options: list[str] = field(default_factory=lambda: list(_OF_THE_MACHINE))
    """What podman is told beside what the documents say when it builds."""

    def run(self, script: str, *, to_build: bool = False) -> str:
        """Let the user run commands in a copy of the checkout; return what they printed.

        Args:
            script: for a shell, which stops at the first failure.
            to_build: in the network of this machine, where packages are, and not in the
                laboratory's.
        """
        enter = ["nsenter", f"--target={self.holder}", "--mount", "--pid"]
        enter += [] if to_build else [f"--net={self.network.path}"]
        become = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
        done = subprocess.run(
            [*enter, "--", *become, "sh", "-ec", f"cd {_HOME}/source\n{script}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
            env=self._environment(),
        )
        shown = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
        assert done.returncode == 0, f"{script}\n{shown}"
        return done.stdout

    def prepare(self) -> None:
        """Give him the checkout, podman's wrapper, and a base for images if none can be had."""
        for name in ("source", "bin"):
            shutil.rmtree(self.home / name, ignore_errors=True)
        copy_checkout(self.home / "source")
        (self.home / "bin").mkdir()
        wrapper = self.home / "bin/podman"
        wrapper.write_text(_PODMAN)
        wrapper.chmod(0o755)
        run("chown", "-R", f"{UID}:{UID}", str(self.home / "source"), str(self.home / "bin"))
        # Of a run that was broken off.
        self.run("podman rm --force --all >&2; podman volume prune --force >&2")
        (default,) = re.findall(r"^ARG BASE=(.*)$", RECIPE.read_text("utf-8"), re.MULTILINE)
        self.run(f"podman pull --quiet {default} || echo none", to_build=True)
        if default not in self.images():
            self._make_base()
            self.build_options.append(f"--build-arg=BASE={_BASE}")

    def _make_base(self) -> None:
        """Make a base for images out of Debian packages, for machines without a registry."""
        if f"{_BASE}:latest" in self.images():
            return
        archive = self.home / "base.tar"
        run(
            *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"),
            *("--include=ca-certificates", "bookworm", str(archive)),
            f"deb {mirror()} bookworm main",
        )
        archive.chmod(0o644)
        self.run(f"podman import --quiet {_HOME}/base.tar {_BASE}")
        archive.unlink()

    def images(self) -> list[str]:
        """Names of the images that he has."""
        return self.run("podman images --format '{{.Repository}}:{{.Tag}}'").split()

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
        return {
            **kept,
            "PATH": f"{_HOME}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": _HOME,
            "STORAGE_DRIVER": "overlay",
            "XDG_RUNTIME_DIR": f"/run/user/{UID}",
            "BUILD_OPTIONS": " ".join(self.build_options),
        }


@contextmanager
def rootless(folder: Path, network: NetworkNamespace, log: Path) -> Iterator[Rootless]:
    """Hold the machine for the length of a block.

    Args:
        folder: becomes his home, and is kept.
        network: where his containers run.
        log: what making it says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    process = network.start(
        [
            *("unshare", "--mount", "--propagation", "private"),
            *("--pid", "--fork", "--kill-child", "--mount-proc"),
            *("sh", "-c", _MAKE, "make", str(folder)),
        ],
        log,
    )
    try:
        deadline = time.perf_counter() + 20
        while "ready" not in log.read_text(encoding="utf-8"):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.perf_counter() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.05)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        holder = int(children.read_text(encoding="ascii").split()[0])
        made = Rootless(home=folder, holder=holder, network=network)
        made.prepare()
        yield made
    finally:
        process.kill()
        process.wait()
