"""The server in a container of a user without root, and a client outside: `./run container`.

The commands are those of docs/install.md. The recipe is built as it stands, except for its base
where no registry of images can be reached: then it is a Debian made here.
"""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mqvpn_core.demo.topology import SERVER_IPV4, WEB_IPV4
from mqvpn_helper.interface.invite_link import InviteLink, decode_invite_link
from tests.bus.system_bus import process_status
from tests.documents.blocks import block
from tests.documents.test_quick_starts import link_in
from tests.e2e.conftest import credentials, lab, serve_web
from tests.e2e.topology import UP_PATIENCE, Lab, eventually, wait_connected
from tests.packaging.flatpak_lab import CHECKOUT
from tests.packaging.rootless_lab import UID, Rootless, missing_tools, rootless

__all__ = ["credentials", "lab"]

NET_ADMIN = 1 << 12

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        os.environ.get("MQVPN_CONTAINER") != "require",
        reason="takes minutes and 1 GB: ./run container",
    ),
]


@pytest.fixture
def alice(lab: Lab) -> Iterator[Rootless]:
    """The user, whose containers run where the server of the laboratory would."""
    assert not missing_tools(), f"missing: {', '.join(missing_tools())}"
    folder = CHECKOUT / "build/container-lab"
    with rootless(folder, lab.world.server, lab.directory / "holder.log") as made:
        yield made


def test_a_server_without_root_and_with_one_privilege(
    lab: Lab, alice: Rootless, capsys: pytest.CaptureFixture[str]
) -> None:
    before = lab.world.server.host_state()
    link = link_in(alice.run(block("container-build"), to_build=True))
    assert lab.run(lab.world.server, ["sh", "-ec", block("container-port")]).code == 0
    alice.run(block("container-start"))
    eventually(lambda: "listening on" in alice.run("podman logs mqvpn 2>&1"), UP_PATIENCE, "server")
    check_privileges()
    connect(lab, decode_invite_link(link))
    serve_web(lab)
    fetch = [
        "curl",
        "--silent",
        "--fail",
        "--output",
        "/dev/null",
        f"http://{WEB_IPV4}/bytes/1000000",
    ]
    assert lab.run(lab.world.client, fetch).code == 0
    told = alice.run(block("container-user"))
    assert decode_invite_link(link_in(told)).user == "alice"
    assert re.search(r"clients +1$", told, re.MULTILINE)
    alice.run(block("container-remove"))
    assert alice.run("podman ps --all --quiet; podman volume ls --quiet") == ""
    assert "localhost/mqvpn-server:latest" not in alice.images()
    assert lab.world.server.host_state() == before
    with capsys.disabled():
        sys.stdout.write(
            "\n  proved: a user without root runs a server with NET_ADMIN alone, by the"
            "\n  documents' commands; it serves a client, and goes without a trace"
        )


def check_privileges() -> None:
    """No process of the server is root's, here or in the container, or may do more."""
    found = processes_of("mqvpn-core server")
    for process in found:
        status = process_status(process)
        sets = {name: int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")}
        assert sets == dict.fromkeys(sets, NET_ADMIN)
        assert status["NoNewPrivs"] == "1"
        # His subordinate IDs begin there; the first one of them is not root in the container.
        assert all(int(each) > 200_000 for each in status["Uid"].split())
        assert UID not in map(int, status["Uid"].split())


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
    wait_connected(lab.start_client(credentials=known, server=SERVER_IPV4))
