"""Start, reload and stop: what was changed is put back, and a reload interrupts nobody."""

import re
import signal
import time
from dataclasses import replace

import pytest

from tests.e2e.topology import (
    INNER_SERVER_IPV4,
    UP_PATIENCE,
    Lab,
    current_status,
    inner_ipv4,
    wait_connected,
)

pytestmark = [pytest.mark.netns, pytest.mark.slow]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_tunnel_leaves_nothing_behind(lab: Lab, how: signal.Signals) -> None:
    sides = (lab.world.client, lab.world.server)
    before = [(side.links(), side.host_state()) for side in sides]
    server = lab.start_server()
    client = lab.connect()
    during = [(side.links(), side.host_state()) for side in sides]
    assert during[0] != before[0]
    assert during[1] != before[1]
    assert client.stop(how) == 0
    assert server.stop(how) == 0
    assert [(side.links(), side.host_state()) for side in sides] == before
    assert lab.own_files() == []


@pytest.mark.parametrize("side", ["client", "server"])
def test_removed_device_ends_the_program_with_a_reason(lab: Lab, side: str) -> None:
    namespace = {"client": lab.world.client, "server": lab.world.server}[side]
    before = namespace.host_state()
    programs = {"server": lab.start_server(), "client": lab.connect()}
    tun = current_status(programs[side]).tun_name
    assert lab.run(namespace, ["ip", "link", "delete", tun]).code == 0
    assert programs[side].process.wait(UP_PATIENCE) == 5
    assert "it has been removed" in programs[side].log_tail()
    assert namespace.host_state() == before


def test_stopping_takes_no_time(lab: Lab) -> None:
    server = lab.start_server()
    client = lab.connect()
    started = time.perf_counter()
    client.stop(signal.SIGTERM)
    server.stop(signal.SIGTERM)
    assert time.perf_counter() - started < 3


def test_server_sees_at_once_that_a_client_left(lab: Lab) -> None:
    server = lab.start_server()
    client = lab.connect()
    client.stop(signal.SIGTERM)
    server.wait_for(lambda status: status.client_count == 0, 2, "notice of the departure")


def test_forwarding_is_restored(lab: Lab) -> None:
    keys = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")
    server = lab.start_server()
    assert [lab.world.server.read_sysctl(key) for key in keys] == ["1", "1"]
    server.stop()
    assert [lab.world.server.read_sysctl(key) for key in keys] == ["0", "0"]


def test_traffic_to_the_server_itself_does_not_enter_the_tunnel(lab: Lab) -> None:
    lab.start_server()
    client = lab.connect()
    tun = current_status(client).tun_name
    before = lab.world.client.counters(tun).sent_bytes
    assert lab.ping(lab.world.client, "203.0.113.2").code == 0
    assert lab.world.client.counters(tun).sent_bytes == before


def test_without_routes_only_who_asks_for_the_device_uses_it(lab: Lab) -> None:
    before = [line for line in lab.world.client.host_state() if "table=254" in line]
    lab.start_server()
    client = lab.connect("--no-routes")
    tun = current_status(client).tun_name
    routes = [line for line in lab.world.client.host_state() if "table=254" in line]
    assert [line for line in routes if f"dev={tun}" not in line] == before
    assert lab.ping(lab.world.client, "10.0.0.1", count=1).code != 0
    assert lab.ping(lab.world.client, "10.0.0.1", "-I", tun).code == 0
    assert lab.ping(lab.world.client, "172.20.0.2", "-I", tun).code == 0


def test_over_ipv6(lab: Lab) -> None:
    lab.start_server()
    client = lab.start_client(server="2001:db8:3::2")
    wait_connected(client)
    assert current_status(client).paths[0].remote == "[2001:db8:3::2]:443"
    assert lab.ping(lab.world.client, "10.0.0.1").code == 0
    assert lab.ping(lab.world.client, "fd00:6d71::1").code == 0


def test_sighup_reloads_users_and_keeps_tunnels(lab: Lab) -> None:
    """A user is added to the file: the tunnel that is up loses not one ping."""
    settings = lab.directory / "server.toml"
    settings.write_text('[users]\nalice = "a-key-of-alice-0123456789"\n', encoding="utf-8")
    server = lab.start_server("--config", str(settings))
    client = lab.connect()
    address = inner_ipv4(client)
    ping = ["ping", "-n", "-i", "0.05", "-c", "40", "10.0.0.1"]
    log = lab.directory / "ping.log"
    pinging = lab.world.client.start(ping, log)
    time.sleep(0.5)
    settings.write_text('[users]\nbob = "a-key-of-bob-0123456789"\n', encoding="utf-8")
    server.process.send_signal(signal.SIGHUP)
    assert pinging.wait(UP_PATIENCE) == 0
    assert re.search(r" 40 received", log.read_text(encoding="utf-8"))
    assert inner_ipv4(client) == address
    key = lab.directory / "bob.key"
    key.write_text("a-key-of-bob-0123456789", encoding="ascii")
    bob = lab.start_client(
        namespace=lab.second_client(), credentials=replace(lab.credentials, auth_key=key)
    )
    wait_connected(bob)
    assert "bob" in {each.user for each in current_status(server).clients}


def test_broken_settings_at_reload_are_reported_and_ignored(lab: Lab) -> None:
    settings = lab.directory / "server.toml"
    settings.write_text("max_clients = 5\n", encoding="utf-8")
    server = lab.start_server("--config", str(settings))
    lab.connect()
    settings.write_text("max_clinets = 5\n", encoding="utf-8")
    server.process.send_signal(signal.SIGHUP)
    assert lab.ping(lab.world.client, "10.0.0.1").code == 0
    assert server.process.poll() is None
    assert "max_clients" in server.log.read_text(encoding="utf-8")  # the nearest known key


def test_the_server_goes_on_counting_what_clients_did_that_are_gone(lab: Lab) -> None:
    server = lab.start_server()
    client = lab.connect()
    assert lab.ping(lab.world.client, INNER_SERVER_IPV4).code == 0
    before = current_status(server).counters["received_packets"]
    assert before >= 3
    client.stop()
    after = server.wait_for(lambda now: not now.client_count, UP_PATIENCE, "end of the tunnel")
    assert after.counters["received_packets"] >= before
