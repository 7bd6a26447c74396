"""Every link is a path: links that come, go, flap and are renumbered under a running tunnel."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from mqvpn_core.demo.programs import Program, executable
from mqvpn_core.demo.topology import LTE, WEB_IPV4, WLAN, Access, attach
from mqvpn_core.runtime.status_values import PathStatus
from tests.e2e.topology import (
    INNER_SERVER_IPV4,
    Lab,
    current_status,
    eventually,
    inner_ipv4,
    tcp_connection,
    tcp_listener,
    udp_socket,
)

pytestmark = [pytest.mark.netns, pytest.mark.slow]

QUICK = 2.0
"""Seconds within which a link that works must be in use."""
HARDLY = 0.3
"""Longest silence of traffic over a link that goes, on a busy machine; usually 20 to 30 ms."""

PHONE = Access(
    interface="usb0", router_interface="u0", ipv4="198.18.9", ipv6="2001:db8:9", metric=300
)


def paths_over(client: Program, interface: str) -> list[PathStatus]:
    """Paths in use over a link."""
    return [
        path
        for path in current_status(client).paths
        if path.interface == interface and path.state in {"active", "suspect"}
    ]


def wait_used(client: Program, *interfaces: str) -> float:
    """Wait until exactly these links have a path each."""

    def condition() -> bool:
        used = [path.interface for path in current_status(client).paths if path.state == "active"]
        return sorted(used) == sorted(interfaces)

    return eventually(condition, 5, f"path over each of {interfaces}")


class Probe:
    """Sends a packet every 10 ms through the tunnel and back; knows the longest silence."""

    def __init__(self, lab: Lab) -> None:
        self._there = udp_socket(lab.world.web, WEB_IPV4, 7777)
        self._here = udp_socket(lab.world.client, "0.0.0.0")  # noqa: S104 - in a namespace
        self._here.settimeout(0.01)
        self._there.settimeout(0.1)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=target) for target in (self._echo, self._send, self._receive)
        ]
        self.arrivals: list[float] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            eventually(lambda: len(self.arrivals) > 20, 5, "answers to the probe")
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()
            self._here.close()
            self._there.close()

    def longest_gap(self, since: float) -> float:
        """The longest time without an answer."""
        times = [at for at in self.arrivals if at >= since]
        return max(
            (later - earlier for earlier, later in zip([since, *times], times, strict=False)),
            default=time.perf_counter() - since,
        )

    def _echo(self) -> None:
        while not self._stop.is_set():
            try:
                data, sender = self._there.recvfrom(100)
                self._there.sendto(data, sender)
            except TimeoutError:
                continue

    def _send(self) -> None:
        number = 0
        while not self._stop.wait(0.01):
            number += 1
            self._here.sendto(number.to_bytes(4, "big"), (WEB_IPV4, 7777))

    def _receive(self) -> None:
        while not self._stop.is_set():
            try:
                self._here.recv(100)
            except TimeoutError:
                continue
            self.arrivals.append(time.perf_counter())


def test_both_links_are_used(lab: Lab) -> None:
    lab.start_server()
    client = lab.connect()
    wait_used(client, "wlan0", "lte0")
    assert lab.ping(lab.world.client, INNER_SERVER_IPV4).code == 0


def test_a_dead_first_link_costs_nothing_visible(lab: Lab) -> None:
    """The preferred link has carrier, address and route, but nothing comes through."""
    lab.start_server()
    rule = (
        "table inet dead { chain before"
        ' { type filter hook prerouting priority 0; iifname "w0" drop; }; }'
    )
    assert lab.run(lab.world.router, ["nft", rule]).code == 0
    started = time.perf_counter()
    client = lab.connect()
    assert time.perf_counter() - started < 3
    assert [path.interface for path in current_status(client).paths if path.state == "active"] == [
        "lte0"
    ]


@pytest.mark.parametrize("name", ["wlan0", "lte0"])
@pytest.mark.parametrize("how", ["carrier", "address", "switched off"])
def test_a_lost_link_is_hardly_noticed(lab: Lab, name: str, how: str) -> None:
    lab.start_server()
    client = lab.connect()
    wait_used(client, "wlan0", "lte0")
    address = inner_ipv4(client)
    link = WLAN if name == "wlan0" else LTE
    other = "lte0" if name == "wlan0" else "wlan0"
    probe = Probe(lab)
    with probe.running():
        began = time.perf_counter()
        match how:
            case "carrier":
                lab.world.router.set_link(link.router_interface, up=False)
            case "address":
                lab.world.client.delete_address(name, f"{link.ipv4}.2/24")
                lab.world.client.delete_address(name, f"{link.ipv6}::2/64")
            case _:
                lab.world.client.set_link(name, up=False)
        time.sleep(1)
        assert probe.longest_gap(began) < HARDLY
        wait_used(client, other)
        if how == "carrier":
            lab.world.router.set_link(link.router_interface, up=True)
            assert wait_used(client, "wlan0", "lte0") < QUICK
        time.sleep(0.5)
    assert inner_ipv4(client) == address
    assert current_status(client).state == "connected"


def test_a_link_that_appears_is_used_soon(lab: Lab) -> None:
    """Plugged in while everything runs; then pulled, and plugged in again."""
    lab.start_server()
    client = lab.connect("--path", "wlan0", "--path", "usb*")
    wait_used(client, "wlan0")
    for _ in range(3):
        attach(lab.world.client, lab.world.router, PHONE)
        assert wait_used(client, "wlan0", "usb0") < QUICK
        deleted = lab.run(lab.world.client, ["ip", "link", "delete", "usb0"])
        assert deleted.code == 0, deleted.output
        wait_used(client, "wlan0")


def test_all_links_lost_and_found_again(lab: Lab) -> None:
    """Shorter than the idle timeout: the same connection goes on, and nothing inside breaks."""
    lab.start_server()
    client = lab.connect()
    wait_used(client, "wlan0", "lte0")
    with closing(tcp_listener(lab.world.web, WEB_IPV4, 7000)) as listener:
        sender = tcp_connection(lab.world.client, WEB_IPV4, 7000)
        receiver, _ = listener.accept()
        with sender, receiver:
            receiver.settimeout(10)
            for link in (WLAN, LTE):
                lab.world.router.set_link(link.router_interface, up=False)
            sender.sendall(b"into the void")
            time.sleep(5)
            assert current_status(client).state == "connected"
            lab.world.router.set_link("l0", up=True)
            started = time.perf_counter()
            assert receiver.recv(100) == b"into the void"
            assert time.perf_counter() - started < 5
    assert wait_used(client, "lte0") < QUICK
    assert "reconnecting" not in client.log.read_text()


def test_renumbering_of_the_only_link(lab: Lab) -> None:
    lab.start_server()
    client = lab.connect("--path", "wlan0")
    world = lab.world
    world.client.delete_address("wlan0", "192.0.2.2/24")
    world.client.add_address("wlan0", "192.0.2.77/24")
    world.client.add_route("0.0.0.0/0", "192.0.2.1", metric=100)
    eventually(
        lambda: any("192.0.2.77" in path.local for path in paths_over(client, "wlan0")),
        5,
        "path from the new address",
    )
    eventually(lambda: lab.ping(world.client, INNER_SERVER_IPV4, count=1).code == 0, 5, "answer")
    assert "reconnecting" not in client.log.read_text()


def test_roles_change_without_reconnecting(lab: Lab) -> None:
    lab.start_server()
    client = lab.connect("--role", "lte0=backup")
    wait_used(client, "wlan0", "lte0")
    assert [path.use for path in paths_over(client, "lte0")] == ["backup"]
    change = [executable(), "path", "set", "lte0", "--control-socket", str(client.control_socket)]
    assert lab.run(lab.world.client, [*change, "--role", "primary"]).code == 0
    eventually(
        lambda: [path.use for path in paths_over(client, "lte0")] == ["primary"], 5, "other role"
    )
    assert lab.run(lab.world.client, [*change, "--role", "never"]).code == 0
    wait_used(client, "wlan0")
    assert lab.run(lab.world.client, [*change, "--role", "default"]).code == 0
    wait_used(client, "wlan0", "lte0")
    refused = lab.run(lab.world.client, [*change, "--role", "first"])
    assert refused.code == 2
    assert "primary, secondary, backup, never" in refused.output
    assert "reconnecting" not in client.log.read_text()
