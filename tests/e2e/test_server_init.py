"""A server made by ``server init``, and a client that knows of it what the link says."""

from dataclasses import replace

import pytest

from mqvpn_core.demo.programs import executable, start_program
from mqvpn_core.demo.topology import SERVER_IPV4, WEB_IPV4
from mqvpn_helper.interface.invite_link import SCHEME, decode_invite_link
from tests.e2e.conftest import serve_web
from tests.e2e.topology import UP_PATIENCE, Lab, wait_connected

pytestmark = [pytest.mark.netns, pytest.mark.slow]


def test_from_nothing_to_a_tunnel(lab: Lab) -> None:
    place = lab.directory / "etc"
    told = lab.run(
        lab.world.server,
        [
            *(executable(), "server", "init", "--yes", "--name", SERVER_IPV4),
            *("--user", "alice", "--directory", str(place)),
        ],
    )
    assert told.code == 0, told.output
    (line,) = (each for each in told.output.splitlines() if each.startswith(f"{SCHEME}://"))
    link = decode_invite_link(line)
    config = ("--config", str(place / "server.toml"))
    with (place / "server.toml").open("a") as settings:
        settings.write(f'control_socket = "{lab.directory}/server.sock"\n')
    command = [
        *(executable(), "server", *config),
        *("--lease-file", str(lab.directory / "leases.json")),
    ]
    server = start_program("server", lab.world.server, command, lab.directory)
    lab.programs.append(server)
    server.wait_for(lambda _status: True, UP_PATIENCE, "listening socket")
    assert link.key is not None
    key = lab.directory / "alice.key"
    key.write_text(link.key)
    key.chmod(0o600)
    credentials = replace(lab.credentials, auth_key=key, pin=link.pins[0])
    wait_connected(lab.start_client(credentials=credentials, server=link.host))
    serve_web(lab)
    assert lab.ping(lab.world.client, WEB_IPV4).code == 0
    found = lab.run(lab.world.server, [executable(), "server", "check", *config])
    assert "ok       certificate" in found.output
    assert f"way out      eth0, address {SERVER_IPV4}" in found.output
    assert "ok       port         the server answers; UDP port 443" in found.output
    reach = [executable(), "server", "check", "--reach", SERVER_IPV4]
    reached = lab.run(lab.world.client, reach)
    assert (reached.code, "answers after" in reached.output) == (0, True), reached.output
    assert server.stop() == 0
    reached = lab.run(lab.world.client, reach)
    assert (reached.code, "no server listens" in reached.output) == (1, True), reached.output
