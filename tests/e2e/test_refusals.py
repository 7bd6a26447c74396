"""What must not work does not work, and says why."""

import socket
from dataclasses import replace

import pytest

from mqvpn_core.app.exit_codes import ExitCode
from mqvpn_core.demo.processes import Process
from mqvpn_core.demo.programs import Program, start_server
from tests.e2e.topology import UP_PATIENCE, Lab, current_status, eventually, wait_connected

pytestmark = [pytest.mark.netns, pytest.mark.slow]


def ended(program: Program) -> tuple[int, str]:
    """Exit code and log of a program that is expected to end by itself."""
    process: Process = program.process
    code = process.wait(UP_PATIENCE)
    return code, program.log.read_text(encoding="utf-8")


@pytest.mark.parametrize("options", [(), ("--auth-challenge",)], ids=["silent", "challenge"])
def test_wrong_key_is_refused_with_a_clear_message(lab: Lab, options: tuple[str, ...]) -> None:
    server = lab.start_server(*options)
    wrong = lab.directory / "wrong.key"
    wrong.touch(mode=0o600)
    wrong.write_text("not-the-right-key-at-all", encoding="ascii")
    before = lab.world.client.host_state()
    client = lab.start_client(credentials=replace(lab.credentials, auth_key=wrong))
    code, log = ended(client)
    assert code == ExitCode.AUTHENTICATION_REFUSED, log
    assert "check the key" in log
    assert "not-the-right-key-at-all" not in log
    assert "not-the-right-key-at-all" not in server.log.read_text(encoding="utf-8")
    assert lab.world.client.host_state() == before
    assert current_status(server).client_count == 0


def test_wrong_certificate_is_refused(lab: Lab) -> None:
    lab.start_server()
    pin = "sha256/" + "A" * 43 + "="
    credentials = replace(lab.credentials, pin=pin)
    code, log = ended(lab.start_client("--no-reconnect", credentials=credentials))
    assert code == ExitCode.SERVER_UNREACHABLE, log
    assert "certificate" in log
    assert "pin" in log


def test_nothing_is_sent_into_a_tunnel_of_an_untrusted_server(lab: Lab) -> None:
    """The default is to try again for ever: the machine stays as it is, and the log says why."""
    lab.start_server()
    before = lab.world.client.host_state()
    credentials = replace(lab.credentials, pin="sha256/" + "A" * 43 + "=")
    client = lab.start_client(credentials=credentials)
    eventually(lambda: "is not trusted" in client.log.read_text("utf-8"), UP_PATIENCE, "warning")
    assert client.process.poll() is None
    assert lab.world.client.host_state() == before


def test_an_address_that_a_link_has_is_taken_once_the_link_has_it_no_more(lab: Lab) -> None:
    lab.start_server()
    link = ("10.0.0.2/32", "dev", "wlan0")
    assert lab.run(lab.world.client, ["ip", "address", "add", *link]).code == 0
    before = lab.world.client.host_state()
    client = lab.start_client("--no-ipv6")
    reason = "10.0.0.2/32 is an address that this machine has already"
    eventually(lambda: reason in client.log.read_text("utf-8"), UP_PATIENCE, "refusal")
    assert lab.world.client.host_state() == before
    assert lab.run(lab.world.client, ["ip", "address", "delete", *link]).code == 0
    assert [address.split("/")[0] for address in wait_connected(client).addresses] == ["10.0.0.2"]
    assert client.stop() == ExitCode.OK


def test_second_server_on_the_same_address_says_so(lab: Lab) -> None:
    lab.start_server()
    directory = lab.directory / "second"
    directory.mkdir()
    credentials = replace(lab.credentials, directory=directory)
    second = start_server(lab.world.server, credentials, ["--tun-name", "other0"])
    code, log = ended(second)
    assert code == ExitCode.FAILURE
    assert "another program uses it" in log
    assert "other0" not in lab.world.server.links()


def test_client_without_server_keeps_trying_and_ends_on_request(lab: Lab) -> None:
    client = lab.start_client()
    status = client.wait_for(
        lambda status: status.state != "disconnected", UP_PATIENCE, "first attempt"
    )
    assert status.state in {"connecting", "reconnecting"}
    assert client.stop() == ExitCode.OK


def test_garbage_at_the_port_of_the_server_changes_nothing(lab: Lab) -> None:
    server = lab.start_server()
    lab.connect()
    with lab.world.client.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as noise:
        for size in (0, 1, 20, 1200, 1472):
            for first in (0x00, 0x40, 0x80, 0xC0, 0xFF):
                noise.sendto(bytes([first]) * size, ("203.0.113.2", 443))
    finished = lab.ping(lab.world.client, "10.0.0.1")
    assert finished.code == 0, finished.output
    assert server.process.poll() is None
