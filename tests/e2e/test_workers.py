"""A server of two processes: paths stay together, a death costs little, and nothing is left."""

import os
import signal
import subprocess
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mqvpn_core.demo.namespaces import NetworkNamespace
from mqvpn_core.demo.programs import Credentials, Program, executable, make_credentials
from mqvpn_core.runtime.status_values import Status
from tests.e2e.topology import (
    INNER_SERVER_IPV4,
    UP_PATIENCE,
    Lab,
    current_status,
    eventually,
    inner_ipv4,
    udp_socket,
    wait_connected,
)

pytestmark = [pytest.mark.netns, pytest.mark.slow]

WORKERS = 2
CLIENTS = 3
FLOWS = 16
ALICES = 3
PINGS = 50

_READS_FILES = 1 << 2  # CAP_DAC_READ_SEARCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """A server and some clients; the first of them has two links."""

    lab: Lab
    server: Program
    machines: tuple[NetworkNamespace, ...]
    clients: tuple[Program, ...]

    @property
    def workers(self) -> list[int]:
        """Process IDs of the workers."""
        return [worker.pid for worker in current_status(self.server).workers]


@pytest.fixture
def crowd(lab: Lab) -> Crowd:
    return _gather(lab, CLIENTS)


def _gather(lab: Lab, count: int) -> Crowd:
    server = lab.start_server("--workers", str(WORKERS))
    server.wait_for(_is_complete, UP_PATIENCE, "two workers")
    others = [lab.another_machine(f"m{n}", 80 + n) for n in range(count - 1)]
    machines = (lab.world.client, *others)
    clients = tuple(lab.start_client(namespace=each) for each in machines)
    for client in clients:
        wait_connected(client)
    return Crowd(lab=lab, server=server, machines=machines, clients=clients)


def _is_complete(status: Status) -> bool:
    return len(status.workers) == WORKERS and all(w.state == "running" for w in status.workers)


def test_one_server_of_several_processes(crowd: Crowd) -> None:
    status = current_status(crowd.server)
    assert status.client_count == CLIENTS, status
    assert sum(worker.client_count for worker in status.workers) == CLIENTS
    assert len({status.pid, *crowd.workers}) == WORKERS + 1
    addresses = {inner_ipv4(client) for client in crowd.clients}
    assert len(addresses) == CLIENTS
    assert {a for client in status.clients for a in client.addresses if ":" not in a} == addresses
    _check_paths_stay_together(crowd)
    _check_every_flow_arrives(crowd)
    _check_workers_take_another_scheduler(crowd)
    for pid in crowd.workers:
        _check_has_no_power_over_the_network(pid)


def _check_has_no_power_over_the_network(pid: int) -> None:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    fields = dict(line.split(":\t", 1) for line in lines)
    assert not int(fields["CapPrm"], 16) & ~_READS_FILES
    assert fields["NoNewPrivs"] == "1"


def _check_workers_take_another_scheduler(crowd: Crowd) -> None:
    """What is urgent takes both paths then, a ping for one."""
    client = crowd.clients[0]
    command = [executable(), "scheduler", "redundant"]
    command += ["--control-socket", str(crowd.server.control_socket)]
    subprocess.run(command, check=True)
    assert current_status(crowd.server).scheduler == "redundant"
    before = {path.id: path.rx_packets for path in current_status(client).paths}
    assert len(before) == 2
    quickly = ("-i", "0.02")
    pings = crowd.lab.ping(crowd.lab.world.server, inner_ipv4(client), *quickly, count=PINGS)
    assert pings.code == 0
    after = {path.id: path.rx_packets for path in current_status(client).paths}
    assert all(after[path_id] >= count + PINGS for path_id, count in before.items())


def _check_paths_stay_together(crowd: Crowd) -> None:
    """A path whose packets reach another worker is never validated."""
    address = inner_ipv4(crowd.clients[0])

    def has_two_paths(status: Status) -> bool:
        (own,) = [client for client in status.clients if address in client.addresses]
        return [path.state for path in own.paths] == ["active", "active"]

    crowd.server.wait_for(has_two_paths, UP_PATIENCE, "both links of the first client")


def _check_every_flow_arrives(crowd: Crowd) -> None:
    """The server's host begins these flows: about half of them come out of the wrong queue."""
    for machine, client in zip(crowd.machines, crowd.clients, strict=True):
        with closing(udp_socket(machine, inner_ipv4(client))) as receiver:
            for number in range(FLOWS):
                with closing(udp_socket(crowd.lab.world.server, INNER_SERVER_IPV4)) as sender:
                    sender.sendto(b"flow %d" % number, receiver.getsockname())
            received = {receiver.recv(100) for _ in range(FLOWS)}
        assert received == {b"flow %d" % number for number in range(FLOWS)}
    assert current_status(crowd.server).counters["lost_between_workers"] == 0


def test_death_of_a_worker_costs_only_its_clients_a_reconnect(crowd: Crowd) -> None:
    before = [inner_ipv4(client) for client in crowd.clients]
    status = current_status(crowd.server)
    victim = next(worker for worker in status.workers if worker.client_count)
    os.kill(victim.pid, signal.SIGKILL)
    for machine in crowd.machines:  # who is silent notices at the next sign of life only
        crowd.lab.ping(machine, INNER_SERVER_IPV4)

    def has_recovered(now: Status) -> bool:
        is_back = now.client_count == CLIENTS and _is_complete(now)
        return is_back and victim.pid not in {worker.pid for worker in now.workers}

    after = crowd.server.wait_for(has_recovered, UP_PATIENCE, "the clients of the dead worker")
    for client in crowd.clients:
        wait_connected(client)
    assert [inner_ipv4(client) for client in crowd.clients] == before
    assert [worker.restarts for worker in after.workers] == [
        int(worker.number == victim.number) for worker in after.workers
    ]
    lost = sum("reconnecting" in c.log.read_text(encoding="utf-8") for c in crowd.clients)
    assert lost <= victim.client_count
    _check_every_flow_arrives(crowd)


def test_sighup_reaches_every_worker(lab: Lab, tmp_path: Path) -> None:
    """One user is sent away, another is let in, and who connects now sees another certificate."""
    settings = lab.directory / "server.toml"
    settings.write_text(_users("alice"), encoding="utf-8")
    before, after = (_credentials(tmp_path, name) for name in ("before", "after"))
    lab.credentials = replace(before, directory=lab.directory)
    server = lab.start_server("--workers", str(WORKERS), "--config", str(settings))
    server.wait_for(_is_complete, UP_PATIENCE, "two workers")
    stays = lab.start_client()
    machines = [lab.another_machine(f"m{number}", 80 + number) for number in range(5)]
    alices = [_connect_as(lab, each, "alice") for each in machines[:ALICES]]
    for client in (stays, *alices):
        wait_connected(client)
    before.certificate.write_bytes(after.certificate.read_bytes())
    before.private_key.write_bytes(after.private_key.read_bytes())
    settings.write_text(_users("bob"), encoding="utf-8")
    server.process.send_signal(signal.SIGHUP)

    def has_no_alice(status: Status) -> bool:
        return {client.user for client in status.clients} == {""}

    server.wait_for(has_no_alice, UP_PATIENCE, "end of the tunnels of a user that is gone")
    assert lab.ping(lab.world.client, INNER_SERVER_IPV4).code == 0
    assert "reconnecting" not in stays.log.read_text(encoding="utf-8")
    for client in alices:
        client.stop()
    # Connection IDs are drawn anew by each client: with so many, every worker has had one.
    for machine in machines:
        wait_connected(_connect_as(lab, machine, "bob", pin=after.pin))
    served = [worker.client_count for worker in current_status(server).workers]
    assert sum(served) == 1 + len(machines)


def _credentials(folder: Path, name: str) -> Credentials:
    (folder / name).mkdir()
    return make_credentials(folder / name)


def _users(name: str) -> str:
    return f'[users]\n{name} = "a-key-of-{name}-0123456789"\n'


def _connect_as(lab: Lab, machine: NetworkNamespace, name: str, *, pin: str = "") -> Program:
    key = lab.directory / f"{name}.key"
    key.write_text(f"a-key-of-{name}-0123456789", encoding="ascii")
    credentials = replace(lab.credentials, auth_key=key, pin=pin or lab.credentials.pin)
    return lab.start_client(namespace=machine, credentials=credentials)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_parent(lab: Lab, how: signal.Signals) -> None:
    crowd = _gather(lab, 1)
    workers = crowd.workers
    code = crowd.server.stop(how)
    eventually(lambda: not any(map(_is_running, workers)), 5.0, "end of the workers")
    links = crowd.lab.run(crowd.lab.world.server, ["ip", "link", "show", "type", "tun"])
    assert links.output == ""
    if how is signal.SIGTERM:
        assert code == 0
        rules = crowd.lab.run(crowd.lab.world.server, ["nft", "list", "ruleset"])
        assert rules.output == ""
        log = crowd.clients[0].log.read_text(encoding="utf-8")
        assert "the server closed the connection" in log


def _is_running(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
