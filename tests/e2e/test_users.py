"""An operator invites a user, who connects with what the link says; then the user is sent away."""

import json
from dataclasses import replace

import pytest

from mqvpn_core.demo.programs import Program, executable
from mqvpn_core.demo.topology import SERVER_IPV4
from mqvpn_helper.interface.invite_link import decode_invite_link
from tests.e2e.topology import (
    INNER_SERVER_IPV4,
    UP_PATIENCE,
    Lab,
    current_status,
    eventually,
    wait_connected,
)

pytestmark = [pytest.mark.netns, pytest.mark.slow]


def test_a_link_leads_into_the_tunnel_until_the_user_is_removed(lab: Lab) -> None:
    users_file = lab.directory / "users"
    server = lab.start_server("--users-file", str(users_file))

    def change(*arguments: str) -> dict[str, object]:
        command = [
            *(executable(), "user", *arguments, "--json", "--users-file", str(users_file)),
            *("--cert", str(lab.credentials.certificate)),
            *("--control-socket", str(server.control_socket)),
        ]
        finished = lab.run(lab.world.server, command)
        assert finished.code == 0, finished.output
        report: dict[str, object] = json.loads(finished.output)
        assert report["reloaded"] is True
        return report

    report = change("add", "alice", "--server", SERVER_IPV4)
    link = decode_invite_link(str(report["link"]))
    assert link.key is not None
    key = lab.directory / "alice.key"
    key.touch(mode=0o600)
    key.write_text(link.key)
    invited = replace(lab.credentials, auth_key=key, pin=link.pins[0])
    client: Program = lab.start_client(credentials=invited, server=link.host)
    wait_connected(client)
    assert lab.ping(lab.world.client, INNER_SERVER_IPV4).code == 0
    assert current_status(server).client_count == 1

    change("rm", "alice")
    eventually(lambda: current_status(server).client_count == 0, UP_PATIENCE, "end of the tunnel")
    refusal = "a tunnel request from 192.0.2.2 has no valid key"
    eventually(lambda: refusal in server.log.read_text("utf-8"), UP_PATIENCE, "refusal")
