"""A server and a laptop, Debians that systemd has booted, in the world of the demonstration."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mqvpn_core.demo.topology import SERVER_IPV4, WEB_IPV4, World, build_world
from tests.documents.blocks import block, blocks
from tests.documents.booted import Booted, booted
from tests.documents.test_quick_starts import SERVER_NAME

PROFILE = "/srv/alice/.config/mqvpn/profiles/office.toml"
"""What alice's client makes of the link."""
_RULES = "/etc/polkit-1/rules.d/50-mqvpn.rules"


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoDebians:
    """The machines, without anything of ours."""

    world: World
    server: Booted
    laptop: Booted
    """With the user alice, who may have tunnels."""

    def reaches_web(self) -> bool:
        """Whether a ping from the laptop arrives where only the tunnel leads."""
        return " 2 received" in self.laptop.run(f"ping -n -c 2 -W 1 {WEB_IPV4} || true")


@contextmanager
def two_debians(debian: Path, directory: Path) -> Iterator[TwoDebians]:
    """Hold the machines for the length of a block.

    Args:
        debian: what both start as.
        directory: for logs.
    """
    with ExitStack() as held:
        world = held.enter_context(build_world())
        server = held.enter_context(booted(debian, world.server, directory / "server-boot.log"))
        laptop = held.enter_context(booted(debian, world.client, directory / "laptop-boot.log"))
        settle_in(laptop)
        yield TwoDebians(world=world, server=server, laptop=laptop)


def settle_in(laptop: Booted) -> None:
    """Give a laptop its user, and the name of the server."""
    laptop.run("groupadd vpn; useradd --create-home --home-dir /srv/alice --groups vpn alice")
    laptop.run(f"echo {SERVER_IPV4} {SERVER_NAME} >> /etc/hosts")
    laptop.run(f"cat > {_RULES}; chmod 644 {_RULES}", given=block("helper-rules"))


def bring_up(laptop: Booted, link: str, settings: str) -> None:
    """Install what a laptop needs, and have alice bring up the tunnel of a link.

    Args:
        laptop: where she works.
        link: what the server gave her.
        settings: what she writes into the profile before.
    """
    laptop.run(block("laptop-packages"))
    laptop.run("cat > /srv/alice/link.txt", given=f"{link}\n")
    import_profile, up, _ = blocks()["laptop-tunnel"].commands
    laptop.run(import_profile, user="alice")
    laptop.run(f"cat >> {PROFILE}", given=settings)
    laptop.run(up, user="alice")
