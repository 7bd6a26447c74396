"""The server in a container with one privilege, and a client outside: `./run container`.

The recipe is built as it stands, except for its base where no registry of images can be reached:
then it is a Debian made here. What runs, runs in a network namespace of the laboratory.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mqvpn_core.demo.processes import Process
from mqvpn_core.demo.topology import SERVER_IPV4, WEB_IPV4
from mqvpn_helper.interface.invite_link import SCHEME, InviteLink, decode_invite_link
from tests.bus.system_bus import process_status
from tests.e2e.conftest import credentials, lab, serve_web
from tests.e2e.topology import UP_PATIENCE, Lab, eventually, wait_connected
from tests.packaging.flatpak_lab import CHECKOUT, copy_checkout, mirror, run

__all__ = ["credentials", "lab"]

RECIPE = CHECKOUT / "packaging/container/Containerfile"
IMAGE = "localhost/mqvpn-server"
NET_ADMIN = 1 << 12
_BASE = "localhost/mqvpn-base"

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        os.environ.get("MQVPN_CONTAINER") != "require",
        reason="takes minutes and 1 GB: ./run container",
    ),
]


@dataclass(frozen=True, slots=True)
class Podman:
    """Podman with a store of images of its own."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        """The command line of a call."""
        store = ("--root", str(self.folder / "store"), "--runroot", str(self.folder / "run"))
        # Machines of tests have control groups of two kinds, which no runtime takes.
        groups = 'mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"'
        return [
            *("unshare", "--mount", "--propagation", "private", "sh", "-c", groups, "sh"),
            *("podman", *store, *arguments),
        ]

    def run(self, *arguments: str) -> str:
        """Call it and return what it wrote."""
        return run(*self.command(*arguments))

    def start_options(self) -> Sequence[str]:
        """What a container is not given: groups, and limits that only more power could raise."""
        return ("--rm", "--cgroups=disabled", "--ulimit=nofile=1024:1024", "--ulimit=nproc=512:512")


@pytest.fixture(scope="module")
def podman() -> Podman:
    """With the image, built from this checkout."""
    missing = [tool for tool in ("podman", "buildah", "mmdebstrap") if shutil.which(tool) is None]
    assert not missing, f"missing: {', '.join(missing)}"
    made = Podman(CHECKOUT / "build/container-lab")
    made.folder.mkdir(parents=True, exist_ok=True)
    options = [] if _has_registry(made) else ["--build-arg", f"BASE={_local_base(made)}"]
    source = made.folder / "source"
    shutil.rmtree(source, ignore_errors=True)
    copy_checkout(source)
    # No runtime is needed to build: RUN takes a changed root, and the machine's network.
    machine = [f"--volume={name}:{name}:ro" for name in ("/etc/ssl/certs", "/etc/resolv.conf")]
    made.run(
        *("build", "--isolation=chroot", "--network=host", *machine, *options, "--tag", IMAGE),
        *("--file", str(source / RECIPE.relative_to(CHECKOUT)), str(source)),
    )
    shutil.rmtree(source)
    return made


def _has_registry(podman: Podman) -> bool:
    default = next(line for line in RECIPE.read_text().splitlines() if line.startswith("ARG BASE="))
    command = podman.command("pull", "--quiet", default.removeprefix("ARG BASE="))
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _local_base(podman: Podman) -> str:
    if subprocess.run(podman.command("image", "exists", _BASE), check=False).returncode != 0:
        archive = podman.folder / "base.tar"
        run(
            *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"),
            *("--include=ca-certificates", "bookworm", str(archive)),
            *(f"deb {mirror()} bookworm main",),
        )
        podman.run("import", "--quiet", str(archive), _BASE)
        archive.unlink()
    return _BASE


def test_a_server_with_one_privilege(
    lab: Lab, podman: Podman, capsys: pytest.CaptureFixture[str]
) -> None:
    etc, state = lab.directory / "etc", lab.directory / "state"
    etc.mkdir()
    state.mkdir()
    link = make_server(podman, etc)
    lab.world.server.call(prepare_namespace)
    before = lab.world.server.host_state()
    server = lab.world.server.start(
        podman.command(
            *("run", *podman.start_options(), f"--network=ns:{lab.world.server.path}"),
            *("--cap-drop=all", "--cap-add=NET_ADMIN", "--security-opt=no-new-privileges"),
            *("--device", "/dev/net/tun", "--volume", f"{etc}:/etc/mqvpn:ro"),
            *("--volume", f"{state}:/var/lib/mqvpn-server", IMAGE),
        ),
        lab.directory / "container.log",
    )
    wait_for_line(lab.directory / "container.log", "listening on", server)
    for process in processes_of("mqvpn-core server"):
        status = process_status(process)
        sets = {name: int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")}
        assert sets == dict.fromkeys(sets, NET_ADMIN)
    connect(lab, link)
    serve_web(lab)
    assert lab.ping(lab.world.client, WEB_IPV4).code == 0
    server.terminate()
    assert server.wait(20) == 0
    assert (state / "leases.json").exists()
    assert lab.world.server.host_state() == before
    with capsys.disabled():
        sys.stdout.write(
            "\n  proved: a server with NET_ADMIN alone serves a client, and leaves nothing"
        )


def make_server(podman: Podman, etc: Path) -> InviteLink:
    told = podman.run(
        *("run", *podman.start_options(), "--network=none", "--volume", f"{etc}:/etc/mqvpn"),
        *(IMAGE, "server", "init", "--yes", "--name", SERVER_IPV4),
    )
    (line,) = (each for each in told.splitlines() if each.startswith(f"{SCHEME}://"))
    return decode_invite_link(line)


def prepare_namespace() -> None:
    """What podman run --sysctl does in a namespace of its own."""
    for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        Path(f"/proc/sys/net/{name}").write_text("1", encoding="ascii")
    Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("443", encoding="ascii")


def wait_for_line(log: Path, words: str, process: Process) -> None:
    def is_there() -> bool:
        text = log.read_text(encoding="utf-8", errors="replace")
        assert process.poll() is None, text
        return words in text

    eventually(is_there, UP_PATIENCE, words)


def processes_of(words: str) -> list[int]:
    """Process IDs of what runs with these words in its command, podman itself aside."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if words in command and "podman" not in command and "/usr/lib/mqvpn" in command:
            found.append(int(entry.name))
    assert found
    return found


def connect(lab: Lab, link: InviteLink) -> None:
    assert link.key is not None
    key = lab.directory / "user.key"
    key.write_text(link.key)
    key.chmod(0o600)
    known = replace(lab.credentials, auth_key=key, pin=link.pins[0])
    wait_connected(lab.start_client(credentials=known, server=link.host))
