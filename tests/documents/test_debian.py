"""The quick starts with Debian's packages, in two Debians that systemd has booted.

Takes minutes, so it wants ``CI_LONG=1``.
"""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqvpn_helper.interface.invite_link import SCHEME, decode_invite_link
from tests.documents.blocks import block, blocks
from tests.documents.test_quick_starts import SERVER_NAME, link_in
from tests.documents.two_debians import TwoDebians, two_debians
from tests.packaging.debians import TAKES_MINUTES, debian_with_packages

pytestmark = [pytest.mark.netns, *TAKES_MINUTES]


@pytest.fixture(scope="module")
def debian(directory: Path) -> Path:
    """A Debian with what the packages need, and the packages in /srv."""
    return debian_with_packages(directory)


@pytest.fixture
def scene(directory: Path, debian: Path) -> Iterator[TwoDebians]:
    """Two booted machines."""
    with two_debians(debian, directory) as made:
        yield made


def test_a_server_that_asks_as_in_the_readme(scene: TwoDebians) -> None:
    install, init, start = blocks()["readme-server"].commands
    scene.server.run(install)
    # On a terminal, with all that is offered taken but the name.
    on_terminal = f"script --quiet --return --command {shlex.quote(init)} /dev/null"
    told = scene.server.run(on_terminal, given=f"{SERVER_NAME}\n\n\n\n\n")
    assert "First user [me]" in told
    link = decode_invite_link(next(each for each in told.split() if each.startswith(SCHEME)))
    assert (link.host, link.user) == (SERVER_NAME, "me")
    scene.server.run(start)
    scene.server.wait(
        lambda: "active" in scene.server.run("systemctl is-active mqvpn-server || true"), "server"
    )


def test_from_packages_to_a_tunnel_and_back(scene: TwoDebians) -> None:
    server, laptop = scene.server, scene.laptop
    before = [server.files(), laptop.files()]
    states = [scene.world.server.host_state(), scene.world.client.host_state()]

    link = link_in(server.run(block("server-packages")))
    server.wait(lambda: "active" in server.run("systemctl is-active mqvpn-server"), "server")
    assert "ok       certificate" in server.run(block("server-check"))
    laptop.run(block("laptop-packages"))
    laptop.run("cat > /srv/alice/link.txt", given=f"{link}\n")
    assert not scene.reaches_web()

    told = laptop.run(block("laptop-tunnel"), user="alice")

    assert f"connected to {SERVER_NAME}:443" in told
    assert scene.reaches_web()
    laptop.run(block("laptop-end"), user="alice")
    assert not scene.reaches_web()
    for machine in (server, laptop):
        machine.run(block("packages-remove"))
    after = [server.files(), laptop.files()]
    assert [new - old for new, old in zip(after, before, strict=True)] == [set(), set()]
    assert [scene.world.server.host_state(), scene.world.client.host_state()] == states
