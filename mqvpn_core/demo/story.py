"""The steps of the demonstration, in order; each raises when it does not come out."""

import hashlib
import json
import re
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mqvpn_core.demo.outage import Outage, OutageResult
from mqvpn_core.demo.processes import Process
from mqvpn_core.demo.programs import (
    WEB_PORT,
    Program,
    make_credentials,
    start_client,
    start_server,
    start_web_host,
)
from mqvpn_core.demo.proof import CountingPoints, Reading, objections
from mqvpn_core.demo.screen import Screen, bits, size
from mqvpn_core.demo.topology import SERVER_IPV4, SERVER_LAN_IPV4, WEB_IPV4, Access, World
from mqvpn_core.demo.web_host import payload
from mqvpn_core.errors import MqvpnError
from mqvpn_core.runtime.status_values import Status

_TUNNEL_PATIENCE = 15.0
_PING_COUNT = 5
_REFRESH = 0.25
_PATHS_PATIENCE = 5.0
_BEFORE_THE_CUT = 1.0


class DemoError(MqvpnError):
    """The demonstration did not show what it is there to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What was seen."""

    setup_seconds: float
    """From the client's start to the tunnel being up."""
    ping_ms: float
    """Mean round-trip time through the tunnel."""
    download_bytes: int
    """Payload that arrived, its hash verified."""
    download_seconds: float
    """How long that took."""
    counted: Reading
    """What the devices counted meanwhile."""
    outage: OutageResult
    """What the loss of a link in the middle of a second download looked like."""


class Story:
    """One demonstration in one world."""

    def __init__(
        self, screen: Screen, scratch: Path, world: World, links: tuple[Access, ...]
    ) -> None:
        """Remember how the machines looked before.

        Args:
            screen: where it is told.
            scratch: a directory for keys, logs and sockets.
            world: the machines.
            links: the client's links.
        """
        self._screen = screen
        self._scratch = scratch
        self._world = world
        self._links = links
        self._link_names = tuple(link.interface for link in links)
        self._programs: list[Program] = []
        self._before = self._machine_state()

    def tell(self, download_bytes: int) -> DemoResult:
        """Bring the tunnel up and move traffic through it."""
        self._show_that_there_is_no_other_way()
        client, setup_seconds = self._bring_the_tunnel_up()
        status = self._status(client)
        self._screen.show(status)
        ping_ms = self._ping(client)
        seconds, counted = self._download(client, download_bytes)
        outage = self._lose_a_link(client, download_bytes)
        return DemoResult(
            setup_seconds=setup_seconds,
            ping_ms=ping_ms,
            download_bytes=download_bytes,
            download_seconds=seconds,
            counted=counted,
            outage=outage,
        )

    def stop_programs(self) -> None:
        """End client and server, in this order."""
        for program in reversed(self._programs):
            program.stop(signal.SIGINT)

    def left_overs(self) -> list[str]:
        """Say what differs from before, and which program did not end well."""
        found = [
            f"{program.name} ended with code {program.process.returncode}:\n{program.log_tail()}"
            for program in self._programs
            if program.process.returncode != 0
        ]
        found += [
            f"file {program.control_socket}"
            for program in self._programs
            if program.control_socket.exists()
        ]
        before, after = set(self._before), set(self._machine_state())
        found += [f"new: {line}" for line in sorted(after - before)]
        found += [f"gone: {line}" for line in sorted(before - after)]
        return found

    def _machine_state(self) -> tuple[str, ...]:
        return tuple(
            f"{machine.label}: {line}"
            for machine in (self._world.client, self._world.server)
            for line in (*machine.links(), *machine.host_state())
        )

    def _show_that_there_is_no_other_way(self) -> None:
        log = self._scratch / "ping-before.log"
        if self._world.client.start(["ping", "-c1", "-W1", WEB_IPV4], log).wait() == 0:
            raise DemoError(
                f"{WEB_IPV4} answers without a tunnel: the world is not what it should be"
            )
        self._screen.step(
            f"the web host {WEB_IPV4} cannot be reached from the client, as it should be"
        )

    def _bring_the_tunnel_up(self) -> tuple[Program, float]:
        credentials = make_credentials(self._scratch)
        self._screen.step(f"made a certificate ({credentials.pin}) and a key")
        server = start_server(self._world.server, credentials)
        self._programs.append(server)
        server.wait_for(lambda _status: True, _TUNNEL_PATIENCE, "listening socket")
        self._screen.step(f"server: process {server.process.pid} listens on {SERVER_IPV4}")
        started = time.perf_counter()
        paths = [option for link in self._link_names for option in ("--path", link)]
        client = start_client(self._world.client, credentials, SERVER_IPV4, paths)
        self._programs.append(client)
        status = client.wait_for(is_connected, _TUNNEL_PATIENCE, "tunnel")
        seconds = time.perf_counter() - started
        addresses = ", ".join(status.addresses)
        self._screen.step(f"client: tunnel up after {seconds:.2f} s with {addresses}")
        return client, seconds

    def _ping(self, client: Program) -> float:
        self._screen.step(f"ping {WEB_IPV4} through the tunnel")
        log = self._scratch / "ping.log"
        command = ["ping", "-c", str(_PING_COUNT), "-i", "0.2", "-W", "2", WEB_IPV4]
        code = self._watch(client, self._world.client.start(command, log))
        text = log.read_text(encoding="utf-8")
        times = re.search(r"= [\d.]+/([\d.]+)/", text)
        if code != 0 or times is None or f" {_PING_COUNT} received" not in text:
            raise DemoError(f"ping through the tunnel failed:\n{text}")
        mean = float(times[1])
        self._screen.step(f"    {_PING_COUNT} of {_PING_COUNT} answered, {mean:.1f} ms on average")
        return mean

    def _download(self, client: Program, amount: int) -> tuple[float, Reading]:
        start_web_host(self._world.web, self._scratch / "web.log")
        seen = self._fetch(client, "/you")
        if seen["beginning"] != SERVER_LAN_IPV4:
            raise DemoError(f"the web host saw {seen['beginning']}, not the server's address")
        self._screen.step(f"the web host sees the request come from the server ({SERVER_LAN_IPV4})")
        self._screen.step(f"downloading {size(amount)} from {WEB_IPV4} through the tunnel")
        counters = self._counting_points(client)
        before = counters.read()
        report = self._fetch(client, f"/bytes/{amount}")
        moved = counters.read().since(before)
        self._check(report, amount)
        seconds = float(report["seconds"])
        self._screen.show(self._status(client))
        self._screen.leave_table()
        self._screen.step(
            f"    SHA-256 is right; {seconds:.1f} s, {bits(amount * 8 / seconds)} of payload"
        )
        if against := objections(moved, amount):
            raise DemoError("the counters say otherwise: " + "; ".join(against))
        self._screen.step(
            f"    counters agree: {size(moved.server_tun)} into the tunnel at the server,"
            f" {size(moved.links)} over the links, {size(moved.client_tun)} out at the client"
        )
        return seconds, moved

    def _lose_a_link(self, client: Program, amount: int) -> OutageResult:
        def show() -> None:
            self._screen.show(self._status(client))

        self._wait_for_both_links(client)
        self._screen.step(f"downloading {size(amount)} again, with a ping every 20 ms beside it")
        outage = Outage(self._world, client, self._links)
        ping_log = self._scratch / "ping-outage.log"
        ping = outage.start_ping(ping_log)
        download, download_log = self._start_fetch(f"/bytes/{amount}")
        self._show_for(client, _BEFORE_THE_CUT)
        if download.poll() is not None:
            raise DemoError("the download ended before a link could be cut: make it larger")
        lost = outage.cut()
        self._screen.leave_table()
        self._screen.step(f"CUT: {lost}, which carried it, is unplugged at the other end")
        failover = outage.wait_for_failover(show)
        report = self._finish_fetch(client, download, download_log)
        self._check(report, amount)
        gap = outage.ping_gap_ms(ping, ping_log)
        self._screen.leave_table()
        self._screen.step(
            f"    continuing on {failover.to_interface}, gap {failover.gap_ms:.0f} ms as the client"
            f" reports it, {gap:.0f} ms as the ping felt it; the download went on, SHA-256 is right"
        )
        self._screen.step(f"plugging {lost} in again")
        back = outage.give_back(show)
        self._screen.show(self._status(client))
        self._screen.leave_table()
        self._screen.step(f"    {lost} is used again after {back:.1f} s")
        return OutageResult(
            link=lost,
            continued_on=failover.to_interface,
            reported_gap_ms=failover.gap_ms,
            ping_gap_ms=gap,
            back_seconds=back,
        )

    def _wait_for_both_links(self, client: Program) -> None:
        def has_both(status: Status) -> bool:
            active = {path.interface for path in status.paths if path.state == "active"}
            return active >= set(self._link_names)

        client.wait_for(has_both, _PATHS_PATIENCE, "path on every link")

    def _show_for(self, client: Program, seconds: float) -> None:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            self._screen.show(self._status(client))
            time.sleep(_REFRESH)

    def _check(self, report: dict[str, str | int | float], amount: int) -> None:
        if report["sha256"] != hashlib.sha256(payload(amount)).hexdigest():
            raise DemoError(f"the download is damaged: {report}")

    def _counting_points(self, client: Program) -> CountingPoints:
        server = next(program for program in self._programs if program is not client)
        return CountingPoints(
            server=self._world.server,
            server_tun=self._status(server).tun_name,
            client=self._world.client,
            client_tun=self._status(client).tun_name,
            links=self._link_names,
        )

    def _fetch(self, client: Program, path: str) -> dict[str, str | int | float]:
        return self._finish_fetch(client, *self._start_fetch(path))

    def _start_fetch(self, path: str) -> tuple[Process, Path]:
        log = self._scratch / "download.log"
        log.unlink(missing_ok=True)
        url = f"http://{WEB_IPV4}:{WEB_PORT}{path}"
        command = [sys.executable, "-m", "mqvpn_core.demo.download", url]
        return self._world.client.start(command, log), log

    def _finish_fetch(
        self, client: Program, process: Process, log: Path
    ) -> dict[str, str | int | float]:
        code = self._watch(client, process)
        text = log.read_text(encoding="utf-8")
        if code != 0:
            raise DemoError(f"the download failed:\n{text}{client.log_tail()}")
        report: dict[str, str | int | float] = json.loads(text)
        return report

    def _watch(self, client: Program, process: Process) -> int:
        """Keep the table alive until a process ends; return its exit code."""
        while process.poll() is None:
            self._screen.show(self._status(client))
            time.sleep(_REFRESH)
        return process.wait()

    def _status(self, program: Program) -> Status:
        status = program.status()
        if status is None:
            raise DemoError(f"{program.name} serves no status any more:\n{program.log_tail()}")
        return status


def is_connected(status: Status) -> bool:
    """Whether a client's tunnel carries packets."""
    return status.state == "connected" and bool(status.addresses)
