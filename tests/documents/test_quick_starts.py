"""The quick starts, from nothing to a ping through the tunnel, by the documents' own commands.

The machines have no systemd, so these are the commands for "any other Linux" and for a checkout.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mqvpn_core.demo.topology import SERVER_IPV4, WEB_IPV4, World, build_world
from mqvpn_helper.interface.invite_link import SCHEME, InviteLink, decode_invite_link
from tests.documents.blocks import ROOT, block, blocks
from tests.documents.machine import Machine, Machines

pytestmark = [pytest.mark.netns, pytest.mark.slow]

SERVER_NAME = "vpn.example.org"
"""What the documents call the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A server that waits, with its link, and what else a test makes machines of."""

    farm: Machines
    world: World
    installed: Machine
    """Where the programs were installed."""
    link: str
    """The link of the first user."""

    def laptop(self, name: str) -> Machine:
        """Make a machine of a user, with the programs and nothing else."""
        machine = self.farm.make(name, self.world.client, [self.installed])
        machine.run(f"echo {SERVER_IPV4} {SERVER_NAME} >> /etc/hosts")
        return machine

    def has_tunnel(self) -> bool:
        """Whether a ping from the laptop arrives where only the tunnel leads."""
        process = self.world.client.start(
            ["ping", "-n", "-c", "1", "-W", "1", WEB_IPV4], Path("/dev/null")
        )
        return process.wait() == 0


def all_but_last(name: str) -> tuple[str, str]:
    """The commands of a block whose last one runs until it is stopped."""
    *first, last = blocks()[name].commands
    return "\n".join(first), last


@pytest.fixture(scope="module")
def installed(farm: Machines) -> Machine:
    """A machine where the programs were installed from a checkout."""
    machine = farm.make("installed", None)
    machine.run(block("checkout-install"))
    return machine


@pytest.fixture(scope="module")
def scene(farm: Machines, installed: Machine) -> Iterator[Scene]:
    """A server made by three commands: installed, initialised, started."""
    with build_world() as world:
        state = world.server.host_state()
        server = farm.make("server", world.server, [installed])
        init, start = all_but_last("server-checkout")
        link = link_in(server.run(init).out)
        program = server.start(start)
        server.wait(lambda: "ready" in server.run(_PORT_IS_TAKEN).out, "server")
        yield Scene(farm=farm, world=world, installed=installed, link=link)
        invited = server.run(block("server-user"))
        assert decode_invite_link(link_in(invited.out)).user == "alice"
        assert "ok       certificate" in server.run(block("server-check")).out
        assert program.interrupt() == 0
        server.run(block("checkout-remove"))
        assert left_of(installed, server) == set()
        assert {each for each in server.files() if "mqvpn" in each} == set()
        assert world.server.host_state() == state


_PORT_IS_TAKEN = "grep -q ':01BB ' /proc/net/udp /proc/net/udp6 && echo ready || true"


def link_in(text: str) -> str:
    """The link that a command has printed."""
    (link,) = (line for line in text.splitlines() if line.startswith(f"{SCHEME}://"))
    return link


def test_a_laptop_with_the_helper(scene: Scene) -> None:
    laptop = scene.laptop("laptop")
    laptop.run("groupadd vpn; useradd --create-home --home-dir /srv/alice --groups vpn alice")
    laptop.write("/etc/polkit-1/rules.d/50-mqvpn.rules", block("helper-rules"))
    before, state = laptop.files(), scene.world.client.host_state()
    laptop.start_bus()
    laptop.write("/srv/alice/link.txt", f"{scene.link}\n")
    home = "/srv/alice"
    assert not scene.has_tunnel()
    assert "answers after" in laptop.run(block("server-reach"), user="alice", directory=home).out

    told = laptop.run(block("laptop-tunnel"), user="alice", directory=home)

    assert f"connected to {SERVER_NAME}:443" in told.out
    assert "wlan0" in told.out
    assert scene.has_tunnel()
    laptop.run(block("laptop-end"), user="alice", directory=home)
    assert not scene.has_tunnel()
    assert scene.world.client.host_state() == state
    # Away again in the middle of a tunnel, with a kill switch.
    _, up, _ = blocks()["laptop-tunnel"].commands
    laptop.run(
        f"echo 'kill_switch = \"standard\"' >> {PROFILE}\n{up}", user="alice", directory=home
    )
    assert scene.has_tunnel()
    laptop.run(block("checkout-remove"))
    left = laptop.files() - before
    assert {each for each in left if not each.startswith(_ACCOUNTS)} == set()
    assert left_of(scene.installed, laptop) == set()
    assert laptop.run("ls /run").out.split() == ["dbus"]
    assert scene.world.client.host_state() == state


def left_of(installed: Machine, machine: Machine) -> set[str]:
    """What came with the installation and is there still."""
    left = {each for each in installed.files() if machine.has(each)}
    return {each for each in left if not each.startswith(_ACCOUNTS)}


PROFILE = "/srv/alice/.config/mqvpn/profiles/office.toml"
_ACCOUNTS = ("etc/passwd", "etc/group", "etc/shadow", "etc/gshadow")


def test_a_machine_without_a_desktop(scene: Scene) -> None:
    box = scene.laptop("box")
    link = decode_invite_link(scene.link)
    box.write("/etc/mqvpn/home.toml", _configuration(link))
    assert link.key is not None
    box.write("/etc/mqvpn/home.key", f"{link.key}\n")
    box.run("chmod 600 /etc/mqvpn/home.key")
    check, start = all_but_last("client-headless")
    assert SERVER_NAME in box.run(check).out
    client = box.start(start)
    box.wait(scene.has_tunnel, "tunnel")
    assert client.interrupt() == 0
    assert not scene.has_tunnel()


def test_a_server_with_a_certificate_of_an_authority(farm: Machines, installed: Machine) -> None:
    server = farm.make("certified", None, [installed])
    live = f"/etc/letsencrypt/live/{SERVER_NAME}"
    names = f"--cert {live}/fullchain.pem --key {live}/privkey.pem"
    server.run(f"mkdir -p {live}; mqvpn-core gencert --name {SERVER_NAME} {names}")
    link = decode_invite_link(link_in(server.run(block("server-authority")).out))
    assert link.host == SERVER_NAME
    assert f"{live}/privkey.pem" in server.run("cat /etc/mqvpn/server.toml").out
    assert server.run("mqvpn-core check-config /etc/mqvpn/server.toml").code == 0


def _configuration(link: InviteLink) -> str:
    """The file of the quick start, with the pin of this server."""
    text = (ROOT / "docs/quick-start-laptop.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return re.sub(r'pins = \[".*"\]', f'pins = ["{link.pins[0]}"]', str(shown))
