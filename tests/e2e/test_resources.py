"""Memory and idle processor time stay within their bars."""

import time
from collections.abc import Sequence

import pytest

from mqvpn_core.demo.processes import cpu_seconds, resident_bytes
from mqvpn_core.demo.programs import Program
from mqvpn_core.demo.topology import WEB_IPV4
from tests.e2e.conftest import serve_web
from tests.e2e.topology import Lab, current_status, wait_connected

pytestmark = [pytest.mark.netns, pytest.mark.slow]

MEGABYTE = 1_000_000
CLIENT_BYTES = 80 * MEGABYTE
SERVER_BYTES = 90 * MEGABYTE
SERVER_BYTES_A_CLIENT = 300_000
IDLE_SHARE = 0.01
IDLE_SECONDS = 5.0


def test_memory_after_a_transfer(lab: Lab) -> None:
    server = lab.start_server()
    client = lab.connect()
    serve_web(lab)
    url = f"http://{WEB_IPV4}/bytes/50000000"
    fetch = [
        "curl",
        "--silent",
        "--retry-connrefused",
        "--retry",
        "9",
        "--output",
        "/dev/null",
        url,
    ]
    assert lab.run(lab.world.client, fetch).code == 0
    assert resident_bytes(client.process.pid) <= CLIENT_BYTES
    assert resident_bytes(server.process.pid) <= SERVER_BYTES + SERVER_BYTES_A_CLIENT


def test_memory_of_a_server_for_each_client(lab: Lab) -> None:
    """Eight more clients, so that the allocator's steps do not hide what one costs."""
    server = lab.start_server()
    lab.connect()
    before = resident_bytes(server.process.pid)
    machines = [lab.another_machine(f"client{number}", number) for number in range(1, 9)]
    for client in [lab.start_client(namespace=machine) for machine in machines]:
        wait_connected(client)
    assert current_status(server).client_count == 9
    grown = resident_bytes(server.process.pid) - before
    assert grown / len(machines) <= SERVER_BYTES_A_CLIENT


def test_idle_tunnel_needs_hardly_any_processor_time(lab: Lab) -> None:
    programs = (lab.start_server(), lab.connect())
    time.sleep(1)
    # What a tunnel needs again and again is in every window; a full collection is in one.
    used = [_processor_seconds(programs, IDLE_SECONDS) for _ in range(3)]
    assert min(map(max, used)) < IDLE_SHARE * IDLE_SECONDS


def _processor_seconds(programs: Sequence[Program], seconds: float) -> list[float]:
    """Return what each has used while so much time passes."""
    before = [cpu_seconds(program.process.pid) for program in programs]
    time.sleep(seconds)
    return [
        cpu_seconds(program.process.pid) - earlier
        for program, earlier in zip(programs, before, strict=True)
    ]
