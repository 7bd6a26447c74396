"""Kill switch, name servers and split tunnelling of a real client, and how they end."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from mqvpn_core.demo.namespaces import NetworkNamespace
from mqvpn_core.demo.programs import executable
from mqvpn_core.demo.topology import SERVER_IPV4
from tests.e2e.topology import Lab, current_status, eventually, udp_socket, wait_connected
from tests.resolver.link_name_server import name_server

pytestmark = [pytest.mark.netns, pytest.mark.slow]

ROUTER = "203.0.113.1"
"""Reached through the tunnel as well as beside it."""


def machine(namespace: NetworkNamespace) -> str:
    """What must be the same again, byte for byte."""
    commands = ("nft list ruleset", "ip rule", "ip -6 rule", "ip route show table all")
    return namespace.call(lambda: "".join(_output(command) for command in commands))


def private_etc(lab: Lab, resolv_conf: str) -> Path:
    """A copy of /etc with another resolv.conf."""
    etc = lab.directory / "etc"
    subprocess.run(["cp", "-a", "/etc", str(etc)], check=True)
    file = etc / "resolv.conf"
    file.unlink(missing_ok=True)
    file.write_text(resolv_conf)
    (etc / "nsswitch.conf").write_text("hosts: files dns\n")
    return etc


def in_etc(etc: Path) -> list[str]:
    """Start ``mqvpn-core`` where a copy is /etc."""
    script = f'mount --bind {etc} /etc && exec "$0" "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, executable()]


def test_from_start_to_stop(lab: Lab) -> None:
    before = machine(lab.world.client)
    lab.start_server()
    client = lab.connect("--kill-switch")
    assert lab.ping(lab.world.client, ROUTER).code == 0
    assert lab.ping(lab.world.client, ROUTER, "-I", "lte0", count=1).code != 0
    assert client.stop() == 0
    assert machine(lab.world.client) == before
    assert lab.ping(lab.world.client, ROUTER, count=1).code == 0


def test_before_the_first_connection_and_after_a_kill(lab: Lab) -> None:
    before = machine(lab.world.client)
    client = lab.start_client("--kill-switch=standard")
    client.wait_for(lambda _status: True, 10, "answer")
    assert lab.ping(lab.world.client, ROUTER, count=1).code != 0
    client.stop(signal.SIGKILL)
    assert lab.ping(lab.world.client, ROUTER, count=1).code != 0
    assert "'mqvpn-core recover', ends it" in client.log.read_text()
    # The next start takes over what the last one left.
    lab.start_server()
    client = lab.connect("--kill-switch=standard")
    client.stop(signal.SIGKILL)
    recovered = lab.run(lab.world.client, [executable(), "recover"])
    assert recovered.code == 0, recovered.output
    assert "mqvpn0" in recovered.output
    assert machine(lab.world.client) == before
    again = lab.run(lab.world.client, [executable(), "recover"])
    assert (again.code, again.output) == (0, "nothing of mqvpn was left on this machine\n")


def test_kill_switch_comes_back_when_the_firewall_is_emptied(lab: Lab) -> None:
    """As when somebody reloads his own firewall."""
    client = lab.start_client("--kill-switch")
    client.wait_for(lambda _status: True, 10, "answer")
    assert lab.ping(lab.world.client, ROUTER, count=1).code != 0
    for _ in range(3):
        lab.world.client.call(lambda: _output("nft flush ruleset"))
        eventually(lambda: "kill_switch" in machine(lab.world.client), 3, "kill switch")
    assert lab.ping(lab.world.client, ROUTER, count=1).code != 0
    assert client.stop() == 0
    assert "kill_switch" not in machine(lab.world.client)


def test_a_login_to_a_network_is_let_through_for_a_while(lab: Lab) -> None:
    lab.start_server()
    client = lab.connect("--kill-switch")
    ask = [executable(), "portal", "wlan0", "--control-socket", str(client.control_socket)]
    with udp_socket(lab.world.client, "0.0.0.0") as program:  # noqa: S104 - in a namespace

        def leaves() -> bool:
            try:
                program.sendto(b"x", (ROUTER, 80))
            except OSError:
                return False
            return "dev wlan0" in lab.world.client.call(lambda: _output(f"ip route get {ROUTER}"))

        assert not leaves()
        opened = lab.run(lab.world.client, [*ask, "--minutes", "1"])
        assert opened.code == 0, opened.output
        assert "wlan0 is past the kill switch until" in opened.output
        eventually(leaves, 5, "way to the portal")
        shown = lab.run(
            lab.world.client,
            [executable(), "status", "--control-socket", str(client.control_socket)],
        )
        assert "  kill switch  standard\n" in shown.output
        assert re.search(r"exception  wlan0 is past the kill switch for \d+ ", shown.output)
        assert lab.ping(lab.world.client, ROUTER, count=1).code != 0
        assert lab.run(lab.world.client, [*ask, "--end"]).code == 0
        eventually(lambda: not leaves(), 5, "whole kill switch")
    too_long = lab.run(lab.world.client, [*ask, "--minutes", "61"])
    assert too_long.code == 2
    assert lab.ping(lab.world.client, ROUTER, count=1).code == 0


def test_one_that_is_always_there(lab: Lab) -> None:
    """With an /etc of its own, where the rules for the next boot are."""
    before = machine(lab.world.client)
    etc = private_etc(lab, "nameserver 192.0.2.1\n")
    boot = etc / "mqvpn/kill-switch-mqvpn0.nft"
    lab.start_server()
    client = lab.start_client("--kill-switch=always", launcher=in_etc(etc))
    wait_connected(client)
    assert client.stop() == 0
    assert "the kill switch stays in force" in client.log.read_text()
    assert lab.ping(lab.world.client, ROUTER, count=1).code != 0
    assert boot.exists()
    client = lab.start_client(launcher=in_etc(etc))
    wait_connected(client)
    assert not boot.exists()
    client.stop()
    assert machine(lab.world.client) == before


def test_recovery_leaves_a_running_tunnel_alone(lab: Lab) -> None:
    lab.start_server()
    client = lab.connect("--kill-switch")
    recovered = lab.run(lab.world.client, [executable(), "recover"])
    assert recovered.code == 1
    assert f"mqvpn0 belongs to the running process {client.process.pid}" in recovered.output
    assert lab.ping(lab.world.client, ROUTER).code == 0
    assert lab.ping(lab.world.client, ROUTER, "-I", "lte0", count=1).code != 0


def test_failure_keeps_the_network_shut(lab: Lab) -> None:
    """The user has not asked for an end: traffic must not go on outside because a key is wrong."""
    lab.start_server()
    wrong = lab.directory / "wrong.key"
    wrong.write_text("not-the-key-of-this-server\n")
    wrong.chmod(0o600)
    client = lab.start_client("--kill-switch", "--auth-key-file", str(wrong))
    client.process.wait(20)
    assert client.process.returncode not in {0, None}
    assert "the kill switch stays in force" in client.log.read_text()
    assert lab.ping(lab.world.client, ROUTER, count=1).code != 0
    assert lab.run(lab.world.client, [executable(), "recover"]).code == 0
    assert lab.ping(lab.world.client, ROUTER, count=1).code == 0


def test_server_is_found_by_name_through_its_own_kill_switch(lab: Lab) -> None:
    """After a crash nobody may ask for names but the client, and it only for its server."""
    etc = private_etc(lab, "nameserver 192.0.2.1\n")
    with name_server(lab.world.router, "192.0.2.1", SERVER_IPV4) as asked:
        lab.start_server()
        first = lab.start_client("--kill-switch", launcher=in_etc(etc), server="vpn.example.org")
        wait_connected(first)
        first.stop(signal.SIGKILL)
        asked.clear()
        again = lab.start_client("--kill-switch", launcher=in_etc(etc), server="vpn.example.org")
        wait_connected(again)
        assert len(asked) >= 2  # one question of each family
        asked.clear()
        # Now that the server is known, not even the client may ask there.
        lookup = [*in_etc(etc)[:-1], "getent", "ahosts", "vpn.example.org"]
        lab.run(lab.world.client, lookup, seconds=60)
        assert asked == []


def test_ipv6_does_not_go_round_a_tunnel_without_it(lab: Lab) -> None:
    lab.start_server()
    lab.connect("--kill-switch", "--no-ipv6")
    assert lab.ping(lab.world.client, "2001:db8:3::1", count=1).code != 0
    assert lab.ping(lab.world.client, ROUTER, count=1).code == 0


def test_name_servers_are_those_of_the_tunnel_meanwhile(lab: Lab) -> None:
    """With an /etc of its own, so that the machine's stays as it is."""
    etc = private_etc(lab, "# by hand\nnameserver 192.0.2.53\n")
    file = etc / "resolv.conf"
    lab.start_server()
    client = lab.start_client("--dns", "10.0.0.1", launcher=in_etc(etc))
    wait_connected(client)
    assert file.read_text().splitlines()[1:] == ["nameserver 10.0.0.1"]
    assert "by resolv.conf" in client.log.read_text()
    client.stop()
    assert file.read_text() == "# by hand\nnameserver 192.0.2.53\n"
    assert sorted(path.name for path in etc.glob("resolv.conf*")) == ["resolv.conf"]


def test_excluded_destinations_follow_the_links(lab: Lab) -> None:
    lab.start_server()
    client = lab.connect("--kill-switch", "--split-exclude", f"{ROUTER}/32")
    world = lab.world

    def way() -> str:
        return world.client.call(lambda: _output(f"ip route get {ROUTER}"))

    assert "dev wlan0" in way()
    assert lab.ping(world.client, ROUTER).code == 0
    world.client.set_link("wlan0", up=False)
    eventually(lambda: "dev lte0" in way(), 10, "way over lte0")
    assert lab.ping(world.client, ROUTER).code == 0
    assert client.stop() == 0
    assert "proto 110" not in machine(world.client)


def test_only_included_destinations_go_into_the_tunnel(lab: Lab) -> None:
    lab.start_server()
    lab.connect("--split-include", "172.20.0.0/24")
    routes = lab.world.client.call(lambda: _output("ip route show proto 109"))
    assert routes.split()[:3] == ["172.20.0.0/24", "dev", "mqvpn0"]
    assert routes.count("\n") == 1


def test_links_with_strict_source_validation(lab: Lab) -> None:
    """Answers of the server come by links that are not the best way to it."""
    for link in ("wlan0", "lte0"):
        lab.world.client.write_sysctl(f"ipv4/conf/{link}/rp_filter", "1")
    lab.start_server()
    client = lab.connect("--no-ipv6")
    eventually(lambda: _active_links(lab) == {"wlan0", "lte0"}, 10, "path over each link")
    client.stop()
    assert lab.world.client.read_sysctl("ipv4/conf/lte0/rp_filter") == "1"


def _active_links(lab: Lab) -> set[str]:
    status = current_status(lab.programs[-1])
    return {path.interface for path in status.paths if path.state == "active"}


@pytest.mark.skipif(not Path("/sys/fs/cgroup").is_dir(), reason="there is no cgroup file system")
def test_excluded_programs(lab: Lab) -> None:
    """Processes of one control group leave beside the tunnel, and through a kill switch."""
    name = f"mqvpn-test-{os.getpid()}"
    root = lab.directory / "cgroup"
    root.mkdir()
    # nft looks for groups below /sys/fs/cgroup, which may be a file system of version 1 here.
    mounts = f"mount -t cgroup2 cgroup2 /sys/fs/cgroup && mkdir -p /sys/fs/cgroup/{name}"
    launcher = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
    launcher += [f'{mounts} && exec "$0" "$@"', executable()]
    lab.start_server()
    client = lab.start_client(
        "--kill-switch", "--split-cgroups", name, "--no-ipv6", launcher=launcher
    )
    try:
        wait_connected(client)
        inside = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
        entering = (
            "mount -t cgroup2 cgroup2 /sys/fs/cgroup &&"
            f" echo $$ > /sys/fs/cgroup/{name}/cgroup.procs"
        )
        counted = lab.world.router.counters("r0").sent_bytes
        ping = f"ping -n -c 3 -i 0.2 -s 1200 {ROUTER}"
        # The server answers what comes through the tunnel; the router answers the rest itself.
        assert lab.run(lab.world.client, [*inside, f"{entering} && exec {ping}"]).code == 0
        assert lab.world.router.counters("r0").sent_bytes - counted < 3000
        assert lab.run(lab.world.client, ["sh", "-c", ping]).code == 0
        assert lab.world.router.counters("r0").sent_bytes - counted > 3000
        assert "28001" in lab.world.client.call(lambda: _output("ip rule"))
        client.stop()
        assert lab.world.client.call(lambda: _output("ip rule")).count("\n") == 3
    finally:
        remove = f"mount -t cgroup2 cgroup2 /sys/fs/cgroup && rmdir /sys/fs/cgroup/{name}"
        subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", remove], check=False
        )


def _output(command: str) -> str:
    return subprocess.run(command.split(), capture_output=True, text=True, check=True).stdout
