"""Several instances on one machine, and in several namespaces of it, leave each other alone."""

import logging
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.operations import HostChanger
from mqvpn_helper.host.tun import OpenedTun
from tests.helper.namespaces import add_uplink, fresh_namespace, machine_state, run
from tests.helper.plans import SERVER4, client_plan, server_plan

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.usefixtures("namespace")]


class _Instance:
    """One mqvpn on the machine."""

    def __init__(self, state: Path, name: str) -> None:
        self.changer = HostChanger(state)
        self.tun: OpenedTun = self.changer.open_tun(name)

        self._is_open = True

    def stop(self) -> None:
        self.changer.undo()
        self.close()

    def close(self) -> None:
        if self._is_open:
            os.close(self.tun.fd)
        self._is_open = False


@pytest.fixture
def pair(tmp_path: Path, namespace: None) -> Iterator[tuple[_Instance, _Instance]]:
    del namespace
    state = tmp_path / "state"
    instances = (_Instance(state, "mqvpn0"), _Instance(state, "mqvpn1"))
    yield instances
    for instance in instances:
        instance.close()


def forwarding() -> tuple[str, str]:
    return (
        Path("/proc/sys/net/ipv4/ip_forward").read_text().strip(),
        Path("/proc/sys/net/ipv6/conf/all/forwarding").read_text().strip(),
    )


@pytest.mark.parametrize("first_to_stop", [0, 1])
def test_forwarding_ends_with_the_last_server(
    tmp_path: Path, pair: tuple[_Instance, _Instance], first_to_stop: int
) -> None:
    for instance in pair:
        instance.changer.apply(server_plan(instance.tun.name))
    first, last = pair[first_to_stop], pair[1 - first_to_stop]
    first.stop()
    assert forwarding() == ("1", "1")
    assert run("nft list tables").split() == ["table", "inet", f"mqvpn_{last.tun.name}"]
    last.stop()
    assert forwarding() == ("0", "0")
    assert list((tmp_path / "state").glob("*.journal")) == []


def test_two_servers_leave_the_machine_as_it_was(tmp_path: Path) -> None:
    before = machine_state()
    state = tmp_path / "state"
    instances = [_Instance(state, "mqvpn0"), _Instance(state, "mqvpn1")]
    for instance in instances:
        instance.changer.apply(server_plan(instance.tun.name))
    for instance in instances:
        instance.stop()
    assert machine_state() == before


def test_route_to_a_shared_server_goes_with_the_last_client(
    pair: tuple[_Instance, _Instance],
) -> None:
    one, other = pair
    plan = replace(client_plan("mqvpn0"), routes=(ip_network("203.0.113.0/24"),))
    one.changer.apply(plan)
    half = ip_network("203.0.113.0/25")
    other.changer.apply(replace(plan, tun_name="mqvpn1", routes=(half,)))
    assert run(f"ip route show {SERVER4}").count("\n") == 1
    one.stop()
    assert "via 192.0.2.1 dev eth0" in run(f"ip route get {SERVER4}")
    other.stop()
    assert run(f"ip route show {SERVER4}") == ""


def test_second_full_tunnel_is_told_that_the_way_is_taken(
    pair: tuple[_Instance, _Instance],
) -> None:
    one, other = pair
    one.changer.apply(client_plan("mqvpn0"))
    second = replace(client_plan("mqvpn1"), bypass=(ip_address("203.0.113.9"),))
    report = other.changer.apply(second)
    assert len(report.warnings) == 4
    assert (
        "0.0.0.0/1 stays outside the tunnel: there is a route to it over mqvpn0"
        in (report.warnings[0])
    )
    assert "dev mqvpn0" in run("ip route get 198.51.100.1")


def test_recovery_spares_the_living(pair: tuple[_Instance, _Instance], tmp_path: Path) -> None:
    one, other = pair
    one.changer.apply(client_plan("mqvpn0"))
    other.changer.apply(server_plan("mqvpn1"))
    before = machine_state()
    assert HostChanger(tmp_path / "state").recover() == ()
    assert machine_state() == before


def test_recovery_of_one_server_keeps_the_other_running(tmp_path: Path) -> None:
    before = machine_state()
    state = tmp_path / "state"
    child = os.fork()
    if child == 0:
        doomed = _Instance(state, "mqvpn0")
        doomed.changer.apply(server_plan("mqvpn0"))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    survivor = _Instance(state, "mqvpn1")
    survivor.changer.apply(server_plan("mqvpn1"))
    found = HostChanger(state).recover()
    assert found == ("undid what a process that is gone had changed for mqvpn0",)
    assert forwarding() == ("1", "1")
    assert run("nft list tables").split() == ["table", "inet", "mqvpn_mqvpn1"]
    survivor.stop()
    assert machine_state() == before


def test_same_name_in_two_namespaces(tmp_path: Path) -> None:
    state = tmp_path / "state"
    outer = _Instance(state, "mqvpn0")
    outer.changer.apply(server_plan("mqvpn0"))
    outside = machine_state()
    with fresh_namespace():
        add_uplink()
        before = machine_state()
        inner = _Instance(state, "mqvpn0")
        inner.changer.apply(server_plan("mqvpn0"))
        assert len(list(state.glob("*.journal"))) == 2
        inner.stop()
        assert HostChanger(state).recover() == ()
        assert machine_state() == before
    assert machine_state() == outside
    outer.stop()


def test_taken_name_is_refused(pair: tuple[_Instance, _Instance], tmp_path: Path) -> None:
    one, _ = pair
    one.changer.apply(client_plan("mqvpn0"))
    before = machine_state()
    with pytest.raises(HostChangeError, match="exists already"):
        HostChanger(tmp_path / "state").open_tun("mqvpn0")
    assert machine_state() == before


def test_automatic_names_differ(tmp_path: Path) -> None:
    changers = [HostChanger(tmp_path / "state") for _ in range(3)]
    tuns = [changer.open_tun(None) for changer in changers]
    assert [tun.name for tun in tuns] == ["mqvpn0", "mqvpn1", "mqvpn2"]
    for tun in tuns:
        os.close(tun.fd)


def test_recovery_spares_host_routes_into_a_living_tunnel(
    pair: tuple[_Instance, _Instance], tmp_path: Path
) -> None:
    one, _ = pair
    host = ip_network("198.51.100.5/32")
    one.changer.apply(replace(client_plan("mqvpn0"), routes=(host,)))
    HostChanger(tmp_path / "state").recover()
    assert "dev mqvpn0" in run("ip route get 198.51.100.5")


def test_one_tunnel_is_not_put_into_another(pair: tuple[_Instance, _Instance]) -> None:
    one, other = pair
    one.changer.apply(client_plan("mqvpn0"))
    server = ip_address("203.0.113.9")
    link = other.changer.link_towards(server)
    assert link is not None
    assert link.name == "eth0"
    plan = replace(client_plan("mqvpn1"), bypass=(server,), routes=(ip_network("10.9.0.0/16"),))
    other.changer.apply(plan)
    assert "via 192.0.2.1 dev eth0" in run(f"ip route get {server}")


def test_many_processes_at_once(tmp_path: Path) -> None:
    before = machine_state()
    state = tmp_path / "state"
    children = []
    for n in range(6):
        child = os.fork()
        if child == 0:
            _start_and_stop(state, f"mqvpn{n}", is_server=n % 2 == 0)
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    assert statuses == [0] * 6
    assert machine_state() == before
    assert list(state.glob("*.journal")) == []


def _start_and_stop(state: Path, name: str, *, is_server: bool) -> None:
    """Be a process that comes and goes three times; never returns."""
    try:
        for _ in range(3):
            changer = HostChanger(state)
            changer.recover()
            instance = _Instance(state, name)
            plan = server_plan(name) if is_server else client_plan(name)
            instance.changer.apply(replace(plan, addresses=()))
            instance.stop()
    except BaseException:
        logging.getLogger(__name__).exception("process for %s failed", name)
        os._exit(1)
    os._exit(0)


def test_without_privilege_the_reason_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        for attempt in (
            HostChanger(Path("/run/mqvpn-nowhere/state")).recover,
            lambda: HostChanger(tmp_path).open_tun("mqvpn0"),
        ):
            try:
                attempt()
            except HostChangeError as error:
                os.write(writer, f"{error}\n".encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as lines:
        first, second = lines.read().splitlines()
    os.waitpid(child, 0)
    assert "permission denied; run as root" in first
    assert "permission denied" in second
